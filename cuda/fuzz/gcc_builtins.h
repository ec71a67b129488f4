// __builtin_shuffle for clang. The kernels use this builtin of g++, and libFuzzer needs clang. tools/fuzz-native.js includes
// this file before all others.
#pragma once

template <class V, class I>
inline V __builtin_shuffle(V v, I index) {
  constexpr int kLanes = sizeof(V) / sizeof(v[0]);
  V out;
  for (int i = 0; i < kLanes; ++i) out[i] = v[index[i] % kLanes];
  return out;
}

template <class V, class I>
inline V __builtin_shuffle(V a, V b, I index) {
  constexpr int kLanes = sizeof(V) / sizeof(a[0]);
  V out;
  for (int i = 0; i < kLanes; ++i) {
    const int from = index[i] % (2 * kLanes);
    out[i] = from < kLanes ? a[from] : b[from - kLanes];
  }
  return out;
}

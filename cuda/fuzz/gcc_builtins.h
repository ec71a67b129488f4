// The one builtin of g++'s that the kernels use and clang lacks: libFuzzer comes with clang. Included before all else (tools/fuzz-native.js).
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

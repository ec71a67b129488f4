// Vectors for CPU kernels, as wide as the instruction set that this file is compiled for.
//
// Every kernels/<op>.cc is compiled once for each instruction set (baseline, avx2, avx512), into the namespace
// specattn::SPECATTN_ISA; the CPU device picks one at run time. Code here and in the kernels must have internal linkage (an
// unnamed namespace) and must not use templates of the standard library that the compiler may emit as weak symbols. The linker
// keeps one copy of a weak symbol for all instruction sets, perhaps the AVX-512 one on a machine without AVX-512. The build
// checks this (check_symbols.cmake).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/tensor.h"

#ifndef SPECATTN_ISA
#error "SPECATTN_ISA is set by CMakeLists.txt"
#endif

namespace specattn {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

// The types with U may be loaded from any array: may_alias allows other types, and the alignment is that of an element.
typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef float VecU __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef int32_t IVec __attribute__((vector_size(kLanes * 4)));
typedef uint32_t UVec __attribute__((vector_size(kLanes * 4)));
typedef uint32_t UVecU __attribute__((vector_size(kLanes * 4), aligned(2), may_alias));
typedef uint16_t HVec __attribute__((vector_size(kLanes * 2)));
typedef uint16_t HVecU __attribute__((vector_size(kLanes * 2), aligned(2), may_alias));

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

inline Vec Splat(float x) { return Vec{} + x; }

inline float ToFloat(float x) { return x; }
inline float ToFloat(BFloat16 x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x.bits) << 16); }
inline float ToFloat(Float16 x) {
  // The exponent and the mantissa are shifted into place and scaled by 2^112, which is right for denormals too. Infinities and
  // NaN get their exponent directly.
  const uint32_t magnitude = static_cast<uint32_t>(x.bits & 0x7fff) << 13;
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000) << 16;
  const float finite = __builtin_bit_cast(float, magnitude) * 0x1p112f;
  const uint32_t bits =
      magnitude >= 0x0f800000u ? magnitude | 0x70000000u : __builtin_bit_cast(uint32_t, finite);
  return __builtin_bit_cast(float, bits | sign);
}

inline void FromFloat(float x, float* out) { *out = x; }
inline void FromFloat(float x, BFloat16* out) {  // to nearest, ties to even; NaN stays NaN
  const uint32_t u = __builtin_bit_cast(uint32_t, x);
  out->bits = (u & 0x7fffffffu) > 0x7f800000u ? static_cast<uint16_t>((u >> 16) | 0x40)
                                              : static_cast<uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
inline void FromFloat(float x, Float16* out) {
  uint32_t u = __builtin_bit_cast(uint32_t, x);
  const uint32_t sign = (u >> 16) & 0x8000;
  u &= 0x7fffffffu;
  uint32_t bits;
  if (u > 0x7f800000u)
    bits = 0x7e00;
  else if (u >= 0x477ff000u)  // rounds to 65536 or more
    bits = 0x7c00;
  else if (u < 0x38800000u)  // denormal: adding 0.5 rounds it
    bits = __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, u) + 0.5f) - 0x3f000000u;
  else
    bits = (u + 0xc8000fffu + ((u >> 13) & 1)) >> 13;
  out->bits = static_cast<uint16_t>(bits | sign);
}

// Loads kLanes elements from any address and widens them to float32.
inline Vec Load(const float* p) { return *reinterpret_cast<const VecU*>(p); }
inline Vec Load(const BFloat16* p) {
  const HVec h = *reinterpret_cast<const HVecU*>(p);
  return reinterpret_cast<Vec>(__builtin_convertvector(h, UVec) << 16);
}
inline Vec Load(const Float16* p) {  // the same steps as ToFloat
  const UVec h = __builtin_convertvector(*reinterpret_cast<const HVecU*>(p), UVec);
  const UVec magnitude = (h & 0x7fff) << 13;
  const UVec finite = reinterpret_cast<UVec>(reinterpret_cast<Vec>(magnitude) * 0x1p112f);
  const UVec bits = magnitude >= 0x0f800000u ? magnitude | 0x70000000u : finite;
  return reinterpret_cast<Vec>(bits | (h & 0x8000) << 16);
}
inline void Store(float* p, Vec v) { *reinterpret_cast<VecU*>(p) = v; }
// Loads the first n < kLanes elements; the other lanes are 0.
template <class T>
inline Vec LoadFirst(const T* p, int64_t n) {
  T padded[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) padded[i] = p[i];
  return Load(padded);
}

// Rotates lanes by kWidth. Sum and Max over lanes fold a vector's halves onto each other, always in the same order.
template <int kWidth>
inline Vec Fold(Vec v) {
  IVec index;
  for (int i = 0; i < kLanes; ++i) index[i] = (i + kWidth) % kLanes;
  return __builtin_shuffle(v, index);
}
inline Vec Max(Vec a, Vec b) { return a > b ? a : b; }
inline float Sum(Vec v) {
  if constexpr (kLanes >= 16) v += Fold<8>(v);
  if constexpr (kLanes >= 8) v += Fold<4>(v);
  v += Fold<2>(v);
  v += Fold<1>(v);
  return v[0];
}
inline float Max(Vec v) {
  if constexpr (kLanes >= 16) v = Max(v, Fold<8>(v));
  if constexpr (kLanes >= 8) v = Max(v, Fold<4>(v));
  v = Max(v, Fold<2>(v));
  v = Max(v, Fold<1>(v));
  return v[0];
}

// A step of SumEach. Each input has kSegments segments, and each segment holds the partial sums of one vector. The result has the
// segments of both inputs, each folded to half its length.
template <int kSegments>
inline Vec FoldPair(Vec a, Vec b) {
  constexpr int kHalf = kLanes / (2 * kSegments);
  IVec low, high;
  for (int lane = 0; lane < kLanes; ++lane) {
    const int segment = lane / kHalf;
    low[lane] = (segment < kSegments ? 0 : kLanes) + segment % kSegments * 2 * kHalf + lane % kHalf;
    high[lane] = low[lane] + kHalf;
  }
  return __builtin_shuffle(a, b, low) + __builtin_shuffle(a, b, high);
}
// out[i] = Sum(v[i]), to the same bits, with a fraction of the shuffles.
template <int kCount>
inline void SumEach(const Vec (&v)[kCount], float* out) {
  if constexpr (kCount == 8 && kLanes >= 8) {
    Vec sums = FoldPair<4>(FoldPair<2>(FoldPair<1>(v[0], v[1]), FoldPair<1>(v[2], v[3])),
                           FoldPair<2>(FoldPair<1>(v[4], v[5]), FoldPair<1>(v[6], v[7])));
    if constexpr (kLanes == 16) sums += Fold<1>(sums);
    for (int i = 0; i < 8; ++i) out[i] = sums[i * (kLanes / 8)];
  } else if constexpr (kCount == 4) {
    Vec sums = FoldPair<2>(FoldPair<1>(v[0], v[1]), FoldPair<1>(v[2], v[3]));
    if constexpr (kLanes >= 16) sums += Fold<2>(sums);
    if constexpr (kLanes >= 8) sums += Fold<1>(sums);
    for (int i = 0; i < 4; ++i) out[i] = sums[i * (kLanes / 4)];
  } else {
    for (int i = 0; i < kCount; ++i) out[i] = Sum(v[i]);
  }
}

// exp(x) to about 1 ulp, as 2^n times a polynomial on [-ln2/2, ln2/2]. It is 0 below -87.3, infinite above 88.7, and NaN for NaN.
inline Vec Exp(Vec x) {
  const Vec n0 = x * 1.44269504f;
  const Vec shift = Splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  Vec n = (n0 + shift) - shift;
  n = n > 127.0f ? Splat(127.0f) : n;
  n = n < -126.0f ? Splat(-126.0f) : n;
  const Vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Vec y = Splat(1.9875691500e-4f);
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  const IVec exponent = (__builtin_convertvector(n, IVec) + 127) << 23;
  y = y * reinterpret_cast<Vec>(exponent);
  y = x < -87.33654f ? Vec{} : y;
  y = x > 88.72283f ? Splat(INFINITY) : y;
  return x != x ? x : y;
}
// Exp of one element, to the bits that it has in a vector.
inline float Exp(float x) { return Exp(Splat(x))[0]; }

}  // namespace
}  // namespace specattn

// Convert: numbers to tensor elements by the rules of JavaScript's typed arrays, which TensorFlow.js programs expect of
// every backend.
#pragma once
#include <cmath>
#include <cstdint>

#include "core/host_device.h"

namespace specattn {
namespace {

// JavaScript's ToInt32: truncated towards zero, then taken modulo 2^32; NaN and infinities become 0.
SPECATTN_HOST_DEVICE inline int32_t ToInt32(double x) {
  if (x > -2147483649.0 && x < 2147483648.0) return static_cast<int32_t>(x);
  if (!(x - x == 0.0)) return 0;
  return static_cast<int32_t>(static_cast<uint32_t>(static_cast<int64_t>(::fmod(x, 4294967296.0))));
}

SPECATTN_HOST_DEVICE inline void Convert(double x, float* out) { *out = static_cast<float>(x); }
SPECATTN_HOST_DEVICE inline void Convert(double x, int32_t* out) { *out = ToInt32(x); }
SPECATTN_HOST_DEVICE inline void Convert(double x, uint8_t* out) { *out = static_cast<uint8_t>(ToInt32(x)); }

// A sum or product of int32 numbers, computed modulo 2^64, wraps around modulo 2^32.
SPECATTN_HOST_DEVICE inline void Convert(uint64_t x, int32_t* out) {
  *out = static_cast<int32_t>(static_cast<uint32_t>(x));
}

}  // namespace
}  // namespace specattn

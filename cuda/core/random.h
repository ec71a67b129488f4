// Random numbers as a hash of a seed, a position and a stream: the same number on every device, without a state that rejected
// tokens could change.
#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace specattn {
namespace {

// One stream for each use of random numbers, so that no two uses see the same number.
enum RandomStream : uint32_t { kDraftStream = 0, kPlainStream = 1, kAcceptStream = 2, kResampleStream = 3 };

// A hash of 32 bits, found by Chris Wellons's hash-prospector (the family of lowbias32).
SPECATTN_HOST_DEVICE inline uint32_t Mix32(uint32_t x) {
  x ^= x >> 16;
  x *= 0x21f0aaadu;
  x ^= x >> 15;
  x *= 0x735a2d97u;
  x ^= x >> 15;
  return x;
}

// A number in [0, 1), a multiple of 2^-24. `seed` points to two words. Positions count modulo 2^30.
SPECATTN_HOST_DEVICE inline double Uniform(const int32_t* seed, int64_t position, uint32_t stream) {
  const uint32_t counter = static_cast<uint32_t>(position) * 4 + stream;
  const uint32_t h =
      Mix32(static_cast<uint32_t>(seed[0]) ^ Mix32(static_cast<uint32_t>(seed[1]) ^ Mix32(counter)));
  return static_cast<double>(h >> 8) * 0x1p-24;
}

}  // namespace
}  // namespace specattn

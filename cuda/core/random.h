// Random numbers by hashing: a seed, a position and a stream give the same number on every device.
#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace specattn {
namespace {

// What the numbers are for, so that no two uses share one.
enum RandomStream : uint32_t { kDraftStream = 0, kPlainStream = 1, kAcceptStream = 2, kResampleStream = 3 };

SPECATTN_HOST_DEVICE inline uint32_t Mix32(
    uint32_t x) {  // lowbias32's family (Chris Wellons, hash-prospector)
  x ^= x >> 16;
  x *= 0x21f0aaadu;
  x ^= x >> 15;
  x *= 0x735a2d97u;
  x ^= x >> 15;
  return x;
}

// In [0, 1), a multiple of 2^-24. seed has two words.
SPECATTN_HOST_DEVICE inline double Uniform(const int32_t* seed, int64_t position, uint32_t stream) {
  const uint32_t counter = static_cast<uint32_t>(position) * 4 + stream;
  const uint32_t h =
      Mix32(static_cast<uint32_t>(seed[0]) ^ Mix32(static_cast<uint32_t>(seed[1]) ^ Mix32(counter)));
  return static_cast<double>(h >> 8) * 0x1p-24;
}

}  // namespace
}  // namespace specattn

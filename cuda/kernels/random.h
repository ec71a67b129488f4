// Random: fills a tensor with uniform numbers in [-scale, scale). Element i is a hash of the seed and i, the same on every
// device.
//
// inputs   none
// attrs    seed: a whole number below 2^32; scale: finite, 0 or more
// outputs  out: any shape and float storage; rounded to nearest, which may give scale itself
#pragma once
#include <cmath>

#include "core/check.h"
#include "core/random.h"

namespace specattn {
namespace {

struct RandomCall {
  const Tensor& out;
  uint32_t seed;
  float scale;
};

inline Status CheckRandom(const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Random", args, 0, 1, 2));
  SPECATTN_RETURN_IF_ERROR(CheckFloat("Random", "output", args.outputs[0]));
  const double seed = args.attrs[0], scale = args.attrs[1];
  SPECATTN_CHECK(seed >= 0 && seed < 4294967296.0 && seed == std::floor(seed),
                 "[Random] seed must be a whole number below 2^32 but is %g", seed);
  SPECATTN_CHECK(scale >= 0 && scale <= 3.4e38, "[Random] scale must be finite and 0 or more but is %g",
                 scale);
  return Ok();
}

inline RandomCall RandomOf(const Args& args) {
  return {args.outputs[0], static_cast<uint32_t>(args.attrs[0]), static_cast<float>(args.attrs[1])};
}

// Every step but the product with scale is exact, so that no compiler's choices change the result.
SPECATTN_HOST_DEVICE inline float RandomElement(uint32_t seed, float scale, int64_t i) {
  const uint32_t high = static_cast<uint32_t>(static_cast<uint64_t>(i) >> 32);
  const uint32_t h = Mix32(seed ^ Mix32(static_cast<uint32_t>(i) ^ Mix32(high)));
  return (static_cast<float>(h >> 8) * 0x1p-23f - 1.0f) * scale;
}

}  // namespace
}  // namespace specattn

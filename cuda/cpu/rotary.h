// The rotary embedding of one head, which RotaryEmbedding and RotaryAppend share.
#pragma once
#include "cpu/simd.h"

namespace specattn {
namespace {

// cosine[i] and sine[i] = scale * cos and sin of position * frequencies[i], for i < half. The angle is a float32, as in the
// reference implementations. Its reduction to [-pi/4, pi/4] and the Taylor polynomials are computed in double: the results are
// right to about 1 float32 ulp, even for angles of millions. There are no branches, so that the compiler vectorises the loop;
// libm's sinf and cosf take ten times as long.
inline void CosSin(const float* frequencies, int64_t half, float position, float scale, float* cosine,
                   float* sine) {
  // 1.5 * 2^52: adding it rounds a number to an integer, which then stands in the low bits.
  constexpr double kShift = 6755399441055744.0;
  for (int64_t i = 0; i < half; ++i) {
    const double angle = position * frequencies[i];
    const double shifted = angle * 0.6366197723675814 + kShift;
    int64_t quadrant;
    std::memcpy(&quadrant, &shifted, 8);
    const double r = angle - (shifted - kShift) * 1.5707963267948966;
    const double r2 = r * r;
    const double s =
        r + r * r2 * (-1.0 / 6 + r2 * (1.0 / 120 + r2 * (-1.0 / 5040 + r2 * (1.0 / 362880 - r2 / 39916800))));
    const double c =
        1 + r2 * (-0.5 + r2 * (1.0 / 24 + r2 * (-1.0 / 720 + r2 * (1.0 / 40320 - r2 / 3628800))));
    const bool odd = (quadrant & 1) != 0;
    const double sin_magnitude = odd ? c : s, cos_magnitude = odd ? s : c;
    sine[i] = static_cast<float>((quadrant & 2) != 0 ? -sin_magnitude : sin_magnitude) * scale;
    cosine[i] = static_cast<float>(((quadrant + 1) & 2) != 0 ? -cos_magnitude : cos_magnitude) * scale;
  }
}

// Rotates the pairs (x[i], x[half + i]) of a head by the angles of CosSin. x and y may be the same head.
inline void RotateHead(const float* x, const float* cosine, const float* sine, int64_t half, float* y) {
  int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const Vec a = Load(x + i), b = Load(x + half + i), c = Load(cosine + i), s = Load(sine + i);
    Store(y + i, a * c - b * s);
    Store(y + half + i, b * c + a * s);
  }
  for (; i < half; ++i) {
    const float a = x[i], b = x[half + i];
    y[i] = a * cosine[i] - b * sine[i];
    y[half + i] = b * cosine[i] + a * sine[i];
  }
}

}  // namespace
}  // namespace specattn

// RotaryEmbedding: rotates the pairs (i, i + D/2) of every head by the angle (position + t) * frequencies[i]
// (arXiv 2104.09864, pairs as in Hugging Face's Llama):
//   y[t,h,i]       = scale * (x[t,h,i] * cos - x[t,h,i + D/2] * sin)
//   y[t,h,i + D/2] = scale * (x[t,h,i + D/2] * cos + x[t,h,i] * sin)
//
// inputs   x [T,H,D] float32, position [1] int32, frequencies [D/2] float32
// attrs    scale (YaRN's, else 1)
// outputs  y [T,H,D] float32
#include "../check.h"
#include "../cpu/kernels.h"
#include "../cpu/parallel.h"
#include "../cpu/simd.h"

namespace specattn {
namespace {

// cos and sin of position * frequencies[i], times scale. The angle is a float32, as in the reference
// implementations; its reduction to [-pi/4, pi/4] and the Taylor polynomials are in double, right to about 1
// float32 ulp for angles of millions. Branchless, so that the compiler vectorises it: libm's sinf and cosf
// take ten times as long.
void CosSin(const float* frequencies, int64_t half, float position, float scale, float* cosine, float* sine) {
  constexpr double kShift =
      6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer, in the low bits
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

void RotateHead(const float* x, const float* cosine, const float* sine, int64_t half, float* y) {
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

namespace SPECATTN_ISA {

Status RotaryEmbedding(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("RotaryEmbedding", args, 3, 1, 1));
  const Tensor& x = args.inputs[0];
  const Tensor& position = args.inputs[1];
  const Tensor& frequencies = args.inputs[2];
  const Tensor& y = args.outputs[0];
  const float scale = static_cast<float>(args.attrs[0]);
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("RotaryEmbedding", "x", x, DType::kFloat32, {kAnySize, kAnySize, kAnySize}));
  const int64_t rows = x.dims[0], heads = x.dims[1], size = x.dims[2], half = size / 2;
  SPECATTN_CHECK(size % 2 == 0, "[RotaryEmbedding] x must have an even head size but has %lld",
                 static_cast<long long>(size));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("RotaryEmbedding", "position", position, DType::kInt32, {1}));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("RotaryEmbedding", "frequencies", frequencies, DType::kFloat32, {half}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("RotaryEmbedding", "output", y, DType::kFloat32, {rows, heads, size}));
  if (y.size() == 0) return Ok();
  float* table = static_cast<float*>(stream.Scratch(static_cast<size_t>(rows * size) * sizeof(float)));
  SPECATTN_CHECK(table != nullptr, "[RotaryEmbedding] no memory for %lld angles",
                 static_cast<long long>(rows * half));

  const int64_t first = position.as<int32_t>()[0];
  ParallelFor(stream, rows, 1 + 16384 / (heads * size), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* cosine = table + t * size;
      float* sine = cosine + half;
      CosSin(frequencies.as<float>(), half, static_cast<float>(first + t), scale, cosine, sine);
      for (int64_t h = t * heads; h < (t + 1) * heads; ++h)
        RotateHead(x.as<float>() + h * size, cosine, sine, half, y.as<float>() + h * size);
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

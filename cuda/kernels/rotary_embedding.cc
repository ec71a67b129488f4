// RotaryEmbedding on the CPU. Threads share the rows.
#include "kernels/rotary_embedding.h"

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/rotary.h"

namespace specattn {
namespace SPECATTN_ISA {

Status RotaryEmbedding(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckRotaryEmbedding(args));
  const Tensor& x = args.inputs[0];
  const Tensor& y = args.outputs[0];
  const int64_t rows = x.dims[0], heads = x.dims[1], size = x.dims[2], half = size / 2;
  const float* frequencies = args.inputs[2].as<float>();
  const float scale = static_cast<float>(args.attrs[0]);
  if (y.size() == 0) return Ok();
  float* table = static_cast<float*>(stream.Scratch(static_cast<size_t>(rows * size) * sizeof(float)));
  SPECATTN_CHECK(table != nullptr, "[RotaryEmbedding] no memory for %lld angles",
                 static_cast<long long>(rows * half));

  const int64_t first = args.inputs[1].as<int32_t>()[0];
  ParallelFor(stream, rows, 1 + 16384 / (heads * size), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* cosine = table + t * size;
      float* sine = cosine + half;
      CosSin(frequencies, half, static_cast<float>(first + t), scale, cosine, sine);
      for (int64_t h = t * heads; h < (t + 1) * heads; ++h)
        RotateHead(x.as<float>() + h * size, cosine, sine, half, y.as<float>() + h * size);
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// RotaryAppend on the CPU. Threads share the rows.
#include "kernels/rotary_append.h"

#include "cpu/copy_row.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/rms_norm.h"
#include "cpu/rotary.h"
#include "cpu/with_float.h"

namespace specattn {
namespace SPECATTN_ISA {

Status RotaryAppend(Stream& stream, const Args& args) {
  RotaryAppendSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckRotaryAppend(args, &sizes));
  const int64_t rows = sizes.rows, heads = sizes.heads, kv_heads = sizes.kv_heads, capacity = sizes.capacity;
  const int64_t size = sizes.size, half = size / 2, width = (heads + 2 * kv_heads) * size;
  if (rows * width == 0) return Ok();
  const float* qkv = args.inputs[0].as<float>();
  const float* frequencies = args.inputs[2].as<float>();
  const float scale = static_cast<float>(args.attrs[0]);
  const float epsilon = static_cast<float>(args.attrs[1]);
  const bool norms = args.input_count == 7;
  const float* q_norm = norms ? args.inputs[5].as<float>() : nullptr;
  const float* k_norm = norms ? args.inputs[6].as<float>() : nullptr;
  float* q = args.outputs[0].as<float>();

  // A row's scratch memory holds D/2 cosines, D/2 sines and one rotated key [D] that is then narrowed.
  float* scratch = static_cast<float*>(stream.Scratch(static_cast<size_t>(rows * 2 * size) * sizeof(float)));
  SPECATTN_CHECK(scratch != nullptr, "[RotaryAppend] no memory for %lld angles",
                 static_cast<long long>(rows * half));

  const int64_t first = args.inputs[1].as<int32_t>()[0];
  WithFloat(args.inputs[3].dtype, [&](auto k_type) {
    WithFloat(args.inputs[4].dtype, [&](auto v_type) {
      auto* k_cache = args.inputs[3].as<decltype(k_type)>();
      auto* v_cache = args.inputs[4].as<decltype(v_type)>();
      ParallelFor(stream, rows, 1 + 16384 / width, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          const float* x = qkv + t * width;
          float* cosine = scratch + t * 2 * size;
          float* sine = cosine + half;
          float* rotated = cosine + size;
          CosSin(frequencies, half, static_cast<float>(first + t), scale, cosine, sine);
          // Writes a head's norm, if there is one, and its rotation to y.
          const auto rotate = [&](const float* head, const float* norm, float* y) {
            if (norm) NormRow(head, norm, epsilon, y, size);
            RotateHead(norm ? y : head, cosine, sine, half, y);
          };
          for (int64_t h = 0; h < heads; ++h) rotate(x + h * size, q_norm, q + (t * heads + h) * size);
          if (first + t < 0 || first + t >= capacity) continue;
          const float* keys = x + heads * size;
          const float* values = keys + kv_heads * size;
          for (int64_t g = 0; g < kv_heads; ++g) {
            const int64_t to = (g * capacity + first + t) * size;
            rotate(keys + g * size, k_norm, rotated);
            CopyRow(rotated, k_cache + to, size);
            CopyRow(values + g * size, v_cache + to, size);
          }
        }
      });
    });
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// KVCacheAppend on the CPU. Threads share the rows.
#include "kernels/kv_cache_append.h"

#include "cpu/copy_row.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/with_float.h"

namespace specattn {
namespace SPECATTN_ISA {

Status KVCacheAppend(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckKVCacheAppend(args));
  const Tensor& cache = args.inputs[0];
  const Tensor& rows = args.inputs[1];
  const int64_t kv_heads = cache.dims[0], capacity = cache.dims[1], size = cache.dims[2];
  if (cache.size() == 0 || rows.size() == 0) return Ok();

  const int64_t first = args.inputs[2].as<int32_t>()[0];
  WithFloat(rows.dtype, [&](auto from_type) {
    WithFloat(cache.dtype, [&](auto to_type) {
      const auto* from = rows.as<decltype(from_type)>();
      auto* to = cache.as<decltype(to_type)>();
      ParallelFor(stream, rows.dims[0], 1 + 32768 / (kv_heads * size), [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          if (first + t < 0 || first + t >= capacity) continue;
          for (int64_t g = 0; g < kv_heads; ++g)
            CopyRow(from + (t * kv_heads + g) * size, to + (g * capacity + first + t) * size, size);
        }
      });
    });
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// KVCacheAppend on CUDA. A block copies a row of some KV heads; neighbouring threads copy neighbouring elements.
#include "gpu/attention/heads.cuh"
#include "gpu/primitives/any_float.cuh"
#include "gpu/runtime/kernels.h"
#include "kernels/kv_cache_append.h"

namespace specattn {
namespace gpu {
namespace {

__global__ void __launch_bounds__(256)
    AppendRows(const void* rows, DType from, void* cache, DType to, const int32_t* position, int64_t count,
               int64_t kv_heads, int64_t capacity, int64_t size) {
  WaitForPrevious();
  LetNextStart();
  const int64_t first = *position;
  for (int64_t t = blockIdx.x; t < count; t += gridDim.x) {
    const int64_t place = first + t;
    if (place < 0 || place >= capacity) continue;
    for (int64_t g = int64_t{blockIdx.y} * blockDim.y + threadIdx.y; g < kv_heads;
         g += int64_t{gridDim.y} * blockDim.y) {
      for (int64_t d = threadIdx.x; d < size; d += blockDim.x)
        StoreAs(to, cache, (g * capacity + place) * size + d,
                LoadAs(from, rows, (t * kv_heads + g) * size + d));
    }
  }
}

}  // namespace

Status KVCacheAppend(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckKVCacheAppend(args));
  auto& cuda = static_cast<CudaStream&>(stream);
  const Tensor& cache = args.inputs[0];
  const Tensor& rows = args.inputs[1];
  if (cache.size() == 0 || rows.size() == 0) return Ok();
  const int64_t count = rows.dims[0], kv_heads = cache.dims[0], capacity = cache.dims[1],
                size = cache.dims[2];
  const HeadsLaunch shape(cuda, count, kv_heads, size);
  return LaunchKernel(cuda, "KVCacheAppend", Start::kEarly, AppendRows, shape.grid, shape.block, 0, rows.data,
                      rows.dtype, cache.data, cache.dtype, args.inputs[2].as<int32_t>(), count, kv_heads,
                      capacity, size);
}

}  // namespace gpu
}  // namespace specattn

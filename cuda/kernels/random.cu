// Random on CUDA: a grid-stride loop, so that writes are coalesced and one launch serves any size.
#include "gpu/primitives/element.cuh"
#include "gpu/runtime/kernels.h"
#include "gpu/runtime/launch.cuh"
#include "kernels/random.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kThreads = 256, kBlocksPerProcessor = 8;

template <class T>
__global__ void FillWithRandom(T* __restrict__ out, int64_t size, uint32_t seed, float scale) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride)
    FromFloat(RandomElement(seed, scale, i), out + i);
}

}  // namespace

Status Random(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckRandom(args));
  auto& cuda = static_cast<CudaStream&>(stream);
  const RandomCall call = RandomOf(args);
  const int64_t size = call.out.size();
  if (size == 0) return Ok();
  const int64_t most = static_cast<int64_t>(cuda.processors()) * kBlocksPerProcessor;
  const int64_t blocks = CeilDiv<int64_t>(size, kThreads);
  const dim3 grid(static_cast<unsigned>(blocks < most ? blocks : most));
  return WithFloat(call.out.dtype, [&](auto t) {
    using T = decltype(t);
    return LaunchKernel(cuda, "Random", Start::kInOrder, FillWithRandom<T>, grid, dim3(kThreads), 0,
                        call.out.as<T>(), size, call.seed, call.scale);
  });
}

}  // namespace gpu
}  // namespace specattn

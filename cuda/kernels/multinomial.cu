// Multinomial on CUDA. A block computes a row's running sums with ScanRow (gpu/primitives/scan.cuh), in float64 as the CPU
// kernel does; then each thread draws samples. Blocks loop over the rows, so that scratch memory is needed only for the rows
// that run at once.
#include <algorithm>

#include "gpu/primitives/reduce.cuh"
#include "gpu/primitives/scan.cuh"
#include "kernels/multinomial.h"

namespace specattn {
namespace gpu {
namespace {

__global__ void __launch_bounds__(1024, 1)
    Rows(const float* logits, int32_t* y, double* scratch, const MultinomialCall call) {
  __shared__ double shared[kWarp];
  __shared__ float shared_max[kWarp];
  const int64_t n = call.n;
  double* sums = scratch + blockIdx.x * n;
  for (int64_t row = blockIdx.x; row < call.rows; row += gridDim.x) {
    const float* x = logits + row * n;
    float max = -INFINITY;
    if (!call.normalized) {
#pragma unroll 4
      for (int64_t i = threadIdx.x; i < n; i += blockDim.x) max = x[i] > max ? x[i] : max;
      max = BlockReduce(max, Maximum{}, -INFINITY, shared_max);
    }
    ScanRow(
        n, Plus{}, 0.0, shared,
        [&](int64_t j) {
          const double value = static_cast<double>(x[j]);
          return call.normalized ? value : ::exp(value - static_cast<double>(max));
        },
        [&](int64_t j, double, double after) { sums[j] = after; });
    __syncthreads();
    const double total = call.normalized ? 1.0 : sums[n - 1];
    for (int64_t s = threadIdx.x; s < call.samples; s += blockDim.x)
      y[row * call.samples + s] = multinomial::Find(sums, n, multinomial::Uniform(call.seed, row, s) * total);
    __syncthreads();  // the next row overwrites the sums
  }
}

}  // namespace

Status Multinomial(Stream& stream, const Args& args) {
  MultinomialCall call;
  SPECATTN_RETURN_IF_ERROR(CheckMultinomial(args, &call));
  if (args.outputs[0].size() == 0) return Ok();
  auto& cuda = static_cast<CudaStream&>(stream);
  const int64_t blocks = std::min<int64_t>(call.rows, 2 * cuda.processors());
  auto* sums = static_cast<double*>(stream.Scratch(static_cast<size_t>(blocks * call.n) * sizeof(double)));
  SPECATTN_CHECK(sums != nullptr, "[Multinomial] no memory for %lld running sums",
                 static_cast<long long>(blocks * call.n));
  return LaunchKernel(cuda, "Multinomial", Start::kInOrder, Rows, static_cast<unsigned>(blocks),
                      ScanThreads(std::max(call.n, call.samples)), 0, args.inputs[0].as<float>(),
                      args.outputs[0].as<int32_t>(), sums, call);
}

}  // namespace gpu
}  // namespace specattn

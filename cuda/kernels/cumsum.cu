// Cumsum on CUDA. A row of up to kShort elements is scanned by one thread, a longer one by a block with ScanRow
// (gpu/primitives/scan.cuh). The length alone decides, so that a row's bits do not depend on how many rows there are.
#include "core/convert.h"
#include "gpu/primitives/elementwise.cuh"
#include "gpu/primitives/scan.cuh"
#include "kernels/cumsum.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int64_t kShort = 64;  // elements of the longest row that one thread scans

struct Combine {
  bool product;
  __device__ __forceinline__ double operator()(double a, double b) const { return product ? a * b : a + b; }
};

// The index in x and y of element j of row i.
struct Place {
  int64_t first, step;
  __device__ __forceinline__ Place(const CumsumCall& call, int64_t i) {
    int64_t column;
    first = Divide(i, call.inner, &column) * call.n * call.inner;
    first += column + (call.reverse ? (call.n - 1) * call.inner : 0);
    step = call.reverse ? -call.inner : call.inner;
  }
  __device__ __forceinline__ int64_t operator()(int64_t j) const { return first + j * step; }
};

template <class In, class Out>
__global__ void Threads(const In* x, Out* y, const CumsumCall call) {
  const int64_t i = ElementIndex();
  if (i >= call.outer * call.inner) return;
  const Place place(call, i);
  const Combine op{call.product};
  double before = call.product ? 1 : 0;
  for (int64_t j = 0; j < call.n; ++j) {
    const double after = op(before, static_cast<double>(x[place(j)]));
    Convert(call.exclusive ? before : after, y + place(j));
    before = after;
  }
}

template <class In, class Out>
__global__ void __launch_bounds__(1024) Blocks(const In* x, Out* y, const CumsumCall call) {
  __shared__ double shared[kWarp];
  const Place place(call, blockIdx.x);
  ScanRow(
      call.n, Combine{call.product}, call.product ? 1.0 : 0.0, shared,
      [&](int64_t j) { return static_cast<double>(x[place(j)]); },
      [&](int64_t j, double before, double after) {
        Convert(call.exclusive ? before : after, y + place(j));
      });
}

template <class In, class Out>
Status Run(Stream& stream, const CumsumCall& call, const Args& args) {
  auto& cuda = static_cast<CudaStream&>(stream);
  const In* x = args.inputs[0].as<In>();
  Out* y = args.outputs[0].as<Out>();
  const int64_t rows = call.outer * call.inner;
  if (call.n <= kShort)
    return LaunchKernel(cuda, "Cumsum", Start::kInOrder, Threads<In, Out>, ElementGrid(rows), kElementThreads,
                        0, x, y, call);
  return LaunchKernel(cuda, "Cumsum", Start::kInOrder, Blocks<In, Out>, static_cast<unsigned>(rows),
                      ScanThreads(call.n), 0, x, y, call);
}

}  // namespace

Status Cumsum(Stream& stream, const Args& args) {
  CumsumCall call;
  SPECATTN_RETURN_IF_ERROR(CheckCumsum(args, &call));
  if (args.inputs[0].size() == 0) return Ok();
  if (args.inputs[0].dtype == DType::kFloat32) return Run<float, float>(stream, call, args);
  if (args.inputs[0].dtype == DType::kInt32) return Run<int32_t, int32_t>(stream, call, args);
  return Run<uint8_t, int32_t>(stream, call, args);
}

}  // namespace gpu
}  // namespace specattn

// ArgMax on CUDA by ReduceAxis (gpu/primitives/axis.cuh). Every thread starts from element 0, as the CPU kernel does: if
// element 0 is NaN, nothing beats it.
#include "gpu/primitives/axis.cuh"
#include "gpu/primitives/elementwise.cuh"
#include "kernels/arg_max.h"

namespace specattn {
namespace gpu {
namespace {

template <class T>
struct Best {
  T value;
  int32_t index;
};

template <class T>
__global__ void __launch_bounds__(kAxisThreads, 4)
    Elements(const __grid_constant__ AxisPlan plan, const ArgMaxCall call, const T* x, int32_t* y) {
  const auto beats = [&](T a, T b) { return call.smallest ? a < b : a > b; };
  ReduceAxis<Best<T>>(
      plan,
      [&](int64_t output, int64_t begin, int64_t end, int64_t step) {
        int64_t column;
        const int64_t row = Divide(output, call.inner, &column);
        const T* from = x + row * call.n * call.inner + column;
        Best<T> best{from[0], 0};
#pragma unroll 4
        for (int64_t j = begin; j < end; j += step) {
          const T value = from[j * call.inner];
          if (beats(value, best.value)) best = {value, static_cast<int32_t>(j)};
        }
        return best;
      },
      [&](const Best<T>& a, const Best<T>& b) {
        return beats(b.value, a.value) || (b.value == a.value && b.index < a.index) ? b : a;
      },
      [&](int64_t output, const Best<T>& best) { y[output] = best.index; });
}

template <class T>
Status Run(Stream& stream, const ArgMaxCall& call, const Args& args) {
  auto& cuda = static_cast<CudaStream&>(stream);
  AxisPlan plan;
  SPECATTN_RETURN_IF_ERROR(
      PlanAxis(cuda, "ArgMax", call.outer * call.inner, call.n, call.inner > 1, sizeof(Best<T>), &plan));
  return LaunchKernel(cuda, "ArgMax", Start::kInOrder, Elements<T>, plan.grid(), kAxisThreads, 0, plan, call,
                      args.inputs[0].as<T>(), args.outputs[0].as<int32_t>());
}

}  // namespace

Status ArgMax(Stream& stream, const Args& args) {
  ArgMaxCall call;
  SPECATTN_RETURN_IF_ERROR(CheckArgMax(args, &call));
  if (args.outputs[0].size() == 0) return Ok();
  if (args.inputs[0].dtype == DType::kFloat32) return Run<float>(stream, call, args);
  if (args.inputs[0].dtype == DType::kInt32) return Run<int32_t>(stream, call, args);
  return Run<uint8_t>(stream, call, args);
}

}  // namespace gpu
}  // namespace specattn

// Reduce on CUDA by ReduceAxis (gpu/primitives/axis.cuh), with the functions of reduce.h that the CPU uses too.
#include "gpu/primitives/axis.cuh"
#include "gpu/primitives/elementwise.cuh"
#include "kernels/reduce.h"

namespace specattn {
namespace gpu {
namespace {

template <class F, class In, class Out>
__global__ void __launch_bounds__(kAxisThreads)
    Elements(const __grid_constant__ AxisPlan plan, const __grid_constant__ Loops<1> kept,
             const __grid_constant__ Loops<1> reduced, const In* x, Out* y) {
  using Acc = typename F::Acc;
  ReduceAxis<Acc>(
      plan,
      [&](int64_t output, int64_t begin, int64_t end, int64_t step) {
        int64_t base[1], at[1];
        Offsets(kept, output, base);
        const In* from = x + base[0];
        Acc acc = F::First(from[0]);
        if (reduced.rank == 1) {
          const int64_t stride = reduced.strides[0][0];
#pragma unroll 4
          for (int64_t j = begin; j < end; j += step) acc = F::Step(acc, from[j * stride]);
        } else {
#pragma unroll 1
          for (int64_t j = begin; j < end; j += step) {
            Offsets(reduced, j, at);
            acc = F::Step(acc, from[at[0]]);
          }
        }
        return acc;
      },
      [](Acc a, Acc b) { return F::Merge(a, b); },
      [&](int64_t output, Acc acc) {
        if (plan.n == 0)
          Convert(F::Empty(), y + output);
        else
          Convert(F::Finish(acc, plan.n), y + output);
      });
}

struct OnCuda {
  template <template <class> class F, class In, class Out>
  static Status Run(Stream& stream, const ReducePlan& reduction, const Tensor& x, const Tensor& y) {
    auto& cuda = static_cast<CudaStream&>(stream);
    const bool across = reduction.reduced.strides[reduction.reduced.rank - 1][0] != 1;
    AxisPlan plan;
    SPECATTN_RETURN_IF_ERROR(
        PlanAxis(cuda, "Reduce", reduction.outputs, reduction.n, across, sizeof(typename F<In>::Acc), &plan));
    return LaunchKernel(cuda, "Reduce", Start::kInOrder, Elements<F<In>, In, Out>, plan.grid(), kAxisThreads,
                        0, plan, reduction.kept, reduction.reduced, x.as<In>(), y.as<Out>());
  }
};

}  // namespace

Status Reduce(Stream& stream, const Args& args) { return RunReduce<OnCuda>(stream, args); }

}  // namespace gpu
}  // namespace specattn

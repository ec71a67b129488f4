// Reductions along axes by ReduceAxis (gpu/axis.cuh), each function with the twin's steps.
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

template <template <class> class F, class In, class Out>
Status Typed(CudaStream& stream, const ReducePlan& reduction, const Tensor& x, const Tensor& y) {
  const bool across = reduction.reduced.strides[reduction.reduced.rank - 1][0] != 1;
  AxisPlan plan;
  SPECATTN_RETURN_IF_ERROR(
      PlanAxis(stream, "Reduce", reduction.outputs, reduction.n, across, sizeof(typename F<In>::Acc), &plan));
  return LaunchKernel(stream, "Reduce", Start::kInOrder, Elements<F<In>, In, Out>, plan.grid(), kAxisThreads,
                      0, plan, reduction.kept, reduction.reduced, x.as<In>(), y.as<Out>());
}

template <template <class> class F, reduce::Kind kind>
Status Function(CudaStream& stream, const ReducePlan& plan, const Tensor& x, const Tensor& y) {
  if (x.dtype == DType::kFloat32) return Typed<F, float, float>(stream, plan, x, y);
  if constexpr (kind == reduce::kFloat) {
    if (x.dtype == DType::kInt32) return Typed<F, int32_t, float>(stream, plan, x, y);
    return Typed<F, uint8_t, float>(stream, plan, x, y);
  } else {
    if (x.dtype == DType::kInt32) return Typed<F, int32_t, int32_t>(stream, plan, x, y);
    if constexpr (kind == reduce::kNumeric) return Typed<F, uint8_t, int32_t>(stream, plan, x, y);
    return Typed<F, uint8_t, uint8_t>(stream, plan, x, y);
  }
}

using Runner = Status (*)(CudaStream&, const ReducePlan&, const Tensor&, const Tensor&);
constexpr Runner kRunners[] = {
#define REDUCE(Name) Function<reduce::Name, reduce::k##Name##Kind>,
#include "core/elementwise.def"
};

}  // namespace

Status Reduce(Stream& stream, const Args& args) {
  ReducePlan plan;
  SPECATTN_RETURN_IF_ERROR(CheckReduce(args, &plan));
  if (plan.outputs == 0) return Ok();
  return kRunners[plan.function](static_cast<CudaStream&>(stream), plan, args.inputs[0], args.outputs[0]);
}

}  // namespace gpu
}  // namespace specattn

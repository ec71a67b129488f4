// Reduce: folds a tensor along any of its axes (Sum, Mean, Prod, Max, Min, Any, All).
//
// inputs   x [...]: float32, int32 or bool
// attrs    function: its number in core/elementwise.def; then the axes to reduce, perhaps none
// outputs  y: the axes that are left, in order, with or without 1s for the others. The dtype depends on the function:
//            Mean                float32
//            Sum, Prod           x's dtype, int32 for bool
//            Max, Min, Any, All  x's dtype
//
// Max and Min are NaN if any element is. Among zeros of both signs the device decides which one is the result.
// Over no elements Sum, Mean, Any and All give 0, Prod gives 1, Max and Min give NaN (0 for integers), as on
// tfjs-backend-cpu. Sums and products of floats run in float64, in an order that does not depend on the number of
// threads. Sums and products of integers are exact modulo 2^64; they wrap to 32 bits when stored.
#pragma once
#include "core/check.h"
#include "core/convert.h"
#include "core/strided.h"

namespace specattn {
namespace {
namespace reduce {

enum Function : int {
#define REDUCE(Name) k##Name,
#include "core/elementwise.def"
  kFunctions
};

// The type that sums and products of T run in: unsigned for integers, so that overflow wraps.
template <class T>
struct Wide {
  using Type = uint64_t;
};
template <>
struct Wide<float> {
  using Type = double;
};

// Each function is a struct of In, the dtype of x, with
//   Acc            the accumulator's type
//   First(x)       the accumulator to start from; x is any of the elements
//   Step(acc, x)   takes in an element
//   Merge(a, b)    joins two accumulators
//   Finish(acc, n) the result over n elements
//   Empty()        the result over no elements
template <class In>
struct Sum {
  using Acc = typename Wide<In>::Type;
  SPECATTN_HOST_DEVICE static Acc First(In) { return 0; }
  SPECATTN_HOST_DEVICE static Acc Step(Acc acc, In x) { return acc + static_cast<Acc>(x); }
  SPECATTN_HOST_DEVICE static Acc Merge(Acc a, Acc b) { return a + b; }
  SPECATTN_HOST_DEVICE static Acc Finish(Acc acc, int64_t) { return acc; }
  SPECATTN_HOST_DEVICE static double Empty() { return 0; }
};
template <class In>
struct Mean : Sum<In> {
  SPECATTN_HOST_DEVICE static double Finish(double acc, int64_t n) { return acc / static_cast<double>(n); }
  SPECATTN_HOST_DEVICE static double Finish(uint64_t acc, int64_t n) {
    return static_cast<double>(static_cast<int64_t>(acc)) / static_cast<double>(n);
  }
};
template <class In>
struct Prod {
  using Acc = typename Wide<In>::Type;
  SPECATTN_HOST_DEVICE static Acc First(In) { return 1; }
  SPECATTN_HOST_DEVICE static Acc Step(Acc acc, In x) { return acc * static_cast<Acc>(x); }
  SPECATTN_HOST_DEVICE static Acc Merge(Acc a, Acc b) { return a * b; }
  SPECATTN_HOST_DEVICE static Acc Finish(Acc acc, int64_t) { return acc; }
  SPECATTN_HOST_DEVICE static double Empty() { return 1; }
};
template <class In>
struct Max {
  using Acc = In;
  SPECATTN_HOST_DEVICE static Acc First(In x) { return x; }
  SPECATTN_HOST_DEVICE static Acc Step(Acc acc, In x) { return (x > acc) | (x != x) ? x : acc; }
  SPECATTN_HOST_DEVICE static Acc Merge(Acc a, Acc b) { return Step(a, b); }
  SPECATTN_HOST_DEVICE static double Finish(Acc acc, int64_t) { return static_cast<double>(acc); }
  SPECATTN_HOST_DEVICE static double Empty() { return static_cast<double>(NAN); }
};
template <class In>
struct Min : Max<In> {
  SPECATTN_HOST_DEVICE static In Step(In acc, In x) { return (x < acc) | (x != x) ? x : acc; }
  SPECATTN_HOST_DEVICE static In Merge(In a, In b) { return Step(a, b); }
};
template <class In>
struct Any {
  using Acc = In;
  SPECATTN_HOST_DEVICE static Acc First(In) { return 0; }
  SPECATTN_HOST_DEVICE static Acc Step(Acc acc, In x) { return (acc != 0) | (x != 0); }
  SPECATTN_HOST_DEVICE static Acc Merge(Acc a, Acc b) { return Step(a, b); }
  SPECATTN_HOST_DEVICE static double Finish(Acc acc, int64_t) { return static_cast<double>(acc); }
  SPECATTN_HOST_DEVICE static double Empty() { return 0; }
};
template <class In>
struct All : Any<In> {
  SPECATTN_HOST_DEVICE static In First(In) { return 1; }
  SPECATTN_HOST_DEVICE static In Step(In acc, In x) { return (acc != 0) & (x != 0); }
  SPECATTN_HOST_DEVICE static In Merge(In a, In b) { return Step(a, b); }
};

// The output's dtype. kSame: x's. kNumeric: x's, but int32 for bool. kFloat: float32.
enum Kind { kSame, kNumeric, kFloat };

constexpr Kind kSumKind = kNumeric, kMeanKind = kFloat, kProdKind = kNumeric, kMaxKind = kSame,
               kMinKind = kSame, kAnyKind = kSame, kAllKind = kSame;
constexpr Kind kKinds[] = {
#define REDUCE(Name) k##Name##Kind,
#include "core/elementwise.def"
};

}  // namespace reduce

struct ReducePlan {
  int function = 0;
  Loops<1> kept, reduced;      // loops over the kept and over the reduced axes, with x's strides
  int64_t outputs = 1, n = 1;  // elements of the output; elements that each of them is folded from
};

inline Status CheckReduce(const Args& args, ReducePlan* plan) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1 && args.attr_count >= 1,
                 "[Reduce] expected 1 input, 1 output and a function but has %d, %d and %d attributes",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  const int64_t function = Whole(args.attrs[0]);
  SPECATTN_CHECK(function >= 0 && function < reduce::kFunctions, "[Reduce] no function %g", args.attrs[0]);
  const reduce::Kind kind = reduce::kKinds[function];
  const DType expected = kind == reduce::kFloat                                ? DType::kFloat32
                         : kind == reduce::kNumeric && x.dtype == DType::kBool ? DType::kInt32
                                                                               : x.dtype;
  SPECATTN_RETURN_IF_ERROR(CheckDType("Reduce", "the output", y, expected));
  bool is_reduced[kMaxRank] = {};
  for (int i = 1; i < args.attr_count; ++i) {
    const int64_t axis = Whole(args.attrs[i]);
    SPECATTN_CHECK(axis >= 0 && axis < x.rank, "[Reduce] axis %g of a tensor of rank %d", args.attrs[i],
                   x.rank);
    is_reduced[axis] = true;
  }
  int64_t strides[kMaxRank], stride = 1;
  for (int i = x.rank - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= x.dims[i];
  }
  for (int i = 0; i < x.rank; ++i) {
    (is_reduced[i] ? plan->reduced : plan->kept).Add(x.dims[i], {strides[i]});
    (is_reduced[i] ? plan->n : plan->outputs) *= x.dims[i];
  }
  plan->function = static_cast<int>(function);
  plan->kept.Close();
  plan->reduced.Close();
  SPECATTN_CHECK(y.size() == plan->outputs, "[Reduce] the output must have %lld elements but has %lld",
                 static_cast<long long>(plan->outputs), static_cast<long long>(y.size()));
  return Ok();
}

// Runs one function with the element types of x and y. Device is a struct with
//   template <template <class> class F, class In, class Out>
//   static Status Run(Stream&, const ReducePlan&, const Tensor& x, const Tensor& y);
template <class Device, template <class> class F, reduce::Kind kind>
Status RunFunction(Stream& stream, const ReducePlan& plan, const Tensor& x, const Tensor& y) {
  if (x.dtype == DType::kFloat32) return Device::template Run<F, float, float>(stream, plan, x, y);
  if constexpr (kind == reduce::kFloat) {
    if (x.dtype == DType::kInt32) return Device::template Run<F, int32_t, float>(stream, plan, x, y);
    return Device::template Run<F, uint8_t, float>(stream, plan, x, y);
  } else {
    if (x.dtype == DType::kInt32) return Device::template Run<F, int32_t, int32_t>(stream, plan, x, y);
    if constexpr (kind == reduce::kNumeric)
      return Device::template Run<F, uint8_t, int32_t>(stream, plan, x, y);
    return Device::template Run<F, uint8_t, uint8_t>(stream, plan, x, y);
  }
}

// The launcher of Reduce on a device.
template <class Device>
Status RunReduce(Stream& stream, const Args& args) {
  using Runner = Status (*)(Stream&, const ReducePlan&, const Tensor&, const Tensor&);
  static constexpr Runner kRunners[] = {
#define REDUCE(Name) RunFunction<Device, reduce::Name, reduce::k##Name##Kind>,
#include "core/elementwise.def"
  };
  ReducePlan plan;
  SPECATTN_RETURN_IF_ERROR(CheckReduce(args, &plan));
  if (plan.outputs == 0) return Ok();
  return kRunners[plan.function](stream, plan, args.inputs[0], args.outputs[0]);
}

}  // namespace
}  // namespace specattn

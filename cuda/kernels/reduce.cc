// Reductions over any axes.
//   input   x: float32 | int32 | bool
//   attrs   function (its place in elementwise.def), then the axes, ascending; none: nothing is reduced
//   output  the axes left, in order (1s among them or not); Mean: float32; Sum and Prod: x's dtype, int32 for
//   bool;
//           Max, Min, Any, All: x's dtype
// Max and Min are NaN where any element is. Over no elements Sum, Mean, Any and All are 0, Prod is 1, Max and
// Min NaN (0 for integers), as on tfjs-backend-cpu. Sums run in float64 (integers: int64, wrapped when
// stored), in a fixed order whatever the threads.
#include "../cpu/convert.h"
#include "../cpu/simd.h"
#include "../cpu/strided.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int kAccumulators = 32;    // of a contiguous run, merged in order
constexpr int64_t kChunk = 1 << 15;  // elements of a long run that one task takes
constexpr int64_t kColumns = 128;    // outputs whose accumulators one task holds

template <class T>
struct SumType {
  using Type = int64_t;
};
template <>
struct SumType<float> {
  using Type = double;
};

template <class In>
struct Sum {
  using Acc = typename SumType<In>::Type;
  static Acc First(In) { return 0; }
  static Acc Step(Acc acc, In x) { return acc + static_cast<Acc>(x); }
  static Acc Merge(Acc a, Acc b) { return a + b; }
  static double Finish(Acc acc, int64_t) { return static_cast<double>(acc); }
  static double Empty() { return 0; }
};
template <class In>
struct Mean : Sum<In> {
  static double Finish(typename Sum<In>::Acc acc, int64_t n) {
    return static_cast<double>(acc) / static_cast<double>(n);
  }
};
template <class In>
struct Prod {
  using Acc = double;
  static Acc First(In) { return 1; }
  static Acc Step(Acc acc, In x) { return acc * static_cast<Acc>(x); }
  static Acc Merge(Acc a, Acc b) { return a * b; }
  static double Finish(Acc acc, int64_t) { return acc; }
  static double Empty() { return 1; }
};
template <class In>
struct Max {
  using Acc = In;
  static Acc First(In x) { return x; }
  static Acc Step(Acc acc, In x) { return (x > acc) | (x != x) ? x : acc; }
  static Acc Merge(Acc a, Acc b) { return Step(a, b); }
  static double Finish(Acc acc, int64_t) { return static_cast<double>(acc); }
  static double Empty() { return static_cast<double>(NAN); }
};
template <class In>
struct Min : Max<In> {
  static In Step(In acc, In x) { return (x < acc) | (x != x) ? x : acc; }
  static In Merge(In a, In b) { return Step(a, b); }
};
template <class In>
struct Any {
  using Acc = In;
  static Acc First(In) { return 0; }
  static Acc Step(Acc acc, In x) { return (acc != 0) | (x != 0); }
  static Acc Merge(Acc a, Acc b) { return Step(a, b); }
  static double Finish(Acc acc, int64_t) { return static_cast<double>(acc); }
  static double Empty() { return 0; }
};
template <class In>
struct All : Any<In> {
  static In First(In) { return 1; }
  static In Step(In acc, In x) { return (acc != 0) & (x != 0); }
  static In Merge(In a, In b) { return Step(a, b); }
};

struct Plan {
  Loops<1> kept, reduced;  // strides of x
  int64_t outputs = 1, n = 1;
};

template <class F, class In>
typename F::Acc Run(const In* x, int64_t n) {
  typename F::Acc acc[kAccumulators];
  for (int j = 0; j < kAccumulators; ++j) acc[j] = F::First(x[0]);
  int64_t i = 0;
  for (; i + kAccumulators <= n; i += kAccumulators)
    for (int j = 0; j < kAccumulators; ++j) acc[j] = F::Step(acc[j], x[i + j]);
  for (int j = 0; i < n; ++i, ++j) acc[j] = F::Step(acc[j], x[i]);
  for (int j = 1; j < kAccumulators; ++j) acc[0] = F::Merge(acc[0], acc[j]);
  return acc[0];
}

// The offsets of loops' runs in x, one after the other: fn(offset) for every run.
template <class Fn>
void ForOffsets(const Loops<1>& loops, const Fn& fn) {
  int64_t at[kMaxLoops] = {}, offset = 0;
  for (int64_t row = 0, rows = loops.outer(); row < rows; ++row) {
    fn(offset);
    for (int i = loops.rank - 2; i >= 0; --i) {
      offset += loops.strides[i][0];
      if (++at[i] < loops.dims[i]) break;
      offset -= loops.strides[i][0] * loops.dims[i];
      at[i] = 0;
    }
  }
}

// The innermost reduced loop runs along memory: every output is a few runs, a long run is cut into chunks.
template <class F, class In, class Out>
Status Runs(Stream& stream, const Plan& plan, const In* x, Out* y) {
  using Acc = typename F::Acc;
  const int64_t run = plan.reduced.inner(), runs = plan.reduced.outer();
  const int64_t chunks = (run + kChunk - 1) / kChunk;
  if (chunks == 1) {
    ForRuns(stream, plan.kept, kChunk / (runs * run) + 1,
            [&](int64_t out, const int64_t(&in)[1], int64_t count) {
              const int64_t step = plan.kept.strides[plan.kept.rank - 1][0];
              for (int64_t k = 0; k < count; ++k) {
                const In* from = x + in[0] + k * step;
                Acc acc = F::First(from[0]);
                ForOffsets(plan.reduced,
                           [&](int64_t offset) { acc = F::Merge(acc, Run<F>(from + offset, run)); });
                Convert(F::Finish(acc, plan.n), y + out + k);
              }
            });
    return Ok();
  }
  Acc* partial = static_cast<Acc*>(stream.Scratch(static_cast<size_t>(chunks) * sizeof(Acc)));
  SPECATTN_CHECK(partial != nullptr, "[Reduce] no memory for %lld partial results",
                 static_cast<long long>(chunks));
  const int64_t step = plan.kept.strides[plan.kept.rank - 1][0];
  int64_t out = 0;
  ForOffsets(plan.kept, [&](int64_t base) {
    for (int64_t k = 0; k < plan.kept.inner(); ++k, ++out) {
      const In* from = x + base + k * step;
      Acc acc = F::First(from[0]);
      ForOffsets(plan.reduced, [&](int64_t offset) {
        ParallelFor(stream, chunks, 1, [&](int64_t begin, int64_t end) {
          for (int64_t c = begin; c < end; ++c)
            partial[c] =
                Run<F>(from + offset + c * kChunk, run - c * kChunk < kChunk ? run - c * kChunk : kChunk);
        });
        for (int64_t c = 0; c < chunks; ++c) acc = F::Merge(acc, partial[c]);
      });
      Convert(F::Finish(acc, plan.n), y + out);
    }
  });
  return Ok();
}

// The innermost kept loop runs along memory: many outputs are accumulated side by side.
template <class F, class In, class Out>
Status Columns(Stream& stream, const Plan& plan, const In* x, Out* y) {
  using Acc = typename F::Acc;
  const int64_t step = plan.reduced.strides[plan.reduced.rank - 1][0], rows = plan.reduced.inner();
  ForRuns(stream, plan.kept, kChunk / plan.n + 1, [&](int64_t out, const int64_t(&in)[1], int64_t count) {
    for (int64_t c0 = 0; c0 < count; c0 += kColumns) {
      const int64_t width = count - c0 < kColumns ? count - c0 : kColumns;
      const In* from = x + in[0] + c0;
      Acc acc[kColumns];
      for (int64_t c = 0; c < width; ++c) acc[c] = F::First(from[c]);
      ForOffsets(plan.reduced, [&](int64_t offset) {
        for (int64_t r = 0; r < rows; ++r) {
          const In* row = from + offset + r * step;
          for (int64_t c = 0; c < width; ++c) acc[c] = F::Step(acc[c], row[c]);
        }
      });
      for (int64_t c = 0; c < width; ++c) Convert(F::Finish(acc[c], plan.n), y + out + c0 + c);
    }
  });
  return Ok();
}

template <template <class> class F, class In, class Out>
Status Typed(Stream& stream, const Plan& plan, const Tensor& x, const Tensor& y) {
  Out* out = y.as<Out>();
  if (plan.n == 0) {
    for (int64_t i = 0; i < plan.outputs; ++i) Convert(F<In>::Empty(), out + i);
    return Ok();
  }
  if (plan.reduced.strides[plan.reduced.rank - 1][0] == 1)
    return Runs<F<In>, In, Out>(stream, plan, x.as<In>(), out);
  return Columns<F<In>, In, Out>(stream, plan, x.as<In>(), out);
}

// The output's dtypes: x's, x's or int32 for bool, float32.
enum Kind { kSame, kNumeric, kFloat };

template <template <class> class F, Kind kind>
Status Function(Stream& stream, const Plan& plan, const Tensor& x, const Tensor& y) {
  const DType expected = kind == kFloat                                ? DType::kFloat32
                         : kind == kNumeric && x.dtype == DType::kBool ? DType::kInt32
                                                                       : x.dtype;
  SPECATTN_CHECK(y.dtype == expected, "[Reduce] the output must be of dtype %d but is of %d",
                 static_cast<int>(expected), static_cast<int>(y.dtype));
  if (x.dtype == DType::kFloat32) return Typed<F, float, float>(stream, plan, x, y);
  if constexpr (kind == kFloat) {
    if (x.dtype == DType::kInt32) return Typed<F, int32_t, float>(stream, plan, x, y);
    return Typed<F, uint8_t, float>(stream, plan, x, y);
  } else {
    if (x.dtype == DType::kInt32) return Typed<F, int32_t, int32_t>(stream, plan, x, y);
    if constexpr (kind == kNumeric) return Typed<F, uint8_t, int32_t>(stream, plan, x, y);
    return Typed<F, uint8_t, uint8_t>(stream, plan, x, y);
  }
}

using Runner = Status (*)(Stream&, const Plan&, const Tensor&, const Tensor&);
constexpr Kind kSum = kNumeric, kMean = kFloat, kProd = kNumeric, kMax = kSame, kMin = kSame, kAny = kSame,
               kAll = kSame;
constexpr Runner kRunners[] = {
#define REDUCE(Name) Function<Name, k##Name>,
#include "../elementwise.def"
};
constexpr int kFunctions = sizeof kRunners / sizeof *kRunners;

}  // namespace

Status Reduce(Stream& stream, const Args& args) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1 && args.attr_count >= 1,
                 "[Reduce] expected 1 input, 1 output and a function but has %d, %d and %d attributes",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  const int function = static_cast<int>(args.attrs[0]);
  SPECATTN_CHECK(function >= 0 && function < kFunctions, "[Reduce] no function %d", function);
  bool is_reduced[kMaxRank] = {};
  for (int i = 1; i < args.attr_count; ++i) {
    const int axis = static_cast<int>(args.attrs[i]);
    SPECATTN_CHECK(axis >= 0 && axis < x.rank, "[Reduce] axis %d of a tensor of rank %d", axis, x.rank);
    is_reduced[axis] = true;
  }
  int64_t strides[kMaxRank], stride = 1;
  for (int i = x.rank - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= x.dims[i];
  }
  Plan plan;
  for (int i = 0; i < x.rank; ++i) {
    (is_reduced[i] ? plan.reduced : plan.kept).Add(x.dims[i], {strides[i]});
    (is_reduced[i] ? plan.n : plan.outputs) *= x.dims[i];
  }
  plan.kept.Close();
  plan.reduced.Close();
  SPECATTN_CHECK(y.size() == plan.outputs, "[Reduce] the output must have %lld elements but has %lld",
                 static_cast<long long>(plan.outputs), static_cast<long long>(y.size()));
  if (plan.outputs == 0) return Ok();
  return kRunners[function](stream, plan, x, y);
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// Reduce on the CPU. The order of additions depends on sizes alone, never on the number of threads.
#include "kernels/reduce.h"

#include "cpu/simd.h"
#include "cpu/strided.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int kAccumulators = 32;    // independent accumulators of a contiguous run, to fill vector units
constexpr int64_t kChunk = 1 << 15;  // elements of a long run that one task takes
constexpr int64_t kColumns = 128;    // outputs that one task accumulates side by side

// Folds n >= 1 contiguous elements.
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

// Calls fn(offset) for the offset in x of every run of the innermost loop, in row-major order.
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

// For reductions whose innermost reduced loop is contiguous: each output folds one or more contiguous runs. Runs longer
// than kChunk are cut into chunks that threads share; shorter ones leave whole outputs to a thread.
template <class F, class In, class Out>
Status Runs(Stream& stream, const ReducePlan& plan, const In* x, Out* y) {
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

// Folds rows [begin, end) of the innermost reduced loop into `acc`, for `width` neighbouring outputs side by side.
template <class F, class In>
void StepRows(const In* from, int64_t step, int64_t begin, int64_t end, int64_t width, typename F::Acc* acc) {
  for (int64_t r = begin; r < end; ++r) {
    const In* row = from + r * step;
    for (int64_t c = 0; c < width; ++c) acc[c] = F::Step(acc[c], row[c]);
  }
}

// Columns for few outputs, which one loop over many rows folds: threads share pieces of the rows.
template <class F, class In, class Out>
Status TallColumns(Stream& stream, const ReducePlan& plan, const In* x, Out* y) {
  using Acc = typename F::Acc;
  const int64_t width = plan.outputs, rows = plan.n, step = plan.reduced.strides[0][0];
  const int64_t piece = kChunk / width + 1, pieces = (rows + piece - 1) / piece;
  Acc* partial = static_cast<Acc*>(stream.Scratch(static_cast<size_t>(pieces * width) * sizeof(Acc)));
  SPECATTN_CHECK(partial != nullptr, "[Reduce] no memory for %lld partial results",
                 static_cast<long long>(pieces * width));
  ParallelFor(stream, pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      Acc* acc = partial + p * width;
      for (int64_t c = 0; c < width; ++c) acc[c] = F::First(x[c]);
      StepRows<F>(x, step, p * piece, (p + 1) * piece < rows ? (p + 1) * piece : rows, width, acc);
    }
  });
  for (int64_t p = 1; p < pieces; ++p)
    for (int64_t c = 0; c < width; ++c) partial[c] = F::Merge(partial[c], partial[p * width + c]);
  for (int64_t c = 0; c < width; ++c) Convert(F::Finish(partial[c], plan.n), y + c);
  return Ok();
}

// For reductions whose innermost kept loop is contiguous: neighbouring outputs are accumulated side by side.
template <class F, class In, class Out>
Status Columns(Stream& stream, const ReducePlan& plan, const In* x, Out* y) {
  using Acc = typename F::Acc;
  const int64_t step = plan.reduced.strides[plan.reduced.rank - 1][0], rows = plan.reduced.inner();
  ForRuns(stream, plan.kept, kChunk / plan.n + 1, [&](int64_t out, const int64_t(&in)[1], int64_t count) {
    for (int64_t c0 = 0; c0 < count; c0 += kColumns) {
      const int64_t width = count - c0 < kColumns ? count - c0 : kColumns;
      const In* from = x + in[0] + c0;
      Acc acc[kColumns];
      for (int64_t c = 0; c < width; ++c) acc[c] = F::First(from[c]);
      ForOffsets(plan.reduced,
                 [&](int64_t offset) { StepRows<F>(from + offset, step, 0, rows, width, acc); });
      for (int64_t c = 0; c < width; ++c) Convert(F::Finish(acc[c], plan.n), y + out + c0 + c);
    }
  });
  return Ok();
}

struct OnCpu {
  template <template <class> class F, class In, class Out>
  static Status Run(Stream& stream, const ReducePlan& plan, const Tensor& x, const Tensor& y) {
    Out* out = y.as<Out>();
    if (plan.n == 0) {
      for (int64_t i = 0; i < plan.outputs; ++i) Convert(F<In>::Empty(), out + i);
      return Ok();
    }
    if (plan.reduced.strides[plan.reduced.rank - 1][0] == 1)
      return Runs<F<In>, In, Out>(stream, plan, x.as<In>(), out);
    if (plan.kept.rank == 1 && plan.reduced.rank == 1 && plan.outputs <= kColumns &&
        plan.n * plan.outputs > kChunk)
      return TallColumns<F<In>, In, Out>(stream, plan, x.as<In>(), out);
    return Columns<F<In>, In, Out>(stream, plan, x.as<In>(), out);
  }
};

}  // namespace

Status Reduce(Stream& stream, const Args& args) { return RunReduce<OnCpu>(stream, args); }

}  // namespace SPECATTN_ISA
}  // namespace specattn

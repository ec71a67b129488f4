// NucleusSelect: makes the key sets of a round, the keys that each row of the verifier's block may read, from the draft's
// attention in its N steps.
//
// Weights. Step i of the draft gives R attention rows over the keys. For set s and step i they are mixed to one row,
//   w[s,i] = sum_r mix[s,r] * source_r
// whose sources are the R rows of step i and then U fixed rows, which are the same at every step (the attention history).
//
// Nuclei. Nucleus (s,i) is the smallest set of keys <= position + i whose weights sum to at least p[s] of the sum over all
// these keys; ties go to the lower index. Negative and NaN weights count as 0. p[s] >= 1 keeps all these keys, even those
// of weight 0.
//
// Rows. Row i of the block, 0 <= i <= N, is the query at position + i. It never sees a key after position + i. Of the
// other keys it sees
//   - the nuclei that `union` names:
//       row     that of step i; row N, which has no step of its own, sees that of step N - 1
//       causal  those of steps <= i
//       full    those of all steps
//   - the first `sinks` keys;
//   - the last `recent` keys, position + i - recent < key <= position + i;
//   - the block's own keys, position <= key <= position + i.
//
// inputs   mix [S,R+U] float32
//          p [S] float32
//          position [1] int32: the position of row 0
//          fixed [U,C] float32, only if the attribute `fixed` is 1
//          step_0 ... step_{N-1}: N <= 30 tensors [R,C] float32
// attrs    sinks, recent: numbers of keys, 0 or more
//          union: 0 row, 1 causal, 2 full
//          fixed: 1 if there are fixed rows, else 0
// outputs  keys [S,C] int32: the keys that any row sees, ascending, then zeros
//          bits [S,C] int32: row masks: bit i says whether row i sees the key; zeros where keys has no entry
//          counts [S] int32: the number of keys listed
//          kept [S,N+1] int32: the number of keys that row i sees
#pragma once
#include "core/check.h"
#include "core/host_device.h"

namespace specattn {
namespace {

enum Union { kRow = 0, kCausal = 1, kFull = 2 };
constexpr int kMaxSteps = 30;

// The sizes of a call and the rules of which row sees which key.
struct Selection {
  int64_t sets, sources, capacity, steps;  // S, R + U, C, N
  int64_t step_sources;                    // R
  int64_t position, sinks, recent;
  int rule;      // a Union
  int64_t past;  // number of keys before the block, the only ones whose selection depends on nuclei

  // Sets the position, which only the device knows.
  SPECATTN_HOST_DEVICE void Begin(int64_t at) {
    position = at;
    past = Visible(-1);
  }
  // The number of keys <= position + row.
  SPECATTN_HOST_DEVICE int64_t Visible(int64_t row) const {
    const int64_t end = position + row + 1;
    return end < 0 ? 0 : end < capacity ? end : capacity;
  }
  SPECATTN_HOST_DEVICE int32_t AllRows() const { return static_cast<int32_t>((uint32_t{2} << steps) - 1); }
  // The row mask of a nucleus: the rows that see the nucleus of `step`.
  SPECATTN_HOST_DEVICE int32_t RowsOf(int64_t step) const {
    const int32_t from_step_on = AllRows() & -(1 << step);
    if (rule == kFull) return AllRows();
    return rule == kCausal || step == steps - 1 ? from_step_on : 1 << step;
  }
  // The row mask of key j < past as a sink or recent key.
  SPECATTN_HOST_DEVICE int32_t AlwaysSeen(int64_t j) const {
    if (j < sinks) return AllRows();
    const int64_t rows = j - (position - recent);  // key j is recent for rows 0 ... rows - 1
    return rows <= 0 ? 0 : rows > steps ? AllRows() : (1 << rows) - 1;
  }
};

struct NucleusSelectCall {
  const Tensor *mix, *p, *position;
  const Tensor* fixed;  // null: there are no fixed rows
  const Tensor* step;   // N tensors
  const Tensor *keys, *bits, *counts, *kept;
  Selection selection;
};

inline Status CheckNucleusSelect(const Args& args, NucleusSelectCall* call) {
  constexpr int kAttrs = 4;
  const bool has_fixed = args.attr_count == kAttrs && args.attrs[3] != 0;
  const int first_step = has_fixed ? 4 : 3, steps = args.input_count - first_step;
  SPECATTN_CHECK(
      steps >= 0 && steps <= kMaxSteps,
      "[NucleusSelect] takes mix, p, position, fixed where there is, and 0 to %d steps but got %d inputs",
      kMaxSteps, args.input_count);
  SPECATTN_RETURN_IF_ERROR(CheckCounts("NucleusSelect", args, first_step + steps, 4, kAttrs));
  const Tensor* in = args.inputs;
  const Tensor &keys = args.outputs[0], &bits = args.outputs[1], &counts = args.outputs[2],
               &kept = args.outputs[3];
  SPECATTN_RETURN_IF_ERROR(CheckTensor("NucleusSelect", "mix", in[0], DType::kFloat32, {kAnySize, kAnySize}));
  const int64_t sets = in[0].dims[0], sources = in[0].dims[1];
  SPECATTN_RETURN_IF_ERROR(CheckTensor("NucleusSelect", "p", in[1], DType::kFloat32, {sets}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("NucleusSelect", "position", in[2], DType::kInt32, {1}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("NucleusSelect", "keys", keys, DType::kInt32, {sets, kAnySize}));
  const int64_t capacity = keys.dims[1];
  SPECATTN_RETURN_IF_ERROR(CheckTensor("NucleusSelect", "bits", bits, DType::kInt32, {sets, capacity}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("NucleusSelect", "counts", counts, DType::kInt32, {sets}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("NucleusSelect", "kept", kept, DType::kInt32, {sets, steps + 1}));
  int64_t fixed_sources = 0;
  if (has_fixed) {
    SPECATTN_RETURN_IF_ERROR(
        CheckTensor("NucleusSelect", "fixed", in[3], DType::kFloat32, {kAnySize, capacity}));
    fixed_sources = in[3].dims[0];
    SPECATTN_CHECK(fixed_sources <= sources,
                   "[NucleusSelect] mix must have a column for each of %lld fixed rows but has %lld",
                   static_cast<long long>(fixed_sources), static_cast<long long>(sources));
  }
  const int64_t step_sources = sources - fixed_sources;
  for (int i = 0; i < steps; ++i) {
    SPECATTN_RETURN_IF_ERROR(
        CheckTensor("NucleusSelect", "step", in[first_step + i], DType::kFloat32, {step_sources, capacity}));
  }
  const double sinks = args.attrs[0], recent = args.attrs[1], rule = args.attrs[2];
  SPECATTN_CHECK(sinks >= 0 && sinks <= INT32_MAX, "[NucleusSelect] sinks must be 0 or more but is %g",
                 sinks);
  SPECATTN_CHECK(recent >= 0 && recent <= INT32_MAX, "[NucleusSelect] recent must be 0 or more but is %g",
                 recent);
  SPECATTN_CHECK(rule == kRow || rule == kCausal || rule == kFull,
                 "[NucleusSelect] union must be 0 (row), 1 (causal) or 2 (full) but is %g", rule);
  *call = {in,
           in + 1,
           in + 2,
           has_fixed ? in + 3 : nullptr,
           in + first_step,
           args.outputs,
           args.outputs + 1,
           args.outputs + 2,
           args.outputs + 3,
           {sets, sources, capacity, steps, step_sources, 0, static_cast<int64_t>(sinks),
            static_cast<int64_t>(recent), static_cast<int>(rule), 0}};
  return Ok();
}

}  // namespace
}  // namespace specattn

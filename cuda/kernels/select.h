// Select: out = condition ? t : e, element by element.
//
// inputs   condition bool
//          t, e ("then" and "else"): of one dtype: float32, int32 or bool
//          all three broadcast to out's shape
// attrs    none
// outputs  out: t's dtype
//
// In TensorFlow.js a condition of rank 1 beside a t of higher rank selects whole rows; the caller passes such a condition
// as [N, 1, ...].
#pragma once
#include "core/check.h"
#include "core/strided.h"

namespace specattn {
namespace {

inline Status CheckSelect(const Args& args, Loops<3>* loops) {
  SPECATTN_CHECK(args.input_count == 3 && args.output_count == 1,
                 "[Select] expected 3 inputs and 1 output but has %d and %d", args.input_count,
                 args.output_count);
  const Tensor &condition = args.inputs[0], &t = args.inputs[1], &e = args.inputs[2], &out = args.outputs[0];
  SPECATTN_RETURN_IF_ERROR(CheckDType("Select", "condition", condition, DType::kBool));
  SPECATTN_CHECK(t.dtype == e.dtype && t.dtype == out.dtype,
                 "[Select] t, e and the output must have one dtype but have %s, %s, %s", NameOf(t.dtype),
                 NameOf(e.dtype), NameOf(out.dtype));
  int64_t sc[kMaxRank], st[kMaxRank], se[kMaxRank];
  SPECATTN_CHECK(BroadcastStrides(condition, out, sc),
                 "[Select] condition does not broadcast to the output's shape");
  SPECATTN_CHECK(BroadcastStrides(t, out, st) && BroadcastStrides(e, out, se),
                 "[Select] t or e does not broadcast to the output's shape");
  for (int i = 0; i < out.rank; ++i) loops->Add(out.dims[i], {sc[i], st[i], se[i]});
  loops->Close();
  return Ok();
}

}  // namespace
}  // namespace specattn

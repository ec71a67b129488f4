// condition ? t : e, elementwise.
//   inputs  condition: bool; t, e: one dtype (float32 | int32 | bool); all broadcast to the output's shape
//   output  t's dtype
// A condition of rank 1 beside t of a higher rank picks whole rows: the caller passes it as [N, 1, …].
#include "../cpu/strided.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

template <class T>
void Run(Stream& stream, const Loops<3>& loops, const Args& args) {
  const uint8_t* condition = args.inputs[0].as<uint8_t>();
  const T *t = args.inputs[1].as<T>(), *e = args.inputs[2].as<T>();
  T* out = args.outputs[0].as<T>();
  const int64_t* strides = loops.strides[loops.rank - 1];
  const int64_t sc = strides[0], st = strides[1], se = strides[2];
  ForRuns(stream, loops, 16384, [=](int64_t at, const int64_t(&in)[3], int64_t n) {
    const uint8_t* __restrict c = condition + in[0];
    const T* __restrict x = t + in[1], * __restrict y = e + in[2];
    T* __restrict z = out + at;
    if (sc == 1 && st == 1 && se == 1) {
      for (int64_t i = 0; i < n; ++i) {
        const T a = x[i], b = y[i];
        z[i] = c[i] ? a : b;
      }
    } else {
      for (int64_t i = 0; i < n; ++i) z[i] = c[i * sc] ? x[i * st] : y[i * se];
    }
  });
}

}  // namespace

Status Select(Stream& stream, const Args& args) {
  SPECATTN_CHECK(args.input_count == 3 && args.output_count == 1,
                 "[Select] expected 3 inputs and 1 output but has %d and %d", args.input_count,
                 args.output_count);
  const Tensor &condition = args.inputs[0], &t = args.inputs[1], &e = args.inputs[2], &out = args.outputs[0];
  SPECATTN_CHECK(condition.dtype == DType::kBool, "[Select] condition must be bool but is of dtype %d",
                 static_cast<int>(condition.dtype));
  SPECATTN_CHECK(t.dtype == e.dtype && t.dtype == out.dtype,
                 "[Select] t, e and the output must have one dtype but have %d, %d, %d",
                 static_cast<int>(t.dtype), static_cast<int>(e.dtype), static_cast<int>(out.dtype));
  int64_t sc[kMaxRank], st[kMaxRank], se[kMaxRank];
  SPECATTN_CHECK(BroadcastStrides(condition, out, sc),
                 "[Select] condition does not broadcast to the output's shape");
  SPECATTN_CHECK(BroadcastStrides(t, out, st) && BroadcastStrides(e, out, se),
                 "[Select] t or e does not broadcast to the output's shape");
  if (out.size() == 0) return Ok();
  Loops<3> loops;
  for (int i = 0; i < out.rank; ++i) loops.Add(out.dims[i], {sc[i], st[i], se[i]});
  loops.Close();
  if (SizeOf(t.dtype) == 4) {
    Run<uint32_t>(stream, loops, args);
  } else {
    Run<uint8_t>(stream, loops, args);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

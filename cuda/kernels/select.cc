// Select on the CPU.
#include "kernels/select.h"

#include "cpu/strided.h"

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
  Loops<3> loops;
  SPECATTN_RETURN_IF_ERROR(CheckSelect(args, &loops));
  if (args.outputs[0].size() == 0) return Ok();
  if (SizeOf(args.outputs[0].dtype) == 4) {
    Run<uint32_t>(stream, loops, args);
  } else {
    Run<uint8_t>(stream, loops, args);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

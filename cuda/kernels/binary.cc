// Binary on the CPU. Every function is compiled for every dtype, as simple loops that the compiler vectorises.
#include "kernels/binary.h"

#include "cpu/simd.h"
#include "cpu/strided.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kGrain = 16384;

template <class F, class T, class U>
void Apply(Stream& stream, const Loops<2>& loops, const Tensor& a, const Tensor& b, const Tensor& out) {
  // The innermost strides are 0 or 1 and not both 0: CheckBinary has seen that a or b has each of the output's sizes.
  const bool a_moves = loops.strides[loops.rank - 1][0] != 0, b_moves = loops.strides[loops.rank - 1][1] != 0;
  ForRuns(stream, loops, kGrain, [&](int64_t at, const int64_t(&in)[2], int64_t n) {
    const T* __restrict x = a.as<T>() + in[0], * __restrict y = b.as<T>() + in[1];
    U* __restrict z = out.as<U>() + at;
    if (a_moves && b_moves) {
      for (int64_t i = 0; i < n; ++i) z[i] = F::template Of<T, U>(x[i], y[i]);
    } else if (a_moves) {
      const T scalar = *y;
      for (int64_t i = 0; i < n; ++i) z[i] = F::template Of<T, U>(x[i], scalar);
    } else {
      const T scalar = *x;
      for (int64_t i = 0; i < n; ++i) z[i] = F::template Of<T, U>(scalar, y[i]);
    }
  });
}

template <class F, class T>
void Typed(Stream& stream, const Loops<2>& loops, const Tensor& a, const Tensor& b, const Tensor& out) {
  if constexpr (F::kKind == binary::kCompare) {
    Apply<F, T, uint8_t>(stream, loops, a, b, out);
  } else if constexpr (F::kKind == binary::kInteger) {
    Apply<F, T, int32_t>(stream, loops, a, b, out);
  } else {
    Apply<F, T, T>(stream, loops, a, b, out);
  }
}

template <class F>
void Run(Stream& stream, const Loops<2>& loops, const Tensor& a, const Tensor& b, const Tensor& out) {
  if (a.dtype == DType::kFloat32) {
    Typed<F, float>(stream, loops, a, b, out);
  } else if (a.dtype == DType::kInt32) {
    Typed<F, int32_t>(stream, loops, a, b, out);
  } else {
    Typed<F, uint8_t>(stream, loops, a, b, out);
  }
}

using Runner = void (*)(Stream&, const Loops<2>&, const Tensor&, const Tensor&, const Tensor&);
constexpr Runner kRunners[] = {
#define BINARY(Name) Run<binary::Name>,
#include "core/elementwise.def"
};

}  // namespace

Status Binary(Stream& stream, const Args& args) {
  int function = 0;
  Loops<2> loops;
  SPECATTN_RETURN_IF_ERROR(CheckBinary(args, &function, &loops));
  if (args.outputs[0].size() == 0) return Ok();
  kRunners[function](stream, loops, args.inputs[0], args.inputs[1], args.outputs[0]);
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

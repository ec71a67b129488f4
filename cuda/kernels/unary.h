// Unary: elementwise functions of one tensor.
//
// inputs   x: float32, int32 or bool
// attrs    function: its number in core/elementwise.def
//          p, q: the function's parameters, 0 if left out: p = alpha for LeakyRelu and Step; p = min and q = max for
//          ClipByValue
// outputs  y: as many elements; float32, int32 or bool
//
// From float32 to float32 a function is computed in float32. Everything else is computed in float64 and stored as
// JavaScript's typed arrays store numbers (core/convert.h).
#pragma once
#include "core/host_device.h"
#include "core/tensor.h"

namespace specattn {
namespace {
namespace unary {

enum Function : int {
#define UNARY(Name) k##Name,
#include "core/elementwise.def"
  kFunctions
};

// A function is a struct with Of<Math>(x, p, q), where x is a vector, a float or a double and Math has the device's
// elementary functions of that type. Comparisons are written so that NaN stays NaN (x <= 0 ? 0 : x). An expression may use
// zero, which is 0 for finite x and NaN otherwise, one and none (0).
#define SPECATTN_FUNCTION(Name, expression)                                             \
  struct Name {                                                                         \
    template <class Math, class V>                                                      \
    SPECATTN_HOST_DEVICE static V Of(V x, [[maybe_unused]] V p, [[maybe_unused]] V q) { \
      [[maybe_unused]] const V zero = x * 0.0f, one = V{} + 1.0f, none = V{};           \
      return expression;                                                                \
    }                                                                                   \
  };
SPECATTN_FUNCTION(Neg, -x)
SPECATTN_FUNCTION(Abs, x < 0.0f ? -x : x + 0.0f)  // + 0 makes 0 of -0
SPECATTN_FUNCTION(Sign, x < 0.0f ? -one : (x > 0.0f ? one : none))
SPECATTN_FUNCTION(Square, x* x)
SPECATTN_FUNCTION(Sqrt, Math::Sqrt(x))
SPECATTN_FUNCTION(Rsqrt, 1.0f / Math::Sqrt(x))
SPECATTN_FUNCTION(Reciprocal, 1.0f / x)
SPECATTN_FUNCTION(Exp, Math::Exp(x))
SPECATTN_FUNCTION(Expm1, Math::Expm1(x))
SPECATTN_FUNCTION(Log, Math::Log(x))
SPECATTN_FUNCTION(Log1p, Math::Log1p(x))
SPECATTN_FUNCTION(Sin, Math::Sin(x))
SPECATTN_FUNCTION(Cos, Math::Cos(x))
SPECATTN_FUNCTION(Tan, Math::Tan(x))
SPECATTN_FUNCTION(Asin, Math::Asin(x))
SPECATTN_FUNCTION(Acos, Math::Acos(x))
SPECATTN_FUNCTION(Atan, Math::Atan(x))
SPECATTN_FUNCTION(Sinh, Math::Sinh(x))
SPECATTN_FUNCTION(Cosh, Math::Cosh(x))
SPECATTN_FUNCTION(Tanh, Math::Tanh(x))
SPECATTN_FUNCTION(Asinh, Math::Asinh(x))
SPECATTN_FUNCTION(Acosh, Math::Acosh(x))
SPECATTN_FUNCTION(Atanh, Math::Atanh(x))
SPECATTN_FUNCTION(Erf, Math::Erf(x))
SPECATTN_FUNCTION(Sigmoid, 1.0f / (1.0f + Math::Exp(-x)))
// log(1 + e^x) without overflow: beyond 14 it is x and below -14 it is e^x, to float32's precision.
SPECATTN_FUNCTION(Softplus, x > 13.942385f ? x : (x < -13.942385f ? Math::Exp(x) : Math::Log1p(Math::Exp(x))))
SPECATTN_FUNCTION(Relu, x <= 0.0f ? none : x)
SPECATTN_FUNCTION(Relu6, x <= 0.0f ? none : (x > 6.0f ? one * 6.0f : x))
SPECATTN_FUNCTION(LeakyRelu, x < 0.0f ? p * x : x)
SPECATTN_FUNCTION(Elu, x >= 0.0f ? x : Math::Expm1(x))
SPECATTN_FUNCTION(Selu, x >= 0.0f ? 1.0507009873554805f * x : 1.7580993408473768f * Math::Expm1(x))
SPECATTN_FUNCTION(Step, x > 0.0f ? one : (x <= 0.0f ? p : x))
SPECATTN_FUNCTION(ClipByValue, x > q ? q : (x < p ? p : x))
SPECATTN_FUNCTION(Floor, Math::Floor(x))
SPECATTN_FUNCTION(Ceil, Math::Ceil(x))
SPECATTN_FUNCTION(Round, Math::Rint(x))
SPECATTN_FUNCTION(IsNan, x != x ? one : none)
SPECATTN_FUNCTION(IsInf, (zero != zero) & (x == x) ? one : none)
SPECATTN_FUNCTION(IsFinite, zero == zero ? one : none)
SPECATTN_FUNCTION(LogicalNot, x == 0.0f ? one : none)
#undef SPECATTN_FUNCTION

}  // namespace unary

struct UnaryCall {
  int function = 0;
  double p = 0, q = 0;
};

inline Status CheckUnary(const Args& args, UnaryCall* call) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1 && args.attr_count >= 1,
                 "[Unary] expected 1 input, 1 output and a function but has %d, %d and %d attributes",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  const int64_t function = Whole(args.attrs[0]);
  SPECATTN_CHECK(function >= 0 && function < unary::kFunctions, "[Unary] no function %g", args.attrs[0]);
  SPECATTN_CHECK(x.size() == y.size(), "[Unary] y must have %lld elements but has %lld",
                 static_cast<long long>(x.size()), static_cast<long long>(y.size()));
  SPECATTN_CHECK(SizeOf(y.dtype) != 2, "[Unary] y must be float32, int32 or bool but is %s", NameOf(y.dtype));
  *call = {static_cast<int>(function), args.attr_count > 1 ? args.attrs[1] : 0.0,
           args.attr_count > 2 ? args.attrs[2] : 0.0};
  return Ok();
}

}  // namespace
}  // namespace specattn

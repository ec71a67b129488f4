// Binary: elementwise functions of two tensors that broadcast against each other.
//
// inputs   a, b: float32, int32 or bool, both of one dtype
// attrs    function: its number in core/elementwise.def
// outputs  out: the broadcast shape; bool for comparisons and logical functions, int32 for FloorDiv, else the inputs'
//          dtype
//
// int32 wraps. A result that is no integer (division by zero, NaN) is stored in int32 or bool as JavaScript's typed
// arrays store it (core/convert.h).
#pragma once
#include <type_traits>

#include "core/check.h"
#include "core/convert.h"
#include "core/strided.h"

namespace specattn {
namespace {
namespace binary {

enum Function : int {
#define BINARY(Name) k##Name,
#include "core/elementwise.def"
  kFunctions
};

// The type that sums and products of T are computed in; integers can't overflow there.
template <class T>
struct Wide {
  using Type = T;
};
template <>
struct Wide<int32_t> {
  using Type = int64_t;
};
template <>
struct Wide<uint8_t> {
  using Type = int32_t;
};

// Integers wrap.
template <class T>
SPECATTN_HOST_DEVICE inline T Narrow(typename Wide<T>::Type x) {
  return static_cast<T>(x);
}
// As a typed array of T stores x: integers are truncated towards zero.
template <class T>
SPECATTN_HOST_DEVICE inline T Round(double x) {
  T out;
  Convert(x, &out);
  return out;
}

// The remainder with the sign of b, as tf.mod has it.
SPECATTN_HOST_DEVICE inline double ModOf(double a, double b) {
  const double remainder = ::fmod(a, b);
  return (a < 0 && b < 0) || (a >= 0 && b >= 0) ? remainder : ::fmod(remainder + b, b);
}
SPECATTN_HOST_DEVICE inline double PowOfDoubles(double a, double b) {
  // In C 1^NaN and (-1)^inf are 1; in JavaScript they are NaN.
  if (b != b || ((a == 1 || a == -1) && b - b != 0)) return static_cast<double>(NAN);
  return ::pow(a, b);
}
// pow may err in its last bit, and Round would cut a power just below an integer to the integer below. So powers of
// integers go to the nearest integer. (A fraction, which a negative exponent gives, is at most 0.5 and becomes 0.)
template <class T>
SPECATTN_HOST_DEVICE inline double PowOf(T a, T b) {
  const double power = PowOfDoubles(static_cast<double>(a), static_cast<double>(b));
  return std::is_integral<T>::value ? ::rint(power) : power;
}

// The output's dtype. kSame: the inputs'. kCompare: bool. kInteger: int32.
enum Kind { kSame, kCompare, kInteger };

// A function is a struct with Of(x, y). Its expression may use x and y in T, a and b in Wide<T>, s and t in float64.
#define SPECATTN_FUNCTION(Name, kind, expression) \
  struct Name {                                   \
    static constexpr Kind kKind = kind;           \
    template <class T, class U>                   \
    SPECATTN_HOST_DEVICE static U Of(T x, T y) {  \
      using W = typename Wide<T>::Type;           \
      [[maybe_unused]] const W a = x, b = y;      \
      [[maybe_unused]] const double s = a, t = b; \
      return expression;                          \
    }                                             \
  };
SPECATTN_FUNCTION(Add, kSame, Narrow<T>(a + b))
SPECATTN_FUNCTION(Sub, kSame, Narrow<T>(a - b))
SPECATTN_FUNCTION(Multiply, kSame, Narrow<T>(a* b))
SPECATTN_FUNCTION(Mod, kSame, Round<T>(ModOf(s, t)))
SPECATTN_FUNCTION(Pow, kSame, Round<T>(PowOf(x, y)))
SPECATTN_FUNCTION(Atan2, kSame, Round<T>(::atan2(s, t)))
SPECATTN_FUNCTION(Maximum, kSame, (x > y) | (x != x) ? x : y)  // NaN if x or y is
SPECATTN_FUNCTION(Minimum, kSame, (x < y) | (x != x) ? x : y)
SPECATTN_FUNCTION(Prelu, kSame, a < 0 ? Narrow<T>(a * b) : x)
SPECATTN_FUNCTION(EluGrad, kSame, b >= 0 ? x : Narrow<T>(a * (b + 1)))  // x is dy, y is elu's output
SPECATTN_FUNCTION(BitwiseAnd, kSame, Round<T>(ToInt32(s) & ToInt32(t)))
SPECATTN_FUNCTION(FloorDiv, kInteger, ToInt32(::floor(s / t)))
SPECATTN_FUNCTION(Equal, kCompare, x == y)
SPECATTN_FUNCTION(NotEqual, kCompare, x != y)
SPECATTN_FUNCTION(Greater, kCompare, x > y)
SPECATTN_FUNCTION(GreaterEqual, kCompare, x >= y)
SPECATTN_FUNCTION(Less, kCompare, x < y)
SPECATTN_FUNCTION(LessEqual, kCompare, x <= y)
SPECATTN_FUNCTION(LogicalAnd, kCompare, (x != 0) & (y != 0))
SPECATTN_FUNCTION(LogicalOr, kCompare, (x != 0) | (y != 0))
#undef SPECATTN_FUNCTION

struct RealDiv {
  static constexpr Kind kKind = kSame;
  template <class T, class U>
  SPECATTN_HOST_DEVICE static U Of(T x, T y) {
    return Round<T>(static_cast<double>(x) / static_cast<double>(y));
  }
};
template <>
SPECATTN_HOST_DEVICE inline float RealDiv::Of<float, float>(float x, float y) {
  return x / y;
}

struct SquaredDifference {
  static constexpr Kind kKind = kSame;
  template <class T, class U>
  SPECATTN_HOST_DEVICE static U Of(T x, T y) {
    using W = typename Wide<T>::Type;
    const W d = static_cast<T>(static_cast<W>(x) - static_cast<W>(y));  // narrowed to T, so that d * d fits W
    return static_cast<T>(d * d);
  }
};

constexpr Kind kKinds[] = {
#define BINARY(Name) Name::kKind,
#include "core/elementwise.def"
};

}  // namespace binary

// Sets the function's number and the loops over the output with the strides of a and b.
inline Status CheckBinary(const Args& args, int* function, Loops<2>* loops) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Binary", args, 2, 1, 1));
  const Tensor &a = args.inputs[0], &b = args.inputs[1], &out = args.outputs[0];
  const int64_t number = Whole(args.attrs[0]);
  SPECATTN_CHECK(number >= 0 && number < binary::kFunctions, "[Binary] no function %g", args.attrs[0]);
  *function = static_cast<int>(number);
  SPECATTN_CHECK(a.dtype == b.dtype, "[Binary] a and b must have one dtype but have %s and %s",
                 NameOf(a.dtype), NameOf(b.dtype));
  int64_t sa[kMaxRank], sb[kMaxRank];
  SPECATTN_CHECK(BroadcastStrides(a, out, sa), "[Binary] a does not broadcast to the output's shape");
  SPECATTN_CHECK(BroadcastStrides(b, out, sb), "[Binary] b does not broadcast to the output's shape");
  for (int i = 0, ia = a.rank - out.rank, ib = b.rank - out.rank; i < out.rank; ++i, ++ia, ++ib)
    SPECATTN_CHECK(
        out.dims[i] <= 1 || (ia >= 0 && a.dims[ia] == out.dims[i]) || (ib >= 0 && b.dims[ib] == out.dims[i]),
        "[Binary] dimension %d of the output is %lld but neither a's nor b's", i,
        static_cast<long long>(out.dims[i]));
  const binary::Kind kind = binary::kKinds[*function];
  const DType expected = kind == binary::kCompare   ? DType::kBool
                         : kind == binary::kInteger ? DType::kInt32
                                                    : a.dtype;
  SPECATTN_RETURN_IF_ERROR(CheckDType("Binary", "the output", out, expected));
  for (int i = 0; i < out.rank; ++i) loops->Add(out.dims[i], {sa[i], sb[i]});
  loops->Close();
  return Ok();
}

}  // namespace
}  // namespace specattn

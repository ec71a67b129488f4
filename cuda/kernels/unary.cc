// Elementwise functions of one tensor.
//   input   x, any shape, float32 | int32 | bool
//   attrs   function (its place in elementwise.def); then p and q: LeakyRelu, Step: p = alpha;
//           ClipByValue: p = min, q = max
//   output  y, as many elements as x, float32 | int32 | bool
// float32 to float32 is computed in float32 vectors, the rest in float64, stored as a typed array stores it.
#include "../cpu/convert.h"
#include "../cpu/parallel.h"
#include "../cpu/simd.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kGrain = 8192;

// Functions of libm, lane by lane.
#define SPECATTN_LANES(Name, function)                                 \
  inline double Name(double x) { return ::function(x); }               \
  inline Vec Name(Vec x) {                                             \
    float lane[kLanes];                                                \
    std::memcpy(lane, &x, sizeof x);                                   \
    for (int i = 0; i < kLanes; ++i) lane[i] = ::function##f(lane[i]); \
    std::memcpy(&x, lane, sizeof x);                                   \
    return x;                                                          \
  }
SPECATTN_LANES(Expm1Of, expm1)
SPECATTN_LANES(LogOf, log)
SPECATTN_LANES(Log1pOf, log1p)
SPECATTN_LANES(SinOf, sin)
SPECATTN_LANES(CosOf, cos)
SPECATTN_LANES(AsinOf, asin)
SPECATTN_LANES(AcosOf, acos)
SPECATTN_LANES(AtanOf, atan)
SPECATTN_LANES(SinhOf, sinh)
SPECATTN_LANES(CoshOf, cosh)
SPECATTN_LANES(AsinhOf, asinh)
SPECATTN_LANES(AcoshOf, acosh)
SPECATTN_LANES(AtanhOf, atanh)
SPECATTN_LANES(ErfOf, erf)
SPECATTN_LANES(FloorOf, floor)
SPECATTN_LANES(CeilOf, ceil)
SPECATTN_LANES(RintOf, rint)  // ties to even, as tf.round
#undef SPECATTN_LANES

// Near its poles float32's tan is off by units in the third decimal.
inline double TanOf(double x) { return ::tan(x); }
inline Vec TanOf(Vec x) {
  for (int i = 0; i < kLanes; ++i) x[i] = static_cast<float>(::tan(static_cast<double>(x[i])));
  return x;
}

inline double SqrtOf(double x) { return ::sqrt(x); }
inline Vec SqrtOf(Vec x) {
#if defined(__AVX512F__)
  // Masked: the plain intrinsic trips -Wmaybe-uninitialized.
  return reinterpret_cast<Vec>(_mm512_maskz_sqrt_ps(0xffff, reinterpret_cast<__m512>(x)));
#elif defined(__AVX2__)
  return reinterpret_cast<Vec>(_mm256_sqrt_ps(reinterpret_cast<__m256>(x)));
#else
  for (int i = 0; i < kLanes; ++i) x[i] = ::sqrtf(x[i]);
  return x;
#endif
}

// tanh to about 1 ulp: an odd polynomial (Cephes) near 0, 1 - 2 / (e^2|x| + 1) elsewhere.
inline double TanhOf(double x) { return ::tanh(x); }
inline Vec TanhOf(Vec x) {
  const Vec magnitude = x < 0.0f ? -x : x, z = x * x;
  Vec near = Splat(-5.70498872745e-3f);
  near = near * z + 2.06390887954e-2f;
  near = near * z - 5.37397155531e-2f;
  near = near * z + 1.33314422036e-1f;
  near = near * z - 3.33332819422e-1f;
  near = near * z * x + x;
  const Vec far = 1.0f - 2.0f / (Exp(magnitude + magnitude) + 1.0f);
  return magnitude < 0.625f ? near : (x < 0.0f ? -far : far);
}

inline Vec ExpOf(Vec x) { return Exp(x); }
inline double ExpOf(double x) { return ::exp(x); }

// V is Vec or double. Where a comparison is written x <= 0 ? 0 : x, NaN stays NaN.
#define SPECATTN_FUNCTION(Name, expression)                                   \
  struct Name {                                                               \
    template <class V>                                                        \
    static V Of(V x, [[maybe_unused]] V p, [[maybe_unused]] V q) {            \
      [[maybe_unused]] const V zero = x * 0.0f, one = V{} + 1.0f, none = V{}; \
      return expression;                                                      \
    }                                                                         \
  };
SPECATTN_FUNCTION(Neg, -x)
SPECATTN_FUNCTION(Abs, x < 0.0f ? -x : x + 0.0f)  // + 0: of -0 too
SPECATTN_FUNCTION(Sign, x < 0.0f ? -one : (x > 0.0f ? one : none))
SPECATTN_FUNCTION(Square, x* x)
SPECATTN_FUNCTION(Sqrt, SqrtOf(x))
SPECATTN_FUNCTION(Rsqrt, 1.0f / SqrtOf(x))
SPECATTN_FUNCTION(Reciprocal, 1.0f / x)
SPECATTN_FUNCTION(Exp, ExpOf(x))
SPECATTN_FUNCTION(Expm1, Expm1Of(x))
SPECATTN_FUNCTION(Log, LogOf(x))
SPECATTN_FUNCTION(Log1p, Log1pOf(x))
SPECATTN_FUNCTION(Sin, SinOf(x))
SPECATTN_FUNCTION(Cos, CosOf(x))
SPECATTN_FUNCTION(Tan, TanOf(x))
SPECATTN_FUNCTION(Asin, AsinOf(x))
SPECATTN_FUNCTION(Acos, AcosOf(x))
SPECATTN_FUNCTION(Atan, AtanOf(x))
SPECATTN_FUNCTION(Sinh, SinhOf(x))
SPECATTN_FUNCTION(Cosh, CoshOf(x))
SPECATTN_FUNCTION(Tanh, TanhOf(x))
SPECATTN_FUNCTION(Asinh, AsinhOf(x))
SPECATTN_FUNCTION(Acosh, AcoshOf(x))
SPECATTN_FUNCTION(Atanh, AtanhOf(x))
SPECATTN_FUNCTION(Erf, ErfOf(x))
SPECATTN_FUNCTION(Sigmoid, 1.0f / (1.0f + ExpOf(-x)))
// log(1 + e^x), without overflow: past ±14 it is x or e^x to float32's precision.
SPECATTN_FUNCTION(Softplus, x > 13.942385f ? x : (x < -13.942385f ? ExpOf(x) : Log1pOf(ExpOf(x))))
SPECATTN_FUNCTION(Relu, x <= 0.0f ? none : x)
SPECATTN_FUNCTION(Relu6, x <= 0.0f ? none : (x > 6.0f ? one * 6.0f : x))
SPECATTN_FUNCTION(LeakyRelu, x < 0.0f ? p * x : x)
SPECATTN_FUNCTION(Elu, x >= 0.0f ? x : Expm1Of(x))
SPECATTN_FUNCTION(Selu, x >= 0.0f ? 1.0507009873554805f * x : 1.7580993408473768f * Expm1Of(x))
SPECATTN_FUNCTION(Step, x > 0.0f ? one : (x <= 0.0f ? p : x))
SPECATTN_FUNCTION(ClipByValue, x > q ? q : (x < p ? p : x))
SPECATTN_FUNCTION(Floor, FloorOf(x))
SPECATTN_FUNCTION(Ceil, CeilOf(x))
SPECATTN_FUNCTION(Round, RintOf(x))
SPECATTN_FUNCTION(IsNan, x != x ? one : none)
SPECATTN_FUNCTION(IsInf, (zero != zero) & (x == x) ? one : none)
SPECATTN_FUNCTION(IsFinite, zero == zero ? one : none)
SPECATTN_FUNCTION(LogicalNot, x == 0.0f ? one : none)
#undef SPECATTN_FUNCTION

struct Launch {
  Stream& stream;
  const Tensor& x;
  const Tensor& y;
  double p, q;
};

template <class F>
void Vectors(const Launch& l) {
  const float *x = l.x.as<float>(), p = static_cast<float>(l.p), q = static_cast<float>(l.q);
  float* y = l.y.as<float>();
  ParallelFor(l.stream, l.x.size(), kGrain, [=](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) Store(y + i, F::Of(Load(x + i), Splat(p), Splat(q)));
    if (i < end) {  // the tail through the same vector code, so that a value does not depend on its place
      Vec v{};
      std::memcpy(&v, x + i, static_cast<size_t>(end - i) * 4);
      v = F::Of(v, Splat(p), Splat(q));
      std::memcpy(y + i, &v, static_cast<size_t>(end - i) * 4);
    }
  });
}

template <class F, class In, class Out>
void Scalars(const Launch& l) {
  const In* x = l.x.as<In>();
  Out* y = l.y.as<Out>();
  ParallelFor(l.stream, l.x.size(), kGrain, [=, &l](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) Convert(F::Of(static_cast<double>(x[i]), l.p, l.q), y + i);
  });
}

template <class F, class In>
void To(const Launch& l) {
  if (l.y.dtype == DType::kFloat32) return Scalars<F, In, float>(l);
  if (l.y.dtype == DType::kInt32) return Scalars<F, In, int32_t>(l);
  return Scalars<F, In, uint8_t>(l);
}

template <class F>
void Run(const Launch& l) {
  if (l.x.dtype == DType::kFloat32 && l.y.dtype == DType::kFloat32) return Vectors<F>(l);
  if (l.x.dtype == DType::kFloat32) return To<F, float>(l);
  if (l.x.dtype == DType::kInt32) return To<F, int32_t>(l);
  return To<F, uint8_t>(l);
}

using Runner = void (*)(const Launch&);
constexpr Runner kRunners[] = {
#define UNARY(Name) Run<Name>,
#include "../elementwise.def"
};
constexpr int kFunctions = sizeof kRunners / sizeof *kRunners;

}  // namespace

Status Unary(Stream& stream, const Args& args) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1 && args.attr_count >= 1,
                 "[Unary] expected 1 input, 1 output and a function but has %d, %d and %d attributes",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  const int function = static_cast<int>(args.attrs[0]);
  SPECATTN_CHECK(function >= 0 && function < kFunctions, "[Unary] no function %d", function);
  SPECATTN_CHECK(x.size() == y.size(), "[Unary] y must have %lld elements but has %lld",
                 static_cast<long long>(x.size()), static_cast<long long>(y.size()));
  kRunners[function](
      {stream, x, y, args.attr_count > 1 ? args.attrs[1] : 0.0, args.attr_count > 2 ? args.attrs[2] : 0.0});
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

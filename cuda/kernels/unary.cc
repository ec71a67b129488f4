// Unary on the CPU. Every function is compiled for vectors of float32 and, for other dtypes, for single float64 numbers.
#include "kernels/unary.h"

#include "core/convert.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kGrain = 8192;

// The elementary functions that unary.h asks for, of a vector and of a double. Those of SPECATTN_LANES call libm for each
// lane.
struct Math {
#define SPECATTN_LANES(Name, function)                                 \
  static double Name(double x) { return ::function(x); }               \
  static Vec Name(Vec x) {                                             \
    float lane[kLanes];                                                \
    std::memcpy(lane, &x, sizeof x);                                   \
    for (int i = 0; i < kLanes; ++i) lane[i] = ::function##f(lane[i]); \
    std::memcpy(&x, lane, sizeof x);                                   \
    return x;                                                          \
  }
  SPECATTN_LANES(Expm1, expm1)
  SPECATTN_LANES(Log, log)
  SPECATTN_LANES(Log1p, log1p)
  SPECATTN_LANES(Sin, sin)
  SPECATTN_LANES(Cos, cos)
  SPECATTN_LANES(Asin, asin)
  SPECATTN_LANES(Acos, acos)
  SPECATTN_LANES(Atan, atan)
  SPECATTN_LANES(Sinh, sinh)
  SPECATTN_LANES(Cosh, cosh)
  SPECATTN_LANES(Asinh, asinh)
  SPECATTN_LANES(Acosh, acosh)
  SPECATTN_LANES(Atanh, atanh)
  SPECATTN_LANES(Erf, erf)
  SPECATTN_LANES(Floor, floor)
  SPECATTN_LANES(Ceil, ceil)
  SPECATTN_LANES(Rint, rint)  // ties to even, as tf.round
#undef SPECATTN_LANES

  // In float64: near its poles the tangent is so large that an error of tanf shows in the third decimal.
  static double Tan(double x) { return ::tan(x); }
  static Vec Tan(Vec x) {
    for (int i = 0; i < kLanes; ++i) x[i] = static_cast<float>(::tan(static_cast<double>(x[i])));
    return x;
  }

  static double Sqrt(double x) { return ::sqrt(x); }
  static Vec Sqrt(Vec x) {
#if defined(__AVX512F__)
    // The masked intrinsic, because the plain one trips -Wmaybe-uninitialized.
    return reinterpret_cast<Vec>(_mm512_maskz_sqrt_ps(0xffff, reinterpret_cast<__m512>(x)));
#elif defined(__AVX2__)
    return reinterpret_cast<Vec>(_mm256_sqrt_ps(reinterpret_cast<__m256>(x)));
#else
    for (int i = 0; i < kLanes; ++i) x[i] = ::sqrtf(x[i]);
    return x;
#endif
  }

  // tanh to about 1 ulp: an odd polynomial (Cephes) near 0, 1 - 2 / (e^2|x| + 1) elsewhere.
  static double Tanh(double x) { return ::tanh(x); }
  static Vec Tanh(Vec x) {
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

  static Vec Exp(Vec x) { return specattn::Exp(x); }
  static double Exp(double x) { return ::exp(x); }
};

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
    for (; i + kLanes <= end; i += kLanes)
      Store(y + i, F::template Of<Math>(Load(x + i), Splat(p), Splat(q)));
    if (i < end) {  // the same vector code for the tail, so that a value does not depend on its place
      Vec v{};
      std::memcpy(&v, x + i, static_cast<size_t>(end - i) * 4);
      v = F::template Of<Math>(v, Splat(p), Splat(q));
      std::memcpy(y + i, &v, static_cast<size_t>(end - i) * 4);
    }
  });
}

template <class F, class In, class Out>
void Scalars(const Launch& l) {
  const In* x = l.x.as<In>();
  Out* y = l.y.as<Out>();
  ParallelFor(l.stream, l.x.size(), kGrain, [=, &l](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      Convert(F::template Of<Math>(static_cast<double>(x[i]), l.p, l.q), y + i);
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
#define UNARY(Name) Run<unary::Name>,
#include "core/elementwise.def"
};

}  // namespace

Status Unary(Stream& stream, const Args& args) {
  UnaryCall call;
  SPECATTN_RETURN_IF_ERROR(CheckUnary(args, &call));
  kRunners[call.function]({stream, args.inputs[0], args.outputs[0], call.p, call.q});
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// Unary on CUDA, one thread per element. The work is bound by memory, so that one kernel can hold all functions, behind a
// switch in which all threads take the same branch. Floats computes float32 to float32; Doubles computes all other dtypes
// in float64.
#include "core/convert.h"
#include "gpu/primitives/elementwise.cuh"
#include "kernels/unary.h"

namespace specattn {
namespace gpu {
namespace {

// The elementary functions that unary.h asks for, of a float and of a double.
struct Math {
#define SPECATTN_BOTH(Name, function)                                         \
  SPECATTN_HOST_DEVICE static double Name(double x) { return ::function(x); } \
  SPECATTN_HOST_DEVICE static float Name(float x) { return ::function##f(x); }
  SPECATTN_BOTH(Sqrt, sqrt)
  SPECATTN_BOTH(Exp, exp)
  SPECATTN_BOTH(Expm1, expm1)
  SPECATTN_BOTH(Log, log)
  SPECATTN_BOTH(Log1p, log1p)
  SPECATTN_BOTH(Sin, sin)
  SPECATTN_BOTH(Cos, cos)
  SPECATTN_BOTH(Asin, asin)
  SPECATTN_BOTH(Acos, acos)
  SPECATTN_BOTH(Atan, atan)
  SPECATTN_BOTH(Sinh, sinh)
  SPECATTN_BOTH(Cosh, cosh)
  SPECATTN_BOTH(Tanh, tanh)
  SPECATTN_BOTH(Asinh, asinh)
  SPECATTN_BOTH(Acosh, acosh)
  SPECATTN_BOTH(Atanh, atanh)
  SPECATTN_BOTH(Erf, erf)
  SPECATTN_BOTH(Floor, floor)
  SPECATTN_BOTH(Ceil, ceil)
  SPECATTN_BOTH(Rint, rint)  // ties to even, as tf.round
#undef SPECATTN_BOTH

  SPECATTN_HOST_DEVICE static double Tan(double x) { return ::tan(x); }
  // In float64: near its poles the tangent is so large that an error of tanf shows in the third decimal.
  SPECATTN_HOST_DEVICE static float Tan(float x) { return static_cast<float>(::tan(static_cast<double>(x))); }
};

template <class V>
__device__ V Apply(int function, V x, V p, V q) {
  switch (function) {
#define UNARY(Name)    \
  case unary::k##Name: \
    return unary::Name::Of<Math>(x, p, q);
#include "core/elementwise.def"
  }
  return x;
}

__global__ void Floats(const float* x, float* y, int64_t n, int function, float p, float q) {
  const int64_t i = ElementIndex();
  if (i < n) y[i] = Apply(function, x[i], p, q);
}

__global__ void Doubles(const void* x, DType from, void* y, DType to, int64_t n, int function, double p,
                        double q) {
  const int64_t i = ElementIndex();
  if (i >= n) return;
  const double value = from == DType::kFloat32 ? static_cast<double>(static_cast<const float*>(x)[i])
                       : from == DType::kInt32 ? static_cast<double>(static_cast<const int32_t*>(x)[i])
                                               : static_cast<double>(static_cast<const uint8_t*>(x)[i]);
  const double result = Apply(function, value, p, q);
  if (to == DType::kFloat32) {
    Convert(result, static_cast<float*>(y) + i);
  } else if (to == DType::kInt32) {
    Convert(result, static_cast<int32_t*>(y) + i);
  } else {
    Convert(result, static_cast<uint8_t*>(y) + i);
  }
}

}  // namespace

Status Unary(Stream& stream, const Args& args) {
  UnaryCall call;
  SPECATTN_RETURN_IF_ERROR(CheckUnary(args, &call));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  const int64_t n = x.size();
  if (n == 0) return Ok();
  auto& cuda = static_cast<CudaStream&>(stream);
  if (x.dtype == DType::kFloat32 && y.dtype == DType::kFloat32)
    return LaunchKernel(cuda, "Unary", Start::kInOrder, Floats, ElementGrid(n), kElementThreads, 0,
                        x.as<float>(), y.as<float>(), n, call.function, call.p, call.q);
  return LaunchKernel(cuda, "Unary", Start::kInOrder, Doubles, ElementGrid(n), kElementThreads, 0, x.data,
                      x.dtype, y.data, y.dtype, n, call.function, call.p, call.q);
}

}  // namespace gpu
}  // namespace specattn

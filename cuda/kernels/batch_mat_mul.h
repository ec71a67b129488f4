// BatchMatMul: matrix products in batches, with bias and activation.
//
//   out[i] = activation(op(a[i]) . op(b[i]) + bias)   where op transposes if its attribute says so
//
// inputs   a [B,M,K] float32 ([B,K,M] if transposeA)
//          b [B,K,N] float32, bfloat16 or float16 ([B,N,K] if transposeB)
//          bias float32, may be left out; broadcasts to [B,M,N]
//          a or b may have rank 2, which means a batch of 1. A batch of 1 serves all batches of the other.
// attrs    transposeA, transposeB (0 or 1)
//          activation: 0 linear, 1 relu, 2 relu6, 3 elu, 4 sigmoid, 5 leakyrelu
//          alpha: slope of leakyrelu below 0
// outputs  out [B,M,N] float32
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

// What follows a product: the bias is added, then the activation applied.
struct MatMulEpilogue {
  const float* bias;                             // null: none
  int64_t batch_stride, row_stride, col_stride;  // bias's strides along the axes of [B,M,N]; 0: broadcast
  int activation;
  float alpha;

  bool any() const { return bias || activation; }
};

struct BatchMatMulCall {
  const Tensor *a, *b, *out;
  bool transpose_a, transpose_b;
  int64_t batch_a, batch_b, batches;  // B of a, of b, of the output
  int64_t rows, cols, inner;          // M, N, K
  MatMulEpilogue epilogue;
};

// Sets the strides of `bias` along the axes of `shape`, [B,M,N]: 0 where it is broadcast. False if it does not broadcast.
inline bool BiasStrides(const Tensor& bias, const int64_t (&shape)[3], int64_t (&strides)[3]) {
  if (bias.rank > 3) return false;
  int64_t stride = 1;
  for (int axis = 2; axis >= 0; --axis) {
    const int dim = bias.rank - 3 + axis;
    const int64_t size = dim >= 0 ? bias.dims[dim] : 1;
    if (size != 1 && size != shape[axis]) return false;
    strides[axis] = size == 1 ? 0 : stride;
    stride *= size;
  }
  return true;
}

inline Status CheckBatchMatMul(const Args& args, BatchMatMulCall* call) {
  SPECATTN_CHECK(
      (args.input_count == 2 || args.input_count == 3) && args.output_count == 1 && args.attr_count == 4,
      "[BatchMatMul] expected 2 or 3 inputs, 1 output and 4 attributes but got %d, %d and %d",
      args.input_count, args.output_count, args.attr_count);
  const Tensor &a = args.inputs[0], &b = args.inputs[1], &out = args.outputs[0];
  SPECATTN_CHECK(a.dtype == DType::kFloat32 && IsFloat(b.dtype) && out.dtype == DType::kFloat32,
                 "[BatchMatMul] a and the output must be float32 and b a float type");
  SPECATTN_CHECK(a.rank >= 2 && a.rank <= 3 && b.rank >= 2 && b.rank <= 3,
                 "[BatchMatMul] a and b must have rank 2 or 3 but have %d and %d", a.rank, b.rank);
  const bool transpose_a = args.attrs[0] != 0, transpose_b = args.attrs[1] != 0;
  const int64_t* da = a.dims + a.rank - 2;
  const int64_t* db = b.dims + b.rank - 2;
  const int64_t batch_a = a.rank == 3 ? a.dims[0] : 1, batch_b = b.rank == 3 ? b.dims[0] : 1;
  const int64_t batches = batch_a > batch_b ? batch_a : batch_b;
  const int64_t rows = da[transpose_a ? 1 : 0], inner = da[transpose_a ? 0 : 1];
  const int64_t cols = db[transpose_b ? 0 : 1], inner_b = db[transpose_b ? 1 : 0];
  SPECATTN_CHECK(inner == inner_b, "[BatchMatMul] inner sizes of a and b must agree but are %lld and %lld",
                 static_cast<long long>(inner), static_cast<long long>(inner_b));
  SPECATTN_CHECK((batch_a == batches || batch_a == 1) && (batch_b == batches || batch_b == 1),
                 "[BatchMatMul] batches of a and b must agree or be 1 but are %lld and %lld",
                 static_cast<long long>(batch_a), static_cast<long long>(batch_b));
  int64_t size = 0;
  const bool overflows =
      __builtin_mul_overflow(batches, rows, &size) || __builtin_mul_overflow(size, cols, &size);
  SPECATTN_CHECK(!overflows && out.size() == size,
                 "[BatchMatMul] the output must have %lld x %lld x %lld elements but has %lld",
                 static_cast<long long>(batches), static_cast<long long>(rows), static_cast<long long>(cols),
                 static_cast<long long>(out.size()));
  const int64_t activation = Whole(args.attrs[2]);
  SPECATTN_CHECK(activation >= 0 && activation <= 5, "[BatchMatMul] activation must be 0 to 5 but is %g",
                 args.attrs[2]);
  MatMulEpilogue epilogue{nullptr, 0, 0, 0, static_cast<int>(activation), static_cast<float>(args.attrs[3])};
  if (args.input_count == 3) {
    const Tensor& bias = args.inputs[2];
    int64_t strides[3];
    SPECATTN_CHECK(bias.dtype == DType::kFloat32 && BiasStrides(bias, {batches, rows, cols}, strides),
                   "[BatchMatMul] bias must be float32 and broadcast to [%lld,%lld,%lld]",
                   static_cast<long long>(batches), static_cast<long long>(rows),
                   static_cast<long long>(cols));
    epilogue = {bias.as<float>(), strides[0], strides[1], strides[2], epilogue.activation, epilogue.alpha};
  }
  *call = {&a, &b, &out, transpose_a, transpose_b, batch_a, batch_b, batches, rows, cols, inner, epilogue};
  return Ok();
}

}  // namespace
}  // namespace specattn

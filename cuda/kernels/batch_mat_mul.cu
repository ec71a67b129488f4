// BatchMatMul on CUDA. b decides how:
//   b is one matrix [N,K] of a half type for all batches, as weights are: SkinnyGemm for up to 32 rows (decoding), Gemm
//     for more, for which a is narrowed to b's type. Bias and activation are a pass of their own, except that SkinnyGemm
//     adds a bias per column itself.
//   everything else: FloatGemm (gpu/matmul/float_gemm.cuh) in float32, with bias and activation in the same pass.
#include "gpu/matmul/float_gemm.cuh"
#include "gpu/matmul/gemm.h"
#include "gpu/matmul/skinny_gemm.h"
#include "gpu/runtime/kernels.h"
#include "kernels/batch_mat_mul.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kThreads = 256;

// Applies bias and activation to one number of the product.
struct Finish {
  MatMulEpilogue e;

  __device__ __forceinline__ float operator()(float x, int64_t batch, int64_t row, int64_t col) const {
    if (e.bias) x = __fadd_rn(x, e.bias[batch * e.batch_stride + row * e.row_stride + col * e.col_stride]);
    switch (e.activation) {
      case 1:
        return x < 0 ? 0.0f : x;
      case 2:
        return x < 0 ? 0.0f : x > 6 ? 6.0f : x;
      case 3:
        return x >= 0 ? x : expf(x) - 1.0f;
      case 4:
        return 1.0f / (1.0f + expf(-x));
      case 5:
        return x < 0 ? e.alpha * x : x;
      default:
        return x;
    }
  }
};

// Applies `finish` to out [B,M,N] in place, one block per row.
__global__ void __launch_bounds__(kThreads)
    FinishRows(float* out, int64_t batches, int64_t rows, int64_t cols, Finish finish) {
  for (int64_t r = blockIdx.x; r < batches * rows; r += gridDim.x)
    for (int64_t c = threadIdx.x; c < cols; c += kThreads)
      out[r * cols + c] = finish(out[r * cols + c], r / rows, r % rows, c);
}

// The call as one product, if b is one matrix [N,K] for all batches: the rows of all batches of a make one matrix too.
SkinnyGemmCall SkinnyGemmOf(const BatchMatMulCall& call) {
  SkinnyGemmCall skinny{"BatchMatMul", call.batches * call.rows, call.inner,
                        call.cols,     call.a->as<float>(),      call.b->data,
                        call.b->dtype};
  skinny.out = call.out->as<float>();
  return skinny;
}

// The product with a matrix b [N,K] of a half type. skinny: the call as SkinnyGemmOf gives it, with any number of rows.
Status TimesWeights(CudaStream& stream, const BatchMatMulCall& call, SkinnyGemmCall skinny) {
  const int64_t rows = skinny.rows;
  const MatMulEpilogue& e = call.epilogue;
  const bool is_skinny = rows <= kSkinnyRows;
  const bool bias_of_columns = e.bias && (call.cols == 1 || e.col_stride == 1) &&
                               (call.rows == 1 || e.row_stride == 0) &&
                               (call.batches == 1 || e.batch_stride == 0);
  skinny.bias = bias_of_columns ? e.bias : nullptr;
  if (is_skinny) {
    SPECATTN_RETURN_IF_ERROR(SkinnyGemm(stream, skinny));
  } else {
    const size_t half_bytes = CeilDiv<size_t>(static_cast<size_t>(rows * call.inner) * 2, 256) * 256;
    char* scratch = static_cast<char*>(stream.Scratch(half_bytes + kGemmWorkspace));
    SPECATTN_CHECK(scratch, "[BatchMatMul] no scratch memory for %lld rows of %lld",
                   static_cast<long long>(rows), static_cast<long long>(call.inner));
    SPECATTN_RETURN_IF_ERROR(
        ToHalf(stream, "BatchMatMul", skinny.x, rows * call.inner, call.b->dtype, scratch));
    SPECATTN_RETURN_IF_ERROR(Gemm(stream, "BatchMatMul", scratch, call.b->dtype, call.b->data, rows,
                                  call.cols, call.inner, 0, skinny.out, scratch + half_bytes,
                                  kGemmWorkspace));
  }
  Finish finish{e};
  if (is_skinny && bias_of_columns) finish.e.bias = nullptr;  // SkinnyGemm has added it
  if (!finish.e.any()) return Ok();
  constexpr int64_t kMostBlocks = 1 << 30;
  return LaunchKernel(stream, "BatchMatMul", Start::kInOrder, FinishRows,
                      dim3(static_cast<unsigned>(rows < kMostBlocks ? rows : kMostBlocks)), dim3(kThreads), 0,
                      skinny.out, call.batches, call.rows, call.cols, finish);
}

}  // namespace

Status BatchMatMul(Stream& base, const Args& args) {
  auto& stream = static_cast<CudaStream&>(base);
  BatchMatMulCall call;
  SPECATTN_RETURN_IF_ERROR(CheckBatchMatMul(args, &call));
  if (call.out->size() == 0) return Ok();
  if (call.b->dtype != DType::kFloat32 && call.transpose_b && !call.transpose_a && call.batch_b == 1 &&
      call.inner > 0 && call.inner % 8 == 0) {
    const SkinnyGemmCall skinny = SkinnyGemmOf(call);
    if (skinny.rows > kSkinnyRows || SuitsSkinnyGemm(skinny)) return TimesWeights(stream, call, skinny);
  }
  const int64_t a_size = call.batch_a == 1 ? 0 : call.rows * call.inner;
  const int64_t b_size = call.batch_b == 1 ? 0 : call.cols * call.inner;
  FloatGemm p{call.a->as<float>(), call.b->data, call.out->as<float>(),   call.batches,          call.rows,
              call.cols,           call.inner,   {a_size, call.inner, 1}, {b_size, 1, call.cols}};
  if (call.transpose_a) p.a_strides = {a_size, 1, call.rows};
  if (call.transpose_b) p.b_strides = {b_size, call.inner, 1};
  return RunFloatGemm(stream, "BatchMatMul", call.b->dtype, p, Finish{call.epilogue});
}

}  // namespace gpu
}  // namespace specattn

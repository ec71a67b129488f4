// Linear on CUDA, in one of three ways:
//   SkinnyGemm  up to 32 rows and weights of a half type: one launch (gpu/matmul/skinny_gemm.cu).
//   Gemm        more rows and weights of a half type (gpu/matmul/gemm.h). The rows are normalised and narrowed to the
//               weights' type first. A residual alone is where the sums start from; bias and gate are a pass of their own.
//   AnyShape    float32 weights and odd sizes: a warp computes one column of 8 rows.
#include "gpu/matmul/gemm.h"
#include "gpu/matmul/skinny_gemm.h"
#include "gpu/primitives/element.cuh"
#include "gpu/primitives/reduce.cuh"
#include "gpu/runtime/kernels.h"
#include "kernels/linear.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kThreads = 256;
constexpr int kRowGroup = 8;

// What follows the product: bias, gate and residual.
struct Epilogue {
  const float *bias, *residual;  // null: none
  float* out;                    // [T,N']
  int64_t cols, out_cols;        // N, N'
  bool gated;

  // Finishes column n of the output's N'. y is the product's column n; if gated, that is the gate, and `up` is the
  // product's column N' + n.
  __device__ void Store(float y, float up, int64_t row, int64_t n) const {
    if (bias) {
      y = __fadd_rn(y, bias[n]);
      if (gated) up = __fadd_rn(up, bias[out_cols + n]);
    }
    if (gated) y = __fmul_rn(y / (1.0f + expf(-y)), up);
    if (residual) y = __fadd_rn(y, residual[row * out_cols + n]);
    out[row * out_cols + n] = y;
  }
};

// narrow[t] = norm ? RMSNorm(x[t], norm, epsilon) : x[t], rounded to W. One block per row.
template <class W>
__global__ void NarrowRows(const float* x, const float* norm, float epsilon, int64_t inner, W* narrow) {
  __shared__ float shared[kWarp];
  WaitForPrevious();
  LetNextStart();
  const int64_t row = blockIdx.x;
  const float* from = x + row * inner;
  float scale = 1;
  if (norm) {
    float sum = 0;
    for (int64_t k = threadIdx.x; k < inner; k += kThreads) sum = __fmaf_rn(from[k], from[k], sum);
    sum = BlockReduce(sum, Plus{}, 0.0f, shared);
    scale = 1.0f / sqrtf(sum / static_cast<float>(inner) + epsilon);
  }
  for (int64_t k = threadIdx.x; k < inner; k += kThreads)
    FromFloat(norm ? from[k] * scale * norm[k] : from[k], narrow + row * inner + k);
}

// Applies the epilogue to the product y [T,N].
__global__ void Finish(const float* y, int64_t rows, Epilogue epilogue) {
  WaitForPrevious();
  LetNextStart();
  const int64_t size = rows * epilogue.out_cols;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < size;
       i += static_cast<int64_t>(gridDim.x) * kThreads) {
    const int64_t row = i / epilogue.out_cols, n = i % epilogue.out_cols;
    const float* from = y + row * epilogue.cols + n;
    epilogue.Store(*from, epilogue.gated ? from[epilogue.out_cols] : 0.0f, row, n);
  }
}

// Linear for any shape. A warp computes column n of kRowGroup rows; its lanes share the inner dimension.
template <class W>
__global__ void AnyShape(const float* x, const W* weight, const float* norm, float epsilon, int64_t rows,
                         int64_t inner, Epilogue epilogue) {
  WaitForPrevious();
  LetNextStart();
  const int lane = threadIdx.x % kWarp;
  const int64_t n = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (n >= epilogue.out_cols) return;
  for (int64_t first = static_cast<int64_t>(blockIdx.y) * kRowGroup; first < rows;
       first += static_cast<int64_t>(gridDim.y) * kRowGroup) {
    float sum[kRowGroup] = {}, up[kRowGroup] = {}, squares[kRowGroup] = {};
    for (int64_t k = lane; k < inner; k += kWarp) {
      const float w = ToFloat(weight[n * inner + k]);
      const float w_up = epilogue.gated ? ToFloat(weight[(epilogue.out_cols + n) * inner + k]) : 0.0f;
      const float gain = norm ? norm[k] : 1.0f;
#pragma unroll
      for (int t = 0; t < kRowGroup; ++t) {
        if (first + t >= rows) break;
        const float v = x[(first + t) * inner + k];
        squares[t] = __fmaf_rn(v, v, squares[t]);
        sum[t] = __fmaf_rn(__fmul_rn(v, gain), w, sum[t]);
        up[t] = __fmaf_rn(__fmul_rn(v, gain), w_up, up[t]);
      }
    }
#pragma unroll
    for (int t = 0; t < kRowGroup; ++t) {
      if (first + t >= rows) break;
      float scale = 1;
      if (norm && inner > 0)
        scale = 1.0f / sqrtf(WarpReduce(squares[t], Plus{}) / static_cast<float>(inner) + epsilon);
      const float y = __fmul_rn(WarpReduce(sum[t], Plus{}), scale);
      const float y_up = __fmul_rn(WarpReduce(up[t], Plus{}), scale);
      if (lane == 0) epilogue.Store(y, y_up, first + t, n);
    }
  }
}

template <class W>
Status RunGemm(CudaStream& stream, const LinearCall& call, const float* norm, const Epilogue& epilogue) {
  // Without bias and gate Gemm writes the output itself. A residual is copied there first, and Gemm adds to it.
  const bool direct = !epilogue.bias && !epilogue.gated;
  // Scratch memory holds the narrowed rows, the product if an epilogue follows, and Gemm's workspace.
  const size_t narrow_bytes =
      CeilDiv<size_t>(static_cast<size_t>(call.rows * call.inner) * sizeof(W), 256) * 256;
  const size_t product_bytes =
      direct ? 0 : CeilDiv<size_t>(static_cast<size_t>(call.rows * call.cols) * sizeof(float), 256) * 256;
  char* scratch = static_cast<char*>(stream.Scratch(narrow_bytes + product_bytes + kGemmWorkspace));
  SPECATTN_CHECK(scratch, "[Linear] no scratch memory for %lld rows of %lld and %lld",
                 static_cast<long long>(call.rows), static_cast<long long>(call.inner),
                 static_cast<long long>(call.cols));
  W* narrow = reinterpret_cast<W*>(scratch);
  float* product = direct ? epilogue.out : reinterpret_cast<float*>(scratch + narrow_bytes);
  SPECATTN_RETURN_IF_ERROR(LaunchKernel(stream, "Linear", Start::kEarly, NarrowRows<W>,
                                        dim3(static_cast<unsigned>(call.rows)), dim3(kThreads), 0,
                                        call.x->as<float>(), norm, call.epsilon, call.inner, narrow));
  const bool accumulate = direct && epilogue.residual;
  if (accumulate) {
    const cudaError_t error = cudaMemcpyAsync(epilogue.out, epilogue.residual, call.out->bytes(),
                                              cudaMemcpyDeviceToDevice, stream.stream());
    SPECATTN_CHECK(error == cudaSuccess, "[Linear] copying the residual: %s", cudaGetErrorString(error));
  }
  SPECATTN_RETURN_IF_ERROR(Gemm(stream, "Linear", narrow, call.weight->dtype, call.weight->data, call.rows,
                                call.cols, call.inner, accumulate ? 1.0f : 0.0f, product,
                                scratch + narrow_bytes + product_bytes, kGemmWorkspace));
  if (direct) return Ok();
  const int64_t blocks = CeilDiv<int64_t>(call.rows * epilogue.out_cols, kThreads);
  const int64_t most = 16 * stream.processors();
  return LaunchKernel(stream, "Linear", Start::kEarly, Finish,
                      dim3(static_cast<unsigned>(blocks < most ? blocks : most)), dim3(kThreads), 0, product,
                      call.rows, epilogue);
}

}  // namespace

Status Linear(Stream& base, const Args& args) {
  auto& stream = static_cast<CudaStream&>(base);
  LinearCall call;
  SPECATTN_RETURN_IF_ERROR(CheckLinear(args, &call));
  if (call.out->size() == 0) return Ok();
  const auto pointer = [](const Tensor* x) { return x ? x->as<float>() : nullptr; };

  SkinnyGemmCall skinny{"Linear",
                        call.rows,
                        call.inner,
                        call.cols,
                        call.x->as<float>(),
                        call.weight->data,
                        call.weight->dtype,
                        pointer(call.norm),
                        call.epsilon,
                        pointer(call.bias),
                        call.gated,
                        pointer(call.residual),
                        call.out->as<float>()};
  if (SuitsSkinnyGemm(skinny)) return SkinnyGemm(stream, skinny);

  const Epilogue epilogue{skinny.bias, skinny.residual, skinny.out, call.cols, call.out_cols(), call.gated};
  if (call.weight->dtype != DType::kFloat32 && call.inner % 8 == 0 && call.cols % 8 == 0 &&
      call.rows > kSkinnyRows && call.inner > 0) {
    return call.weight->dtype == DType::kBFloat16 ? RunGemm<BFloat16>(stream, call, skinny.norm, epilogue)
                                                  : RunGemm<Float16>(stream, call, skinny.norm, epilogue);
  }
  constexpr int64_t kMostGroups = 65535;  // the limit of gridDim.y
  const int64_t groups = CeilDiv<int64_t>(call.rows, kRowGroup);
  const dim3 grid(static_cast<unsigned>(CeilDiv<int64_t>(epilogue.out_cols, kThreads / kWarp)),
                  static_cast<unsigned>(groups < kMostGroups ? groups : kMostGroups));
  return WithFloat(call.weight->dtype, [&](auto element) {
    using W = decltype(element);
    return LaunchKernel(stream, "Linear", Start::kEarly, AnyShape<W>, grid, dim3(kThreads), 0, skinny.x,
                        call.weight->as<W>(), skinny.norm, call.epsilon, call.rows, call.inner, epilogue);
  });
}

}  // namespace gpu
}  // namespace specattn

// FloatGemm: batched matrix products in float32 for operands of any layout, where the kernels on the tensor cores
// (skinny_gemm.h, gemm.h) do not apply.
//
// Every sum runs along the inner dimension in ascending order, so that an element of the result depends on its row of a and
// its column of b alone, whatever the number of rows and columns.
#pragma once
#include "gpu/primitives/element.cuh"
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

// Strides of an operand, in elements. `outer` is the distance between rows of a or columns of b, `inner` the distance
// between elements along the inner dimension.
struct Strides {
  int64_t batch, outer, inner;
};

struct FloatGemm {
  const float* a;
  const void* b;  // float32, bfloat16 or float16
  float* out;     // [batches,rows,cols]
  int64_t batches, rows, cols, inner;
  Strides a_strides, b_strides;
};

// A block computes a tile of kFloatTile x kFloatTile elements from pieces of kFloatPiece along the inner dimension. Thread
// (x, y) of 16 x 16 computes kFloatPerThread x kFloatPerThread of them: rows y + 16 i, columns x + 16 j.
constexpr int kFloatTile = 64, kFloatPiece = 16, kFloatThreads = 256, kFloatPerThread = 4;
constexpr int kSkinnyFloatRows = 4;  // most rows of SkinnyFloatGemmKernel

// Loads a piece of an operand into shared memory: rows of a or columns of b from `first` on (of `outer`), inner elements
// from `at` on (of `inner`), zeros past their ends. Consecutive threads read along the dimension that is contiguous in
// memory, so that their loads coalesce. The extra column of `to` avoids bank conflicts.
template <class W>
__device__ __forceinline__ void LoadFloatPiece(const W* from, const Strides& strides, int64_t first,
                                               int64_t outer, int64_t at, int64_t inner,
                                               float (&to)[kFloatPiece][kFloatTile + 1]) {
#pragma unroll
  for (int i = 0; i < kFloatTile * kFloatPiece / kFloatThreads; ++i) {
    const int n = i * kFloatThreads + threadIdx.x;
    const bool by_inner = strides.inner == 1;
    const int k = by_inner ? n % kFloatPiece : n / kFloatTile,
              o = by_inner ? n / kFloatPiece : n % kFloatTile;
    const bool inside = first + o < outer && at + k < inner;
    to[k][o] = inside ? ToFloat(from[(first + o) * strides.outer + (at + k) * strides.inner]) : 0.0f;
  }
}

// out = epilogue(a . b). Epilogue: float operator()(float sum, int64_t batch, int64_t row, int64_t col).
template <class W, class Epilogue>
__global__ void __launch_bounds__(kFloatThreads) FloatGemmKernel(FloatGemm p, Epilogue epilogue) {
  __shared__ float left[kFloatPiece][kFloatTile + 1], right[kFloatPiece][kFloatTile + 1];
  WaitForPrevious();
  LetNextStart();
  const int x = threadIdx.x % 16, y = threadIdx.x / 16;
  const int64_t row_tiles = CeilDiv<int64_t>(p.rows, kFloatTile),
                col_tiles = CeilDiv<int64_t>(p.cols, kFloatTile);
  for (int64_t tile = blockIdx.x; tile < p.batches * row_tiles * col_tiles; tile += gridDim.x) {
    const int64_t first_col = tile % col_tiles * kFloatTile,
                  first_row = tile / col_tiles % row_tiles * kFloatTile;
    const int64_t batch = tile / col_tiles / row_tiles;
    const float* a = p.a + batch * p.a_strides.batch;
    const W* b = static_cast<const W*>(p.b) + batch * p.b_strides.batch;
    float sums[kFloatPerThread][kFloatPerThread] = {};
    for (int64_t at = 0; at < p.inner; at += kFloatPiece) {
      LoadFloatPiece(a, p.a_strides, first_row, p.rows, at, p.inner, left);
      LoadFloatPiece(b, p.b_strides, first_col, p.cols, at, p.inner, right);
      __syncthreads();
#pragma unroll
      for (int k = 0; k < kFloatPiece; ++k) {
        float rows[kFloatPerThread], cols[kFloatPerThread];
#pragma unroll
        for (int i = 0; i < kFloatPerThread; ++i) {
          rows[i] = left[k][y + i * 16];
          cols[i] = right[k][x + i * 16];
        }
#pragma unroll
        for (int i = 0; i < kFloatPerThread; ++i)
#pragma unroll
          for (int j = 0; j < kFloatPerThread; ++j) sums[i][j] = fmaf(rows[i], cols[j], sums[i][j]);
      }
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < kFloatPerThread; ++i)
#pragma unroll
      for (int j = 0; j < kFloatPerThread; ++j) {
        const int64_t row = first_row + y + i * 16, col = first_col + x + j * 16;
        if (row < p.rows && col < p.cols)
          p.out[(batch * p.rows + row) * p.cols + col] = epilogue(sums[i][j], batch, row, col);
      }
  }
}

// FloatGemmKernel for up to kSkinnyFloatRows rows, which would leave most of a tile idle: a thread computes one column of all
// rows. b_strides.outer must be 1.
template <class W, class Epilogue>
__global__ void __launch_bounds__(kFloatThreads) SkinnyFloatGemmKernel(FloatGemm p, Epilogue epilogue) {
  WaitForPrevious();
  LetNextStart();
  const int64_t slices = CeilDiv<int64_t>(p.cols, kFloatThreads);
  for (int64_t slice = blockIdx.x; slice < p.batches * slices; slice += gridDim.x) {
    const int64_t batch = slice / slices, col = slice % slices * kFloatThreads + threadIdx.x;
    if (col >= p.cols) continue;
    const float* a = p.a + batch * p.a_strides.batch;
    const W* b = static_cast<const W*>(p.b) + batch * p.b_strides.batch + col;
    float sums[kSkinnyFloatRows] = {};
#pragma unroll 8
    for (int64_t k = 0; k < p.inner; ++k) {
      const float right = ToFloat(b[k * p.b_strides.inner]);
#pragma unroll
      for (int r = 0; r < kSkinnyFloatRows; ++r)
        if (r < p.rows) sums[r] = fmaf(a[r * p.a_strides.outer + k * p.a_strides.inner], right, sums[r]);
    }
#pragma unroll
    for (int r = 0; r < kSkinnyFloatRows; ++r)
      if (r < p.rows) p.out[(batch * p.rows + r) * p.cols + col] = epilogue(sums[r], batch, r, col);
  }
}

// Queues the product. `storage` is the type of b.
template <class Epilogue>
Status RunFloatGemm(CudaStream& stream, const char* op, DType storage, const FloatGemm& p,
                    const Epilogue& epilogue) {
  const int64_t tiles =
      p.batches * CeilDiv<int64_t>(p.rows, kFloatTile) * CeilDiv<int64_t>(p.cols, kFloatTile);
  // The skinny kernel is for columns that are adjacent in memory, and for enough of them to give every multiprocessor a block.
  const int64_t slices = p.batches * CeilDiv<int64_t>(p.cols, kFloatThreads);
  const bool skinny = p.rows <= kSkinnyFloatRows && p.b_strides.outer == 1 && slices >= stream.processors();
  constexpr int64_t kMostBlocks = 1 << 30;
  const int64_t blocks = skinny ? slices : tiles;
  const dim3 grid(static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks));
  return WithFloat(storage, [&](auto element) {
    using W = decltype(element);
    return LaunchKernel(stream, op, Start::kEarly,
                        skinny ? SkinnyFloatGemmKernel<W, Epilogue> : FloatGemmKernel<W, Epilogue>, grid,
                        dim3(kFloatThreads), 0, p, epilogue);
  });
}

}  // namespace gpu
}  // namespace specattn

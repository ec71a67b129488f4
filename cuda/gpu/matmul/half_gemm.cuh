// HalfGemm: a . b^T of 16-bit floats on the tensor cores, where cuBLASLt is missing or has no algorithm.
//
// Every sum runs along the inner dimension in ascending order, so that an element of the result depends on its row of a and
// its row of b alone.
#pragma once
#include "gpu/primitives/mma.cuh"
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

struct HalfGemm {
  const void *a, *b;          // [rows,inner], [cols,inner]; 16-byte aligned, inner a multiple of 8
  float* out;                 // [rows,cols]
  int64_t rows, cols, inner;  // all > 0
  float beta;                 // out = a . b^T + beta * out
};

// A block computes a tile of kGemmTile x kGemmTile elements, each of its 8 warps 64 x 32 of them. Pieces of kGemmPiece of the
// inner dimension pass through a ring of kGemmStages stages in shared memory: while one piece is multiplied, the copies of
// the others are under way.
constexpr int kGemmTile = 128, kGemmPiece = 32, kGemmStages = 4, kGemmThreads = 256;
constexpr int kGemmChunks = kGemmPiece / 8;                   // 16-byte chunks in a row of a piece
constexpr int kGemmMatrixBytes = kGemmTile * kGemmPiece * 2;  // one operand's piece
constexpr int kGemmStageBytes = 2 * kGemmMatrixBytes;
constexpr int kGemmSharedBytes = kGemmStages * kGemmStageBytes;
constexpr int64_t kGemmBand = 8;  // row tiles of a band, which share column tiles in the L2 cache

// The byte offset of a 16-byte chunk in one operand's piece. Two rows fill the 32 banks of shared memory; the XOR puts the
// eight rows that ldmatrix reads at once into different banks.
__host__ __device__ __forceinline__ int GemmChunk(int row, int chunk) {
  return (row * kGemmChunks + (chunk ^ (row / 2 % kGemmChunks))) * 16;
}

template <class T>
__global__ void __launch_bounds__(kGemmThreads, 2) HalfGemmKernel(HalfGemm p) {
  extern __shared__ __align__(128) unsigned char gemm_shared[];
  const uint32_t shared = SharedAddress(gemm_shared);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;

  // Blocks run through one band of row tiles after the other, and through a band column by column.
  const int64_t row_tiles = CeilDiv<int64_t>(p.rows, kGemmTile),
                col_tiles = CeilDiv<int64_t>(p.cols, kGemmTile);
  const int64_t band = blockIdx.x / (kGemmBand * col_tiles), in_band = blockIdx.x % (kGemmBand * col_tiles);
  const int64_t tiles_left = row_tiles - band * kGemmBand;
  const int64_t band_tiles = tiles_left < kGemmBand ? tiles_left : kGemmBand;
  const int64_t first_row = (band * kGemmBand + in_band % band_tiles) * kGemmTile;
  const int64_t first_col = in_band / band_tiles * kGemmTile;

  // A thread copies the same chunk of kCopies rows of both operands.
  const int copy_row = threadIdx.x / kGemmChunks, copy_chunk = threadIdx.x % kGemmChunks;
  constexpr int kCopyStep = kGemmThreads / kGemmChunks, kCopies = kGemmTile / kCopyStep;
  const T *a[kCopies], *b[kCopies];
  bool a_inside[kCopies], b_inside[kCopies];
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    const int64_t row = first_row + copy_row + i * kCopyStep, col = first_col + copy_row + i * kCopyStep;
    a_inside[i] = row < p.rows;
    b_inside[i] = col < p.cols;
    a[i] = static_cast<const T*>(p.a) + (a_inside[i] ? row * p.inner : 0);
    b[i] = static_cast<const T*>(p.b) + (b_inside[i] ? col * p.inner : 0);
  }
  const int pieces = static_cast<int>(CeilDiv<int64_t>(p.inner, kGemmPiece));
  const auto copy = [&](int piece) {
    if (piece < pieces) {
      const uint32_t stage = shared + piece % kGemmStages * kGemmStageBytes;
      const int64_t at = static_cast<int64_t>(piece) * kGemmPiece + copy_chunk * 8;
      const bool inside = at < p.inner;
      const int64_t from = inside ? at : 0;
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        const uint32_t to = stage + GemmChunk(copy_row + i * kCopyStep, copy_chunk);
        CopyAsync(to, a[i] + from, inside && a_inside[i]);
        CopyAsync(to + kGemmMatrixBytes, b[i] + from, inside && b_inside[i]);
      }
    }
    CommitCopies();  // even without copies: WaitForCopies counts groups
  };

  constexpr int kWarpRows = 64, kWarpCols = 32;
  const int warp_row = warp % 2 * kWarpRows, warp_col = warp / 2 * kWarpCols;
  float sums[kWarpRows / 16][kWarpCols / 8][4] = {};
  for (int piece = 0; piece < kGemmStages - 1; ++piece) copy(piece);
  for (int piece = 0; piece < pieces; ++piece) {
    WaitForCopies<kGemmStages - 2>();
    __syncthreads();  // the piece has arrived, and no warp still reads the stage that is filled next
    copy(piece + kGemmStages - 1);
    const uint32_t left = shared + piece % kGemmStages * kGemmStageBytes, right = left + kGemmMatrixBytes;
#pragma unroll
    for (int k = 0; k < kGemmPiece / 16; ++k) {
      uint32_t left_fragments[kWarpRows / 16][4], right_fragments[kWarpCols / 16][4];
#pragma unroll
      for (int i = 0; i < kWarpRows / 16; ++i)
        LoadMatrices(left + GemmChunk(warp_row + i * 16 + lane % 16, k * 2 + lane / 16), left_fragments[i]);
#pragma unroll
      for (int j = 0; j < kWarpCols / 16; ++j)
        LoadMatrices(right + GemmChunk(warp_col + j * 16 + lane / 16 * 8 + lane % 8, k * 2 + lane / 8 % 2),
                     right_fragments[j]);
#pragma unroll
      for (int i = 0; i < kWarpRows / 16; ++i)
#pragma unroll
        for (int j = 0; j < kWarpCols / 8; ++j)
          MultiplyAdd(sums[i][j], left_fragments[i], right_fragments[j / 2][j % 2 * 2],
                      right_fragments[j / 2][j % 2 * 2 + 1], T{});
    }
  }
  WaitForCopies<0>();

  const bool pairs = p.cols % 2 == 0;  // then the address of every pair is a multiple of 8 bytes
#pragma unroll
  for (int i = 0; i < kWarpRows / 16; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t row = first_row + warp_row + i * 16 + half * 8 + lane / 4;
      if (row >= p.rows) continue;
      float* out = p.out + row * p.cols;
#pragma unroll
      for (int j = 0; j < kWarpCols / 8; ++j) {
        const int64_t col = first_col + warp_col + j * 8 + lane % 4 * 2;
        float2 sum = make_float2(sums[i][j][half * 2], sums[i][j][half * 2 + 1]);
        if (pairs && col < p.cols) {
          if (p.beta != 0) {
            const float2 old = *reinterpret_cast<const float2*>(out + col);
            sum.x += p.beta * old.x;
            sum.y += p.beta * old.y;
          }
          *reinterpret_cast<float2*>(out + col) = sum;
        } else {
          if (col < p.cols) out[col] = sum.x + (p.beta != 0 ? p.beta * out[col] : 0.0f);
          if (col + 1 < p.cols) out[col + 1] = sum.y + (p.beta != 0 ? p.beta * out[col + 1] : 0.0f);
        }
      }
    }
}

// Queues the product. `storage` is the type of a and b.
inline Status RunHalfGemm(CudaStream& stream, const char* op, DType storage, const HalfGemm& p) {
  const int64_t blocks = CeilDiv<int64_t>(p.rows, kGemmTile) * CeilDiv<int64_t>(p.cols, kGemmTile);
  SPECATTN_CHECK(blocks < int64_t{1} << 31 && p.inner < int64_t{1} << 31,
                 "[%s] [%lld,%lld] times [%lld,%lld] is too large", op, static_cast<long long>(p.rows),
                 static_cast<long long>(p.inner), static_cast<long long>(p.inner),
                 static_cast<long long>(p.cols));
  return LaunchKernel(stream, op, Start::kInOrder,
                      storage == DType::kBFloat16 ? HalfGemmKernel<BFloat16> : HalfGemmKernel<Float16>,
                      dim3(static_cast<unsigned>(blocks)), dim3(kGemmThreads), kGemmSharedBytes, p);
}

}  // namespace gpu
}  // namespace specattn

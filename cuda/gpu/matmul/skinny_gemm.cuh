// The parts of SkinnyGemm's kernel: the division of its work, the products, and the epilogue. Rows of x are called tokens
// here, to tell them from rows of the weights.
//
// Work. There is a block for each multiprocessor, or for each tile where tiles are fewer. A block owns a run of consecutive
// tiles of 8 weight rows and computes a few tiles at a time; that is a pass. Its 16 warps share the inner dimension, which is
// cut into pieces of 32 elements: warp w takes the pieces w, w + 16, ... of all tiles of the pass. The warps' partial sums
// are added up at the end of the pass.
//
// RMSNorm. A lane multiplies activations by the norm's weights when it has loaded them, and adds up their squares. The root
// mean square is known at the end of a pass and divides the sums then, so that RMSNorm needs no pass of its own.
//
// Precision. mma.m16n8k16 multiplies [16 rows of activations] by [8 weight rows]. Rows 0-7 of its left operand are the
// activations of 8 tokens, rounded to the weights' type; rows 8-15 are the remainders of that rounding. Both results of a
// token are in the same lane, which adds them: the activations keep 16 bits of mantissa or more, and memory traffic does not
// grow. An activation that the weights' type cannot hold (beyond 65504 in float16) makes NaN.
//
// Layout. The inner index of a product may be permuted as long as both operands agree, so a lane uses 8 consecutive elements
// of a row, which it loads at once, for its parts of two products.
//
// The order of all additions depends on the inner size alone. So a token's results have the same bits whatever the number of
// tokens in the call.
#pragma once
#include "gpu/matmul/skinny_gemm.h"
#include "gpu/primitives/mma.cuh"
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

constexpr int kWarps = 16;
constexpr int kThreads = kWarps * kWarp;
constexpr int kPiece = 32;  // inner elements of a piece
constexpr int kTile = 8;    // weight rows of a tile; also tokens of a group

// The kernel's arguments: SkinnyGemmCall's tensors, and how the launcher divides the work.
struct SkinnyGemmParams {
  const float *x, *norm, *bias, *residual;
  const void* weight;
  float* out;
  int rows, inner, pieces;  // M, K, and pieces of K
  int passes;               // of each block
  int64_t units;            // tiles of the weights, or pairs of a gate tile and an up tile where gated
  int64_t half_cols;        // N/2: the first up row of the weights where gated
  int64_t out_cols;         // N'
  float epsilon;
  // settled: the weights may be read before the previous kernel has ended (CudaStream::Settled).
  bool gated, settled;
};

// A block's share of the units: `units` of them from `first` on, spread evenly over the passes.
struct Share {
  int64_t first;
  int units, passes, unit_tiles;

  __device__ explicit Share(const SkinnyGemmParams& p)
      : first(p.units * blockIdx.x / gridDim.x),
        units(static_cast<int>(p.units * (blockIdx.x + 1) / gridDim.x - first)),
        passes(p.passes),
        unit_tiles(p.gated ? 2 : 1) {}
  // First unit of a pass, counted from the block's first unit.
  __device__ int Begin(int pass) const { return units * pass / passes; }
  // Number of tiles of a pass.
  __device__ int Tiles(int pass) const { return (Begin(pass + 1) - Begin(pass)) * unit_tiles; }
  // First weight row of tile m of a pass. Where gated, gate tiles and up tiles alternate.
  __device__ int64_t Row(const SkinnyGemmParams& p, int pass, int m) const {
    const int64_t unit = first + Begin(pass) + m / unit_tiles;
    return unit * kTile + (p.gated && m % 2 == 1 ? p.half_cols : 0);
  }
};

// CopyAsync of 16 bytes of weights that also brings the 128 bytes around them into the L2 cache: a row of a piece is 64
// bytes, and the neighbouring piece is the next load of another warp.
__device__ __forceinline__ void FetchWeights(uint32_t shared, const void* global, bool inside) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(inside ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void PrefetchToL2(const void* at) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
}

// 8 consecutive elements of a row of x, or of the norm's weights.
struct Float8 {
  float4 half[2];
};

// Zeros where `valid` is false; `from` is not read then.
__device__ __forceinline__ Float8 LoadFloat8(const float* from, bool valid) {
  const float4 zero = make_float4(0, 0, 0, 0);
  return {{valid ? *reinterpret_cast<const float4*>(from) : zero,
           valid ? *reinterpret_cast<const float4*>(from + 4) : zero}};
}

// Packs a and b, rounded to W, into *high, and the remainders of that rounding into *low.
__device__ __forceinline__ void Split(float a, float b, BFloat16 w, uint32_t* high, uint32_t* low) {
  *high = PackPair(a, b, w);
  *low = PackPair(a - __uint_as_float(*high << 16), b - __uint_as_float(*high & 0xffff0000u), w);
}
__device__ __forceinline__ void Split(float a, float b, Float16 w, uint32_t* high, uint32_t* low) {
  *high = PackPair(a, b, w);
  const __half2 h = *reinterpret_cast<const __half2*>(high);
  *low = PackPair(a - __low2float(h), b - __high2float(h), w);
}

// The left operands of a piece's two products, from a lane's activations `x` of one token: left[0] takes the first four, left[1]
// the others. With kNorm the activations are multiplied by `gain`, and their squares before that are added to *squares.
template <class W, bool kNorm>
__device__ __forceinline__ void LeftOperands(const Float8& x, const Float8& gain, float* squares,
                                             uint32_t (&left)[2][4]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float4 v = x.half[i];
    if (kNorm) {
      *squares = __fmaf_rn(v.x, v.x, *squares);
      *squares = __fmaf_rn(v.y, v.y, *squares);
      *squares = __fmaf_rn(v.z, v.z, *squares);
      *squares = __fmaf_rn(v.w, v.w, *squares);
      v.x = __fmul_rn(v.x, gain.half[i].x);
      v.y = __fmul_rn(v.y, gain.half[i].y);
      v.z = __fmul_rn(v.z, gain.half[i].z);
      v.w = __fmul_rn(v.w, gain.half[i].w);
    }
    Split(v.x, v.y, W{}, &left[i][0], &left[i][1]);
    Split(v.z, v.w, W{}, &left[i][2], &left[i][3]);
  }
}

// The warps' partial sums of a pass, and of the squares of the activations. In shared memory.
template <int kTiles, int kGroups>
struct Partial {
  static constexpr int kTileSize = kGroups * kTile * kTile;
  float sums[kWarps][kTiles * kTileSize];  // [warp][tile, group, token, weight row]
  float squares[kWarps][kGroups * kTile];  // [warp][group, token]
};

// Stores a warp's partial sums. Adds the results of the rounded activations and of the remainders, and the squares of the four
// lanes that share a token.
template <int kTiles, int kGroups>
__device__ __forceinline__ void StorePartial(const float (&sums)[kTiles][kGroups][4],
                                             float (&squares)[kGroups], int warp, int lane,
                                             Partial<kTiles, kGroups>* partial) {
  const int row = lane / 4, quarter = lane % 4;
#pragma unroll
  for (int n = 0; n < kGroups; ++n) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      const float* c = sums[m][n];
      float* to = &partial->sums[warp][((m * kGroups + n) * kTile + row) * kTile + 2 * quarter];
      *reinterpret_cast<float2*>(to) = make_float2(__fadd_rn(c[0], c[2]), __fadd_rn(c[1], c[3]));
    }
    squares[n] = __fadd_rn(squares[n], __shfl_xor_sync(kAllLanes, squares[n], 1));
    squares[n] = __fadd_rn(squares[n], __shfl_xor_sync(kAllLanes, squares[n], 2));
    if (quarter == 0) partial->squares[warp][n * kTile + row] = squares[n];
  }
}

// The elements of `out` that a thread computes at the end of a pass. It reads their residuals at the start of the pass, so
// that their latency is hidden.
template <int kTiles, int kGroups, bool kNorm>
class Outputs {
 public:
  static constexpr int kTileSize = kGroups * kTile * kTile;
  static constexpr int kCount = (kTiles * kTileSize + kThreads - 1) / kThreads;

  __device__ __forceinline__ void ReadResidual(const SkinnyGemmParams& p, const Share& share, int pass) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      int token;
      int64_t col;
      residual_[i] =
          p.residual && Place(p, share, pass, i, &token, &col) ? p.residual[token * p.out_cols + col] : 0.0f;
    }
  }

  // Adds up the warps' partial sums and applies the norm, bias, gate and residual. All warps must have called StorePartial,
  // followed by a barrier.
  __device__ __forceinline__ void Write(const SkinnyGemmParams& p, const Share& share, int pass,
                                        const Partial<kTiles, kGroups>& partial) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      int token;
      int64_t col;
      if (!Place(p, share, pass, i, &token, &col)) continue;
      const int at = static_cast<int>(threadIdx.x) + i * kThreads, unit = at / kTileSize,
                within = at % kTileSize;
      float scale = 1;
      if (kNorm) {
        float sum = partial.squares[0][token];
#pragma unroll
        for (int w = 1; w < kWarps; ++w) sum = __fadd_rn(sum, partial.squares[w][token]);
        scale = 1.0f / sqrtf(sum / static_cast<float>(p.inner) + p.epsilon);
      }
      const auto total = [&](int tile) {
        float sum = partial.sums[0][tile * kTileSize + within];
#pragma unroll
        for (int w = 1; w < kWarps; ++w) sum = __fadd_rn(sum, partial.sums[w][tile * kTileSize + within]);
        return __fmul_rn(sum, scale);
      };
      float y;
      if (p.gated) {
        float gate = total(2 * unit), up = total(2 * unit + 1);
        if (p.bias) {
          gate = __fadd_rn(gate, p.bias[col]);
          up = __fadd_rn(up, p.bias[p.half_cols + col]);
        }
        y = __fmul_rn(gate / (1.0f + expf(-gate)), up);
      } else {
        y = total(unit);
        if (p.bias) y = __fadd_rn(y, p.bias[col]);
      }
      p.out[token * p.out_cols + col] = __fadd_rn(y, residual_[i]);
    }
  }

 private:
  // Sets the token and the column of this thread's element i of the pass. Returns false where there is no such element.
  __device__ __forceinline__ bool Place(const SkinnyGemmParams& p, const Share& share, int pass, int i,
                                        int* token, int64_t* col) const {
    const int at = static_cast<int>(threadIdx.x) + i * kThreads, unit = at / kTileSize;
    *token = at / kTile % (kGroups * kTile);
    *col = (share.first + share.Begin(pass) + unit) * kTile + at % kTile;
    return share.Begin(pass) + unit < share.Begin(pass + 1) && *token < p.rows;
  }

  float residual_[kCount];
};

}  // namespace gpu
}  // namespace specattn

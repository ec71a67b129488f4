// The parts of SkinnyGemm: how work is dealt out, the products, and what follows them.
//
// A block a processor owns a run of tiles of 8 weight rows, and takes a few of them at a time (a pass). Its 16 warps
// share the inner dimension: warp w takes the pieces of 32 numbers w, w + 16, ... of every tile.
//
// Each lane normalises the numbers of the activations that it multiplies: the root mean square is known at the
// end of a pass over the inner dimension and is multiplied in then, so that RMSNorm costs no pass of its own.
//
// mma.m16n8k16 computes [16 activations] x [8 weight rows]. Rows 0-7 of its left operand are the activations of
// 8 tokens rounded to the weights' type, rows 8-15 what the rounding left over: their results meet in one lane
// and add up to a product with 16-bit mantissas or better, at no cost in memory traffic (what the weights' type can't hold,
// beyond 65504 in float16, becomes NaN). The products' inner
// index may be permuted freely as long as both sides agree: a lane's 8 consecutive numbers of a row serve as its
// share of two products.
//
// The order of all additions depends on the inner size alone: a token's results are the same to the bit in every
// block of rows.
#pragma once
#include "gpu/matmul/skinny_gemm.h"
#include "gpu/primitives/mma.cuh"
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

constexpr int kWarps = 16;
constexpr int kThreads = kWarps * kWarp;
constexpr int kPiece = 32;  // of the inner dimension: what a warp takes at a time
constexpr int kTile = 8;    // weight rows; also tokens of a group

struct SkinnyGemmParams {
  const float *x, *norm, *bias, *residual;
  const void* weight;
  float* out;
  int rows, inner, pieces;
  int passes;
  int64_t units;      // tiles, or pairs of a gate tile and an up tile
  int64_t half_cols;  // N/2 where gated
  int64_t out_cols;
  float epsilon;
  bool gated, settled;
};

// A block's share of the units.
struct Share {
  int64_t first;
  int units, passes, unit_tiles;

  __device__ explicit Share(const SkinnyGemmParams& p)
      : first(p.units * blockIdx.x / gridDim.x),
        units(static_cast<int>(p.units * (blockIdx.x + 1) / gridDim.x - first)),
        passes(p.passes),
        unit_tiles(p.gated ? 2 : 1) {}
  __device__ int Begin(int pass) const { return units * pass / passes; }
  __device__ int Tiles(int pass) const { return (Begin(pass + 1) - Begin(pass)) * unit_tiles; }
  // The weight row that tile m of a pass starts with: gate and up tiles in turn, or just one after the other.
  __device__ int64_t Row(const SkinnyGemmParams& p, int pass, int m) const {
    const int64_t unit = first + Begin(pass) + m / unit_tiles;
    return unit * kTile + (p.gated && m % 2 == 1 ? p.half_cols : 0);
  }
};

// CopyAsync of 16 bytes of weights. The other half of the 128 bytes around them is another warp's next load.
__device__ __forceinline__ void FetchWeights(uint32_t shared, const void* global, bool inside) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(inside ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void PrefetchToL2(const void* at) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
}

// A lane's 8 numbers of a row.
struct Float8 {
  float4 half[2];
};

__device__ __forceinline__ Float8 LoadFloat8(const float* from, bool valid) {
  const float4 zero = make_float4(0, 0, 0, 0);
  return {{valid ? *reinterpret_cast<const float4*>(from) : zero,
           valid ? *reinterpret_cast<const float4*>(from + 4) : zero}};
}

// Two floats rounded to W, and what is left of them.
__device__ __forceinline__ void Split(float a, float b, BFloat16 w, uint32_t* high, uint32_t* low) {
  *high = PackPair(a, b, w);
  *low = PackPair(a - __uint_as_float(*high << 16), b - __uint_as_float(*high & 0xffff0000u), w);
}
__device__ __forceinline__ void Split(float a, float b, Float16 w, uint32_t* high, uint32_t* low) {
  *high = PackPair(a, b, w);
  const __half2 h = *reinterpret_cast<const __half2*>(high);
  *low = PackPair(a - __low2float(h), b - __high2float(h), w);
}

// The left operands of a piece's two products (numbers 0-3 and 4-7) for a group of tokens. `squares` gathers the
// activations' squares where they are normalised.
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

// The warps' shares of a pass's sums, and of the squares of the activations.
template <int kTiles, int kGroups>
struct Partial {
  static constexpr int kTileSize = kGroups * kTile * kTile;
  float sums[kWarps][kTiles * kTileSize];  // [tile, group, token, weight row]
  float squares[kWarps][kGroups * kTile];
};

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

// A thread's results of a pass. The residual is read at the pass's start, long before it
// is needed.
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

  // After StorePartial by all warps and a barrier.
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
  // Token and column of output i; false where there is none.
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

// FewRows on tensor cores, bound by memory alone.
//
// A block of 8 warps owns a few tiles of 8 weight rows; its warps share the inner dimension: warp w takes the
// pieces of 32 numbers w, w + 8, ... of every tile. A lane reads 16 bytes of weights at a time, straight into
// registers, several loads ahead of their use, and 8 numbers of an activation row, which it normalises on the
// way: the root mean square is known at the end of the pass and is multiplied in then, so that RMSNorm costs
// no pass of its own.
//
// mma.m16n8k16 computes [16 activations] x [8 weight rows]. Rows 0-7 of its left operand are the activations of
// 8 tokens rounded to the weights' type, rows 8-15 what the rounding left over: their results meet in one lane
// and add up to a product with 16-bit mantissas or better, at no cost in memory traffic. The products' inner index may be permuted
// freely as long as both sides agree: a lane's 8 consecutive numbers serve as its share of two products.
//
// The order of all additions depends on the inner size alone: a token's results are the same to the bit in every block of rows.
//
// Before the previous kernel has ended (launch.cuh) the first weights are on their way to registers, and some
// more to the second-level cache: memory does not idle while kernels take turns.
#include "element.cuh"
#include "few_rows.h"
#include "launch.cuh"

namespace specattn {
namespace gpu {
namespace {

constexpr int kWarps = 8;
constexpr int kPiece = 32;  // of the inner dimension: what a warp takes at a time
constexpr int kTile = 8;    // weight rows; also tokens of a group

struct Params {
  const float *x, *norm, *bias, *residual;
  const void* weight;
  float* out;
  int rows, inner, pieces;
  int64_t units;      // tiles, or pairs of a gate tile and an up tile
  int64_t half_cols;  // N/2 where gated
  int64_t out_cols;
  float epsilon;
  bool gated, settled;
};

__device__ __forceinline__ uint4 LoadWeights(const void* at) {
  uint4 w;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
               : "l"(at));
  return w;
}

__device__ __forceinline__ void PrefetchWeights(const void* at) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
}

// Two floats rounded to W, and what is left of them.
__device__ __forceinline__ void Split(float a, float b, BFloat16, uint32_t* high, uint32_t* low) {
  const __nv_bfloat162 h = __floats2bfloat162_rn(a, b);
  const __nv_bfloat162 l = __floats2bfloat162_rn(a - __low2float(h), b - __high2float(h));
  *high = *reinterpret_cast<const uint32_t*>(&h);
  *low = *reinterpret_cast<const uint32_t*>(&l);
}
__device__ __forceinline__ void Split(float a, float b, Float16, uint32_t* high, uint32_t* low) {
  const __half2 h = __floats2half2_rn(a, b);
  const __half2 l = __floats2half2_rn(a - __low2float(h), b - __high2float(h));
  *high = *reinterpret_cast<const uint32_t*>(&h);
  *low = *reinterpret_cast<const uint32_t*>(&l);
}

__device__ __forceinline__ void Multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                         BFloat16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void Multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                         Float16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// A lane's 8 numbers of a token and their norm weights, as they are read.
struct Raw {
  float4 x[2];
};

// kTiles: weight tiles of a block, at most; kGroups: groups of 8 tokens.
template <class W, int kTiles, int kGroups>
__global__ void __launch_bounds__(kWarps* kWarp, kGroups == 4 ? 1 : 2)
    FewRowsKernel(const __grid_constant__ Params p) {
  // How many pieces are on their way to registers: about 8 loads a lane.
  constexpr int kDepth = kTiles >= 6 ? 1 : kTiles >= 4 ? 2 : kTiles == 3 ? 3 : kTiles == 2 ? 4 : 8;
  constexpr int kPrefetched = kDepth + (kTiles >= 8 ? 2 : 16 / kTiles);  // and to the second-level cache
  __shared__ float partial[kWarps][kTiles * kGroups * kTile * kTile];
  __shared__ float partial_squares[kWarps][kGroups * kTile];

  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int row = lane / 4, quarter = lane % 4;  // of a tile; of a piece
  const int64_t first = p.units * blockIdx.x / gridDim.x, last = p.units * (blockIdx.x + 1) / gridDim.x;
  const int tiles = static_cast<int>(last - first) * (p.gated ? 2 : 1);

  // Tile m starts at even or odd, (m / 2) steps further on: gate and up tiles in turn, or just one after the other.
  const int64_t inner = p.inner;
  const W* even = static_cast<const W*>(p.weight) + (first * kTile + row) * inner + quarter * 8;
  const W* odd = even + (p.gated ? p.half_cols : kTile) * inner;
  const int64_t step = (p.gated ? 1 : 2) * kTile * inner;
  const auto at = [&](int piece, int m) {
    return (m % 2 == 0 ? even : odd) + (m / 2) * step + piece * kPiece;
  };
  const auto inside = [&](int piece) { return piece * kPiece + quarter * 8 < p.inner; };

  uint4 weights[kDepth][kTiles];
  const auto load = [&](int piece, int m) {
    return m < tiles && inside(piece) ? LoadWeights(at(piece, m)) : make_uint4(0, 0, 0, 0);
  };

  if (!p.settled) WaitForPrevious();
#pragma unroll
  for (int d = 0; d < kDepth; ++d)
#pragma unroll
    for (int m = 0; m < kTiles; ++m) weights[d][m] = load(warp + d * kWarps, m);
  if (p.settled) {
#pragma unroll 1
    for (int piece = warp + kDepth * kWarps; piece < warp + kPrefetched * kWarps; piece += kWarps)
#pragma unroll
      for (int m = 0; m < kTiles; ++m)
        if (m < tiles && inside(piece)) PrefetchWeights(at(piece, m));
    WaitForPrevious();
  }
  LetNextStart();

  float sums[kTiles][kGroups][4] = {};
  float squares[kGroups] = {};
  Raw raw[kGroups], gain{};
  const auto read = [&](int piece) {
    const int k = piece * kPiece + quarter * 8;
    const bool valid = k < p.inner;
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
      const int token = n * kTile + row;
      const float* from = p.x + static_cast<int64_t>(token) * inner + k;
      const float4 zero = make_float4(0, 0, 0, 0);
      const bool here = valid && token < p.rows;
      raw[n].x[0] = here ? *reinterpret_cast<const float4*>(from) : zero;
      raw[n].x[1] = here ? *reinterpret_cast<const float4*>(from + 4) : zero;
    }
    if (p.norm && valid) {
      gain.x[0] = *reinterpret_cast<const float4*>(p.norm + k);
      gain.x[1] = *reinterpret_cast<const float4*>(p.norm + k + 4);
    }
  };
  read(warp);

#pragma unroll 1
  for (int base = warp; base < p.pieces; base += kWarps * kDepth) {
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      const int piece = base + d * kWarps;
      if (piece >= p.pieces) break;
      // The left operands: of the first product numbers 0-3, of the second 4-7.
      uint32_t left[kGroups][2][4];
#pragma unroll
      for (int n = 0; n < kGroups; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float4 v = raw[n].x[i];
          if (p.norm) {
            squares[n] = __fmaf_rn(v.x, v.x, squares[n]);
            squares[n] = __fmaf_rn(v.y, v.y, squares[n]);
            squares[n] = __fmaf_rn(v.z, v.z, squares[n]);
            squares[n] = __fmaf_rn(v.w, v.w, squares[n]);
            v.x = __fmul_rn(v.x, gain.x[i].x);
            v.y = __fmul_rn(v.y, gain.x[i].y);
            v.z = __fmul_rn(v.z, gain.x[i].z);
            v.w = __fmul_rn(v.w, gain.x[i].w);
          }
          Split(v.x, v.y, W{}, &left[n][i][0], &left[n][i][1]);
          Split(v.z, v.w, W{}, &left[n][i][2], &left[n][i][3]);
        }
      }
      read(piece + kWarps);
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        const uint4 w = weights[d][m];
#pragma unroll
        for (int n = 0; n < kGroups; ++n) {
          Multiply(sums[m][n], left[n][0], w.x, w.y, W{});
          Multiply(sums[m][n], left[n][1], w.z, w.w, W{});
        }
        weights[d][m] = load(piece + kDepth * kWarps, m);
      }
    }
  }

  // The warps' shares, added in the warps' order.
#pragma unroll
  for (int n = 0; n < kGroups; ++n) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      const float* c = sums[m][n];
      *reinterpret_cast<float2*>(&partial[warp][((m * kGroups + n) * kTile + row) * kTile + 2 * quarter]) =
          make_float2(__fadd_rn(c[0], c[2]), __fadd_rn(c[1], c[3]));
    }
    squares[n] = __fadd_rn(squares[n], __shfl_xor_sync(kAllLanes, squares[n], 1));
    squares[n] = __fadd_rn(squares[n], __shfl_xor_sync(kAllLanes, squares[n], 2));
    if (quarter == 0) partial_squares[warp][n * kTile + row] = squares[n];
  }
  __syncthreads();

  const auto total = [&](int i) {
    float sum = partial[0][i];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) sum = __fadd_rn(sum, partial[w][i]);
    return sum;
  };
  const int units = static_cast<int>(last - first);
  for (int i = threadIdx.x; i < units * kGroups * kTile * kTile; i += kWarps * kWarp) {
    const int column = i % kTile, token = i / kTile % (kGroups * kTile), unit = i / (kTile * kGroups * kTile);
    if (token >= p.rows) continue;
    float scale = 1;
    if (p.norm) {
      float sum = partial_squares[0][token];
#pragma unroll
      for (int w = 1; w < kWarps; ++w) sum = __fadd_rn(sum, partial_squares[w][token]);
      scale = 1.0f / sqrtf(sum / static_cast<float>(p.inner) + p.epsilon);
    }
    const int64_t col = (first + unit) * kTile + column;
    const int within = token * kTile + column;  // [kGroups * kTile, kTile] of a tile
    constexpr int kTileSize = kGroups * kTile * kTile;
    float y;
    if (p.gated) {
      float gate = __fmul_rn(total(2 * unit * kTileSize + within), scale);
      float up = __fmul_rn(total((2 * unit + 1) * kTileSize + within), scale);
      if (p.bias) {
        gate = __fadd_rn(gate, p.bias[col]);
        up = __fadd_rn(up, p.bias[p.half_cols + col]);
      }
      y = __fmul_rn(gate / (1.0f + expf(-gate)), up);
    } else {
      y = __fmul_rn(total(unit * kTileSize + within), scale);
      if (p.bias) y = __fadd_rn(y, p.bias[col]);
    }
    const int64_t to = static_cast<int64_t>(token) * p.out_cols + col;
    if (p.residual) y = __fadd_rn(y, p.residual[to]);
    p.out[to] = y;
  }
}

template <class W, int kTiles, int kGroups>
Status Launch(CudaStream& stream, const char* op, int64_t blocks, const Params& params) {
  return LaunchKernel(stream, op, Start::kEarly, FewRowsKernel<W, kTiles, kGroups>,
                      dim3(static_cast<unsigned>(blocks)), dim3(kWarps * kWarp), 0, params);
}

template <class W, int kGroups>
Status LaunchTiles(CudaStream& stream, const char* op, int tiles, int64_t blocks, const Params& params) {
  if constexpr (kGroups == 1) {
    if (tiles > 6) return Launch<W, 8, kGroups>(stream, op, blocks, params);
    if (tiles > 4) return Launch<W, 6, kGroups>(stream, op, blocks, params);
  }
  if constexpr (kGroups <= 2) {
    if (tiles > 2) return Launch<W, 4, kGroups>(stream, op, blocks, params);
  }
  if (tiles > 1) return Launch<W, 2, kGroups>(stream, op, blocks, params);
  return Launch<W, 1, kGroups>(stream, op, blocks, params);
}

template <class W>
Status LaunchGroups(CudaStream& stream, const char* op, int groups, int tiles, int64_t blocks,
                    const Params& params) {
  if (groups == 1) return LaunchTiles<W, 1>(stream, op, tiles, blocks, params);
  if (groups == 2) return LaunchTiles<W, 2>(stream, op, tiles, blocks, params);
  return LaunchTiles<W, 4>(stream, op, tiles, blocks, params);
}

}  // namespace

Status FewRows(CudaStream& stream, const FewRowsCall& call) {
  SPECATTN_CHECK(SuitsFewRows(call), "[%s] %lld rows of %lld by %lld weights are not for FewRows", call.op,
                 static_cast<long long>(call.rows), static_cast<long long>(call.inner),
                 static_cast<long long>(call.cols));
  if (call.rows == 0 || call.cols == 0) return Ok();
  const int groups = call.rows <= 8 ? 1 : call.rows <= 16 ? 2 : 4;
  const int unit_tiles = call.gated ? 2 : 1;
  Params params{call.x,
                call.norm,
                call.bias,
                call.residual,
                call.weight,
                call.out,
                static_cast<int>(call.rows),
                static_cast<int>(call.inner),
                static_cast<int>(CeilDiv<int64_t>(call.inner, kPiece)),
                call.cols / (kTile * unit_tiles),
                call.cols / 2,
                call.cols / unit_tiles,
                call.epsilon,
                call.gated,
                stream.Settled(call.weight) && (!call.norm || stream.Settled(call.norm))};

  // As few blocks as keep the tiles of each within the registers, the same number on every processor.
  const int64_t most_units = 8 / groups / unit_tiles;
  const int64_t processors = stream.processors();
  const int64_t waves = CeilDiv(params.units, processors * most_units);
  const int64_t blocks = params.units < processors ? params.units : waves * processors;
  const int tiles = static_cast<int>(CeilDiv(params.units, blocks)) * unit_tiles;
  if (call.storage == DType::kBFloat16)
    return LaunchGroups<BFloat16>(stream, call.op, groups, tiles, blocks, params);
  return LaunchGroups<Float16>(stream, call.op, groups, tiles, blocks, params);
}

}  // namespace gpu
}  // namespace specattn

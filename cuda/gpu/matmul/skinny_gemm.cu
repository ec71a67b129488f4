// SkinnyGemm's kernel and launcher. The kernel is bound by the reading of the weights, which stream through a ring of stages in
// shared memory without a break between passes. Each lane fetches the weights that it will multiply itself, 16 bytes at a
// time, so that warps wait for each other only when a pass's sums are added up.
//
// The kernel starts before the previous one has ended (launch.cuh). Until then, where that one cannot have written the weights,
// it fills the ring and prefetches more weights into the L2 cache, so that memory is not idle between two kernels.
#include "gpu/matmul/skinny_gemm.cuh"

namespace specattn {
namespace gpu {
namespace {

// Data-centre GPUs since Hopper have the shared memory for a long ring, and other GPUs get a short one. Code for a GPU has only
// the ring that it uses. __CUDA_ARCH__ is 10 times these numbers, which the preprocessor cannot see.
constexpr int kLongRingSince = 90, kLongRingBefore = 120;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900 && __CUDA_ARCH__ < 1200
#define SPECATTN_LONG_RING true
#else
#define SPECATTN_LONG_RING false
#endif

// The compiled shape of a launch: the tiles of a pass, the groups of 8 tokens and the ring. In each step of a pass a warp takes
// kBatch pieces of each tile, so that enough loads overlap even where there are few tiles. A stage of the ring holds one step.
template <int kTilesOfPass, int kGroupsOfRows, bool kLongRing>
struct Shape {
  static constexpr int kTiles = kTilesOfPass, kGroups = kGroupsOfRows;
  static constexpr bool kLong = kLongRing;
  static constexpr int kBatch = kGroups > 1 || kTiles > (kLong ? 4 : 2) ? 1 : kTiles > 1 ? 2 : 4;
  static constexpr int kStageBytes = kThreads * kTiles * kBatch * 16;
  static constexpr int kRingBytes = (kLong ? 192 : 64) << 10;
  static constexpr int kStages = kRingBytes / kStageBytes < 6 ? kRingBytes / kStageBytes : 6;
  static_assert(kStages >= 2, "a stage arrives while another is used");
};

template <class W, class S, bool kNorm>
__global__ void __launch_bounds__(kThreads, 1) SkinnyGemmKernel(const __grid_constant__ SkinnyGemmParams p) {
  if constexpr (S::kLong != SPECATTN_LONG_RING) return;
  constexpr int kTiles = S::kTiles, kGroups = S::kGroups, kBatch = S::kBatch, kStages = S::kStages;
  constexpr int kPrefetched = 2;   // stages beyond the ring that are prefetched into the L2 cache
  extern __shared__ uint4 ring[];  // [kStages, kWarps, kBatch, kTiles, kWarp]
  __shared__ Partial<kTiles, kGroups> partial;

  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int row = lane / 4, quarter = lane % 4;  // row of a tile or token of a group; quarter of a piece
  const Share share(p);

  // What this lane fetches next: its elements of kBatch pieces, from `piece` on, of the tiles of a pass. `even` and `odd` are
  // its weights in tiles 0 and 1. Those in tile m are m / 2 times tile_step after `even` or, where m is odd, after `odd`.
  struct Cursor {
    const W *even, *odd;
    int pass, piece, tiles;
  } next{};
  const int64_t tile_step = (p.gated ? 1 : 2) * kTile * static_cast<int64_t>(p.inner);
  const auto start_pass = [&](Cursor* at, int pass) {
    const W* base = static_cast<const W*>(p.weight) + quarter * 8;
    at->even = base + (share.Row(p, pass, 0) + row) * p.inner;
    at->odd = base + (share.Row(p, pass, 1) + row) * p.inner;
    at->tiles = share.Tiles(pass);
    at->pass = pass;
    at->piece = warp;
  };
  const auto advance = [&](Cursor* at) {
    at->piece += kBatch * kWarps;
    if (at->piece >= p.pieces && at->pass + 1 < p.passes) start_pass(at, at->pass + 1);
  };
  // Calls fn(b, m, address, inside) for each piece b and tile m of a stage. Where `inside` is false the lane's elements are
  // past the inner dimension's end, and the address must not be read.
  const auto for_stage = [&](const Cursor& at, auto fn) {
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int piece = at.piece + b * kWarps, k = piece * kPiece;
      const bool inside = k + quarter * 8 < p.inner;
      if (piece >= p.pieces) break;
#pragma unroll
      for (int m = 0; m < kTiles; ++m)
        if (m < at.tiles)
          fn(b, m, (m % 2 == 0 ? at.even : at.odd) + (m / 2) * tile_step + (inside ? k : 0), inside);
    }
  };
  const uint32_t ring_at = SharedAddress(ring + warp * kBatch * kTiles * kWarp + lane);
  // Queues the copies of the next stage and moves the cursor on.
  const auto fetch = [&](int stage) {
    if (next.piece < p.pieces) {
      for_stage(next, [&](int b, int m, const W* from, bool inside) {
        FetchWeights(ring_at + static_cast<uint32_t>(stage * S::kStageBytes + (b * kTiles + m) * kWarp * 16),
                     from, inside);
      });
      advance(&next);
    }
    CommitCopies();
  };

  start_pass(&next, 0);
  if (!p.settled) WaitForPrevious();
#pragma unroll 1
  for (int stage = 0; stage < kStages - 1; ++stage) fetch(stage);
  if (p.settled) {
    Cursor ahead = next;
#pragma unroll 1
    for (int i = 0; i < kPrefetched && ahead.piece < p.pieces; ++i) {
      for_stage(ahead, [](int, int, const W* from, bool inside) {
        if (inside) PrefetchToL2(from);
      });
      advance(&ahead);
    }
    WaitForPrevious();
  }
  LetNextStart();

  int stage = 0;
#pragma unroll 1
  for (int pass = 0; pass < p.passes; ++pass) {
    Outputs<kTiles, kGroups, kNorm> outputs;
    outputs.ReadResidual(p, share, pass);
    float sums[kTiles][kGroups][4] = {};
    float squares[kGroups] = {};
    // Activations are loaded one step ahead, which hides the latency of the L2 cache.
    Float8 x[kBatch][kGroups], gain[kBatch];
    const auto read = [&](int piece, int b) {
      const int k = piece * kPiece + quarter * 8;
#pragma unroll
      for (int n = 0; n < kGroups; ++n) {
        const int64_t token = n * kTile + row;
        x[b][n] = LoadFloat8(p.x + token * p.inner + k, k < p.inner && token < p.rows);
      }
      gain[b] = LoadFloat8(p.norm + k, kNorm && k < p.inner);
    };
#pragma unroll
    for (int b = 0; b < kBatch; ++b) read(warp + b * kWarps, b);

#pragma unroll 1
    for (int piece = warp; piece < p.pieces; piece += kBatch * kWarps) {
      WaitForCopies<kStages - 2>();
      // Tiles that the pass does not have are left-overs of the ring; Outputs ignores their sums.
      uint4 weights[kBatch][kTiles];
#pragma unroll
      for (int b = 0; b < kBatch; ++b)
#pragma unroll
        for (int m = 0; m < kTiles; ++m)
          weights[b][m] = ring[(((stage * kWarps + warp) * kBatch + b) * kTiles + m) * kWarp + lane];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        uint32_t left[kGroups][2][4];
#pragma unroll
        for (int n = 0; n < kGroups; ++n) LeftOperands<W, kNorm>(x[b][n], gain[b], &squares[n], left[n]);
        read(piece + (kBatch + b) * kWarps, b);
        if (b > 0 && piece + b * kWarps >= p.pieces) continue;
#pragma unroll
        for (int m = 0; m < kTiles; ++m) {
#pragma unroll
          for (int n = 0; n < kGroups; ++n) {
            MultiplyAdd(sums[m][n], left[n][0], weights[b][m].x, weights[b][m].y, W{});
            MultiplyAdd(sums[m][n], left[n][1], weights[b][m].z, weights[b][m].w, W{});
          }
        }
      }
      // The stage that the previous step multiplied is free again.
      fetch(stage == 0 ? kStages - 1 : stage - 1);
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }

    StorePartial<kTiles, kGroups>(sums, squares, warp, lane, &partial);
    __syncthreads();
    outputs.Write(p, share, pass, partial);
    __syncthreads();
  }
}

// The functions below turn a launch's run-time numbers into template arguments. LaunchTiles rounds the tiles of a pass up to a
// number that is compiled.
template <class W, class S>
Status Launch(CudaStream& stream, const char* op, int64_t blocks, const SkinnyGemmParams& params) {
  const auto kernel = params.norm ? SkinnyGemmKernel<W, S, true> : SkinnyGemmKernel<W, S, false>;
  return LaunchKernel(stream, op, Start::kEarly, kernel, dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
                      static_cast<size_t>(S::kStages * S::kStageBytes), params);
}

template <class W, int kGroups, bool kLong>
Status LaunchTiles(CudaStream& stream, const char* op, int tiles, int64_t blocks,
                   const SkinnyGemmParams& params) {
  if constexpr (kGroups == 1 && kLong) {
    if (tiles > 6) return Launch<W, Shape<8, kGroups, kLong>>(stream, op, blocks, params);
    if (tiles > 4) return Launch<W, Shape<6, kGroups, kLong>>(stream, op, blocks, params);
  }
  if constexpr (kGroups <= 2) {
    if (tiles > 2) return Launch<W, Shape<4, kGroups, kLong>>(stream, op, blocks, params);
  }
  if (tiles > 1) return Launch<W, Shape<2, kGroups, kLong>>(stream, op, blocks, params);
  return Launch<W, Shape<1, kGroups, kLong>>(stream, op, blocks, params);
}

template <class W, bool kLong>
Status LaunchGroups(CudaStream& stream, const char* op, int groups, int tiles, int64_t blocks,
                    const SkinnyGemmParams& params) {
  if (groups == 1) return LaunchTiles<W, 1, kLong>(stream, op, tiles, blocks, params);
  if (groups == 2) return LaunchTiles<W, 2, kLong>(stream, op, tiles, blocks, params);
  return LaunchTiles<W, 4, kLong>(stream, op, tiles, blocks, params);
}

template <class W>
Status LaunchRing(CudaStream& stream, const char* op, bool long_ring, int groups, int tiles, int64_t blocks,
                  const SkinnyGemmParams& params) {
  return long_ring ? LaunchGroups<W, true>(stream, op, groups, tiles, blocks, params)
                   : LaunchGroups<W, false>(stream, op, groups, tiles, blocks, params);
}

}  // namespace

Status SkinnyGemm(CudaStream& stream, const SkinnyGemmCall& call) {
  SPECATTN_CHECK(SuitsSkinnyGemm(call), "[%s] %lld rows of %lld by %lld weights are not for SkinnyGemm",
                 call.op, static_cast<long long>(call.rows), static_cast<long long>(call.inner),
                 static_cast<long long>(call.cols));
  if (call.rows == 0 || call.cols == 0) return Ok();
  const int groups = call.rows <= 8 ? 1 : call.rows <= 16 ? 2 : 4;
  const int unit_tiles = call.gated ? 2 : 1;
  SkinnyGemmParams params{};
  params.x = call.x;
  params.norm = call.norm;
  params.bias = call.bias;
  params.residual = call.residual;
  params.weight = call.weight;
  params.out = call.out;
  params.rows = static_cast<int>(call.rows);
  params.inner = static_cast<int>(call.inner);
  params.pieces = static_cast<int>(CeilDiv<int64_t>(call.inner, kPiece));
  params.units = call.cols / (kTile * unit_tiles);
  params.half_cols = call.cols / 2;
  params.out_cols = call.cols / unit_tiles;
  params.epsilon = call.epsilon;
  params.gated = call.gated;
  params.settled = stream.Settled(call.weight);

  // One block for each multiprocessor, and the fewest passes whose sums fit into registers.
  const bool long_ring = stream.architecture() >= kLongRingSince && stream.architecture() < kLongRingBefore;
  const int64_t blocks = params.units < stream.processors() ? params.units : stream.processors();
  const int64_t units = CeilDiv(params.units, blocks);
  const int most_tiles = (groups == 1 && !long_ring ? 4 : 8) / groups;
  params.passes = static_cast<int>(CeilDiv<int64_t>(units, most_tiles / unit_tiles));
  const int tiles = static_cast<int>(CeilDiv<int64_t>(units, params.passes)) * unit_tiles;
  return call.storage == DType::kBFloat16
             ? LaunchRing<BFloat16>(stream, call.op, long_ring, groups, tiles, blocks, params)
             : LaunchRing<Float16>(stream, call.op, long_ring, groups, tiles, blocks, params);
}

}  // namespace gpu
}  // namespace specattn

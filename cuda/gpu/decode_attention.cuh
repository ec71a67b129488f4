// Attention of few queries over many keys: what CausalAttention of a decoding step and SparseAttention share. Memory
// is the limit: a group's keys are read once for all its queries (up to 32 or 64 of them, else once for each as many).
//
// The keys of a group, or its list of them, are cut into chunks that start at fixed places, whatever the number of
// rows and keys, and each gives a partial result: the reference that exponentials are taken relative to, their sum, and
// the sum over values. Chunks grow with their place in the list, from 64 keys to 512, so that short contexts occupy
// the whole GPU and long ones leave few partial results. These are combined in their order. A query's result depends
// neither on the other queries nor on where in the block it is.
//
//   AttendHalf    keys of bfloat16 or float16, heads up to 128, on the tensor cores. Blocks take equal runs of tiles
//                 of 64 keys, whole chunks each, through a ring of tiles in shared memory. Queries and exponentials are split
//                 into a rounded part and its rest, rows 0-7 and 8-15 of a product, which restores float32's accuracy.
//   AttendPlain   every other type and size.
//   Finish        combines, and turns scores into weights. (A group's last block could combine instead: counting blocks and one
//                 block's turns took longer than a kernel that starts early.)
#pragma once
#include "../attention_shape.h"
#include "launch.cuh"
#include "mma.cuh"
#include "reduce.cuh"

namespace specattn {
namespace gpu {
namespace {

constexpr int kTile = 64;        // keys
constexpr int kKeyWarps = 4;     // that share a tile, 16 keys each
constexpr int kTileQueries = 8;  // rows of a product: these, rounded, and their rests
constexpr int kMostQueryWarps = 3;
constexpr int kPlainThreads = 128, kFinishThreads = 256;
constexpr int kLists = 16;  // tiles whose part of the list is in shared memory: more than stages + 1

// One call, on the device.
struct Decode {
  const float* q;     // [T,H,D]
  const void *k, *v;  // [G,C,D]
  float *out, *weights;
  const int32_t* position;              // of causal attention
  const int32_t *keys, *bits, *counts;  // of sparse attention: [1 or G, width], [1 or G]
  float2* stats;                        // [G,Q,chunks]: reference, sum of exponentials
  float* outs;                          // [G,Q,chunks,out_stride]
  float* scores;  // [G,Q,score_stride] in powers of 2; null where no weights are asked for
  float scale;    // of scores in powers of 2
  int rows, heads, groups, per_group, queries, head_size, capacity, width;
  int chunks, out_stride, score_stride;
  int small;   // chunks of a size, see Chunks
  int passes;  // parts of a group's queries, each with a run over its keys
  int stages;
  bool set_a_group, per_head, early;
};

// Which tiles make which chunk: 2 * small chunks of one tile, then small chunks each of two and of four, then chunks of eight.
struct Chunks {
  int small;

  __host__ __device__ int Start(int chunk) const {
    const int level = (chunk >= 2 * small) + (chunk >= 3 * small) + (chunk >= 4 * small);
    return (chunk - level * small) << level;
  }
  // Chunks that start before a tile; of so many tiles.
  __host__ __device__ int Before(int tiles) const {
    const int level = (tiles > 2 * small) + (tiles > 4 * small) + (tiles > 8 * small);
    return ((tiles + (1 << level) - 1) >> level) + level * small;
  }
};

// Where row 0 is; at or past the end every key is seen.
__device__ __forceinline__ int StartOf(const Decode& d) { return min(max(*d.position, 0), d.capacity); }

// How many keys a group has to look at, or to look up.
template <bool kListed>
__device__ __forceinline__ int KeysOf(const Decode& d, int group) {
  if (kListed) return min(max(d.counts[d.set_a_group ? group : 0], 0), d.width);
  return static_cast<int>(min(static_cast<int64_t>(StartOf(d)) + d.rows, static_cast<int64_t>(d.capacity)));
}

// At least one, so that a query which sees no key gets its zeros.
__device__ __forceinline__ int TilesOf(int keys) { return max(1, CeilDiv(keys, kTile)); }

// Key j of a group's list: its row of the cache, -1 for none, and which rows see it.
__device__ __forceinline__ int2 Listed(const Decode& d, int group, int j, int keys) {
  if (j >= keys) return make_int2(-1, 0);
  const int64_t at = (d.set_a_group ? static_cast<int64_t>(group) * d.width : 0) + j;
  const int key = d.keys[at], bits = d.bits[at];
  return key < 0 || key >= d.capacity ? make_int2(-1, 0) : make_int2(key, bits);
}

// 2^x; 0 of -inf, NaN of NaN.
__device__ __forceinline__ float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// 2^(x - reference), where a reference of -inf says that nothing was seen yet.
__device__ __forceinline__ float Relative(float x, float reference) {
  return Exp2(x - (reference == -INFINITY ? 0.0f : reference));
}

// What rounding left of a pair: nothing of an infinity, whose rest would be NaN.
__device__ __forceinline__ uint32_t RestOfPair(float a, float b, uint32_t pair, BFloat16) {
  const float x = __uint_as_float(pair << 16), y = __uint_as_float(pair & 0xffff0000u);
  return PackPair(isinf(x) ? 0.0f : a - x, isinf(y) ? 0.0f : b - y, BFloat16{});
}
__device__ __forceinline__ uint32_t RestOfPair(float a, float b, uint32_t pair, Float16) {
  const float2 x = __half22float2(*reinterpret_cast<const __half2*>(&pair));
  return PackPair(isinf(x.x) ? 0.0f : a - x.x, isinf(x.y) ? 0.0f : b - x.y, Float16{});
}

// Exponentials up to 2^14 instead of 1, where float16 would lose the small ones.
__device__ __forceinline__ float Headroom(BFloat16) { return 0.0f; }
__device__ __forceinline__ float Headroom(Float16) { return 14.0f; }

// A block's way through its run of tiles: chunks that start in [*, end) of all tiles of (group, pass), one after the other.
template <bool kListed>
struct Cursor {
  int group, pass, keys, tiles;  // where it is, and of that group
  int chunk, tile, chunk_end;
  int base, end;  // of the group's tile 0, of the run

  // All threads of each warp call.
  __device__ Cursor(const Decode& d) {
    const int lane = threadIdx.x % kWarp;
    group = pass = chunk = chunk_end = 0;
    int total;
    if (kListed && d.set_a_group) {
      int sum = 0;
      for (int g = lane; g < d.groups; g += kWarp) sum += TilesOf(KeysOf<kListed>(d, g));
      total = WarpReduce(sum, Plus{}) * d.passes;
    } else {
      keys = KeysOf<kListed>(d, 0);
      tiles = TilesOf(keys);
      total = tiles * d.groups * d.passes;
    }
    const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
    const int each = total / blocks, more = total % blocks;
    const int begin = block * each + min(block, more);
    end = begin + each + (block < more ? 1 : 0);
    base = 0;
    if (begin == end) {
      group = d.groups;
      return;
    }
    if (kListed && d.set_a_group) {
      for (;; group += kWarp) {
        const int g = group + lane;
        const int own = g < d.groups ? TilesOf(KeysOf<kListed>(d, g)) * d.passes : 0;
        int sum = own;
#pragma unroll
        for (int step = 1; step < kWarp; step *= 2) {
          const int other = __shfl_up_sync(kAllLanes, sum, step);
          if (lane >= step) sum += other;
        }
        const unsigned past = __ballot_sync(kAllLanes, base + sum > begin);
        if (past) {
          const int found = __ffs(past) - 1;
          group += found;
          base += __shfl_sync(kAllLanes, sum - own, found);
          break;
        }
        base += __shfl_sync(kAllLanes, sum, kWarp - 1);
      }
      keys = KeysOf<kListed>(d, group);
      tiles = TilesOf(keys);
      pass = (begin - base) / tiles;
      base += pass * tiles;
    } else {
      const int run = begin / tiles;
      group = d.passes > 1 ? run / d.passes : run;
      pass = run - group * d.passes;
      base = run * tiles;
    }
    chunk = Chunks{d.small}.Before(begin - base);
    Enter(d);
  }

  __device__ bool done(const Decode& d) const { return group >= d.groups; }
  __device__ bool last_of_chunk() const { return tile + 1 == chunk_end; }

  // Goes to the next tile; true where that leaves (group, pass).
  __device__ bool Next(const Decode& d) {
    if (++tile < chunk_end) return false;
    const int old = base;
    ++chunk;
    Enter(d);
    return done(d) || base != old;
  }

 private:
  // The first tile of `chunk`, which may be the next group's.
  __device__ void Enter(const Decode& d) {
    tile = Chunks{d.small}.Start(chunk);
    if (tile >= tiles) {
      base += tiles;
      chunk = tile = 0;
      if (++pass == d.passes) {
        pass = 0;
        ++group;
        if (kListed && d.set_a_group && group < d.groups) {
          keys = KeysOf<kListed>(d, group);
          tiles = TilesOf(keys);
        }
      }
    }
    if (base + tile >= end) group = d.groups;
    chunk_end = min(tiles, Chunks{d.small}.Start(chunk + 1));
  }
};

// A query's reference and one over its sum, from its chunks' stats; every lane gets them.
__device__ __forceinline__ float2 CombineStats(const float2* stats, int chunks) {
  const int lane = threadIdx.x % kWarp;
  float reference = -INFINITY;
#pragma unroll 1
  for (int c = lane; c < chunks; c += kWarp) reference = fmaxf(reference, __ldcg(stats + c).x);
  reference = WarpReduce(reference, Maximum{});
  float sum = 0;
#pragma unroll 1
  for (int c = lane; c < chunks; c += kWarp) {
    const float2 partial = __ldcg(stats + c);
    sum = fmaf(Relative(partial.x, reference), partial.y, sum);
  }
  sum = WarpReduce(sum, Plus{});
  // A NaN score reaches here as a NaN sum and must show; a query that sees nothing gives zeros.
  return make_float2(reference, sum == 0 ? 0.0f : 1.0f / sum);
}

constexpr int kPart = 64;  // numbers of a query's output that a warp combines at once

// out[query, part * 64 ...] of a group's query: lanes of a half hold four neighbours each, the halves take chunks in turns.
__device__ __forceinline__ void Combine(const Decode& d, int group, int query, int part, int chunks) {
  constexpr int kHalf = kWarp / 2, kBatch = kWarp / 2;
  const int lane = threadIdx.x % kWarp, half = lane / kHalf, at = part * kPart + lane % kHalf * 4;
  const int64_t row = static_cast<int64_t>(group) * d.queries + query;
  const float2* stats = d.stats + row * d.chunks;
  const float* outs = d.outs + row * d.chunks * d.out_stride + at;
  const bool inside = at < d.out_stride;
  float4 x[kBatch];
  const auto load = [&](int first) {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int c = first + 2 * i + half;
      x[i] = inside && c < chunks
                 ? __ldcg(reinterpret_cast<const float4*>(outs + static_cast<int64_t>(c) * d.out_stride))
                 : make_float4(0, 0, 0, 0);
    }
  };
  load(0);  // under way while the stats are looked at
  const float2 all = CombineStats(stats, chunks);
  float4 sum = make_float4(0, 0, 0, 0);
  for (int first = 0; first < chunks; first += kWarp) {
    if (first) load(first);
    const int own = first + lane;
    const float factor = own < chunks ? Relative(__ldcg(stats + own).x, all.x) : 0.0f;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const float f = __shfl_sync(kAllLanes, factor, 2 * i + half);
      if (f != 0) {  // 0 times what is not finite must be nothing
        sum.x = fmaf(f, x[i].x, sum.x);
        sum.y = fmaf(f, x[i].y, sum.y);
        sum.z = fmaf(f, x[i].z, sum.z);
        sum.w = fmaf(f, x[i].w, sum.w);
      }
    }
  }
  const float values[4] = {sum.x, sum.y, sum.z, sum.w};
  const int t = query / d.per_group, h = group * d.per_group + query % d.per_group;
  float* to = d.out + (static_cast<int64_t>(t) * d.heads + h) * d.head_size;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float value = (values[i] + __shfl_xor_sync(kAllLanes, values[i], kHalf)) * all.y;
    if (half == 0 && at + i < d.head_size) to[at + i] = value;
  }
}

// Blocks of a processor, where one warp of queries is enough: a tile's products wait for each other, so that more warps
// are needed than one block has. Theirs share the shared memory: fewer tiles in each ring. And where that many don't fit.
template <int kSize, int kMost>
constexpr int kBlocks = kMost > 1      ? 1
                        : kSize == 128 ? 2
                                       : 3;
template <int kSize, int kMost>
constexpr int kStages = kMost > 1      ? (kSize == 128 ? 4 : 7)
                        : kSize == 128 ? 2
                                       : 3;
constexpr int kFewStages = 2;

// Tiles of queries that a warp holds: its sums over values fill half its registers.
template <int kSize>
constexpr int kQueryTiles = 128 / kSize;

// Rows of kSize numbers in shared memory; pieces of 16 bytes are placed so that eight rows' are in different banks.
template <int kSize>
__device__ __forceinline__ int Place(int row, int piece) {
  return row * kSize + (piece ^ (row & 7)) * 8;
}

// Bytes of shared memory: stages of keys and values, queries, what key warps merge, and the list.
template <int kSize>
int64_t SharedBytes(bool listed, int query_warps, int stages) {
  const int64_t tiles = query_warps * kQueryTiles<kSize>;
  return int64_t{stages} * 2 * kTile * kSize * 2 + tiles * 2 * kTileQueries * kSize * 2 +
         tiles * kKeyWarps * kTileQueries * kSize * 4 + (listed ? kLists * kTile * 8 : 0);
}

// 4 key warps x 1 to 3 query warps a block.
// Two builds give the same bits, as sums are written with their rounding: kMost = 1 leaves a thread more registers.
template <class W, int kSize, bool kListed, int kMost>
__global__ void __launch_bounds__(kMost* kKeyWarps* kWarp, kBlocks<kSize, kMost>) AttendHalf(const Decode d) {
  constexpr int kTiles = kQueryTiles<kSize>, kPieces = kSize / 8, kTileSize = kTile * kSize;
  constexpr int kMostTiles = kMost * kTiles;
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ float2 merge_stats[kMostTiles][kKeyWarps][kTileQueries];
  __shared__ float enlarge[kMostTiles][kTileQueries];
  const int thread = threadIdx.x, threads = kMost == 1 ? kKeyWarps * kWarp : static_cast<int>(blockDim.x);
  const int lane = thread % kWarp;
  const int key_warp = thread / kWarp % kKeyWarps, query_warp = thread / kWarp / kKeyWarps;
  const int block_tiles = threads / kWarp / kKeyWarps * kTiles;
  W* const ring = reinterpret_cast<W*>(shared);
  W* const queries = ring + d.stages * 2 * kTileSize;
  float2* const merge = reinterpret_cast<float2*>(queries + block_tiles * 2 * kTileQueries * kSize);
  int2* const lists = reinterpret_cast<int2*>(merge + block_tiles * kKeyWarps * kPieces * kWarp);

  const W* const k = static_cast<const W*>(d.k);
  const W* const v = static_cast<const W*>(d.v);
  const int row_piece = thread % kPieces, row_first = thread / kPieces, row_step = threads / kPieces;
  if (d.head_size < kSize) {  // columns past a row's end, which no copy fills
#pragma unroll 1
    for (int i = thread; i < d.stages * 2 * kTile * kPieces; i += threads)
      if (i % kPieces * 8 >= d.head_size)
        *reinterpret_cast<uint4*>(ring + Place<kSize>(i / kPieces, i % kPieces)) = make_uint4(0, 0, 0, 0);
  }

  if (!d.early) WaitForPrevious();
  Cursor<kListed> use(d);
  Cursor<kListed> next = use;  // the tile that is copied next; sparse: whose list is read next
  const int start = kListed ? 0 : StartOf(d);
  int2 entry = make_int2(-1, 0);  // of the list, on its way to shared memory
  const auto read_entry = [&] {
    entry = make_int2(-1, 0);
    if (thread < kTile && !next.done(d)) {
      entry = Listed(d, next.group, next.tile * kTile + thread, next.keys);
      if (entry.x >= 0) entry.x += next.group * d.capacity;
    }
    if (!next.done(d)) next.Next(d);
  };
  if (kListed) {
#pragma unroll 1
    for (int i = 0; i < d.stages; ++i) {
      read_entry();
      if (thread < kTile) lists[i * kTile + thread] = entry;
    }
    read_entry();
  }
  if (d.early) WaitForPrevious();
  LetNextStart();
  __syncthreads();

  // Begins the copies of the run's tile i, or none past its end: every call makes one group.
  const auto copy_tile = [&](int i, int stage) {
    const bool any = kListed || !next.done(d);
    if (any && row_piece * 8 < d.head_size) {
      // The step between a thread's rows is a multiple of 8: their pieces are placed alike.
      W* to = ring + stage * 2 * kTileSize + Place<kSize>(row_first, row_piece);
      const int64_t first =
          kListed ? 0 : static_cast<int64_t>(next.group) * d.capacity + next.tile * kTile + row_first;
      const W* from_k = k + first * d.head_size + row_piece * 8;
      const W* from_v = v + first * d.head_size + row_piece * 8;
#pragma unroll 4
      for (int r = row_first; r < kTile; r += row_step) {
        // Rows that don't exist or hold nothing yet become zeros: 0 times what is there might be NaN.
        bool inside = kListed || next.tile * kTile + r < next.keys;
        int64_t at = 0;
        if (kListed) {
          const int row = lists[i % kLists * kTile + r].x;
          inside = row >= 0;
          at = inside ? static_cast<int64_t>(row) * d.head_size : 0;
        }
        CopyAsync(SharedAddress(to), from_k + at, inside);
        CopyAsync(SharedAddress(to + kTileSize), from_v + at, inside);
        to += row_step * kSize;
        if (!kListed) {
          from_k += row_step * d.head_size;
          from_v += row_step * d.head_size;
        }
      }
    }
    if (!kListed && any) next.Next(d);
    CommitCopies();
  };
#pragma unroll 1
  for (int i = 0; i < d.stages - 1; ++i) copy_tile(i, i);

  float reference[kTiles], sum[kTiles], out[kTiles][kPieces][4];
  const auto clear = [&] {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      reference[tile] = -INFINITY;
      sum[tile] = 0;
#pragma unroll
      for (int n = 0; n < kPieces; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) out[tile][n][i] = 0;
    }
  };
  // Of the lane's query of each tile: of causal attention how many keys it sees, of sparse attention its row. A tile's last
  // queries may not exist: nothing of theirs is kept.
  int sight[kTiles];
  int active = 0;  // tiles that have queries
  int i = 0, stage = 0;
  while (!use.done(d)) {
    // Queries in powers of 2 and scaled to [1, 2), so that no half format overflows. The key warps share them; a lane
    // brings a piece.
    const int first_query = (use.pass * block_tiles + query_warp * kTiles) * kTileQueries;
    {
      const int r = key_warp * 2 * kTiles + lane / kPieces, piece = lane % kPieces, m = first_query + r;
      float x[8] = {};
      if (m < d.queries && piece * 8 < d.head_size) {
        const int t = m / d.per_group, h = use.group * d.per_group + m - t * d.per_group;
        const float4* from = reinterpret_cast<const float4*>(
            d.q + (static_cast<int64_t>(t) * d.heads + h) * d.head_size + piece * 8);
        const float4 low = from[0], high = from[1];
        x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w;
        x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
      }
      float largest = 0;
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        x[e] *= d.scale;
        largest = fmaxf(largest, fabsf(x[e]));
      }
#pragma unroll
      for (int step = kPieces / 2; step > 0; step /= 2)
        largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, step));
      const unsigned exponent = min(max(__float_as_uint(largest) >> 23, 1u), 253u);
      const float reduce = __uint_as_float((254u - exponent) << 23);
      uint32_t rounded[4], rest[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float a = x[2 * e] * reduce, b = x[2 * e + 1] * reduce;
        rounded[e] = PackPair(a, b, W{});
        rest[e] = RestOfPair(a, b, rounded[e], W{});
      }
      const int tile = query_warp * kTiles + r / kTileQueries;
      if (piece == 0) enlarge[tile][r % kTileQueries] = __uint_as_float(exponent << 23);
      // Rows r and r + 8 are placed alike.
      W* const to = queries + tile * 2 * kTileQueries * kSize + Place<kSize>(r % kTileQueries, piece);
      *reinterpret_cast<uint4*>(to) = make_uint4(rounded[0], rounded[1], rounded[2], rounded[3]);
      *reinterpret_cast<uint4*>(to + kTileQueries * kSize) = make_uint4(rest[0], rest[1], rest[2], rest[3]);
    }
    active = min(kTiles, CeilDiv(max(d.queries - first_query, 0), kTileQueries));
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const int row = (first_query + tile * kTileQueries + lane / 4) / d.per_group;
      sight[tile] = kListed ? row & 31 : min(start + row + 1, use.keys);
    }
    const int group = use.group;
    for (bool more = true; more;) {
      clear();
      const int chunk = use.chunk;
      for (bool inside = true; inside; ++i) {
        if (d.stages == kFewStages)
          WaitForCopies<0>();
        else
          WaitForCopies<kStages<kSize, kMost> - 2>();
        __syncthreads();  // tile i has come, tile i - 1 is done with
        copy_tile(i + d.stages - 1, stage == 0 ? d.stages - 1 : stage - 1);
        if (kListed) {
          if (thread < kTile) lists[(i + d.stages) % kLists * kTile + thread] = entry;
          read_entry();
        }

        if (active > 0) {
          const W* const keys = ring + stage * 2 * kTileSize;
          const W* const values = keys + kTileSize;
          // Four steps' keys at once; with one tile, even and odd steps have sums of their own, so that two
          // products of each key overlap.
          constexpr int kSums = kTiles == 1 ? 2 : 1;
          float score[kTiles][kSums][2][4] = {};
          const int key_row = key_warp * 16 + (lane & 7) + (lane >> 4) * 8, key_piece = lane >> 3 & 1;
#pragma unroll
          for (int first = 0; first < kSize / 16; first += 4) {
            uint32_t b[4][4];
#pragma unroll
            for (int step = 0; step < 4; ++step)
              LoadMatrices(SharedAddress(keys + Place<kSize>(key_row, 2 * (first + step) + key_piece)),
                           b[step]);
#pragma unroll
            for (int tile = 0; tile < kTiles; ++tile) {
              if (tile > 0 && tile >= active) break;
              const W* const from = queries + (query_warp * kTiles + tile) * 2 * kTileQueries * kSize;
#pragma unroll
              for (int step = 0; step < 4; ++step) {
                uint32_t a[4];
                LoadMatrices(SharedAddress(from + Place<kSize>(lane & 15, 2 * (first + step) + (lane >> 4))),
                             a);
                MultiplyAdd(score[tile][step % kSums][0], a, b[step][0], b[step][1], W{});
                MultiplyAdd(score[tile][step % kSums][1], a, b[step][2], b[step][3], W{});
              }
            }
          }
          const int value_row = key_warp * 16 + (lane & 15), value_piece = lane >> 4;
          uint32_t value[4][4];  // 64 columns of the values
          const auto load_values = [&](int first) {
#pragma unroll
            for (int n = 0; n < 4; ++n)
              LoadTransposed(SharedAddress(values + Place<kSize>(value_row, first + 2 * n + value_piece)),
                             value[n]);
          };
          constexpr bool kAhead = kTiles == 1;  // where registers are left
          if (kAhead) load_values(0);

          const int column = key_warp * 16 + lane % 4 * 2;  // the lane's keys are column + {0, 1, 8, 9}
          int bits[4];
          if (kListed) {
            const int2* const list = lists + i % kLists * kTile + column;
#pragma unroll
            for (int j = 0; j < 4; ++j) bits[j] = list[j / 2 * 8 + j % 2].y;
          }
          uint32_t e[kTiles][4];
#pragma unroll
          for (int tile = 0; tile < kTiles; ++tile) {
            if (tile > 0 && tile >= active) break;
            const float up = enlarge[query_warp * kTiles + tile][lane / 4];
            const int key = use.tile * kTile + column;
            float x[4];
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              x[j] = score[tile][0][j / 2][j % 2] + score[tile][0][j / 2][j % 2 + 2];
              if (kSums > 1)
                x[j] += score[tile][kSums - 1][j / 2][j % 2] + score[tile][kSums - 1][j / 2][j % 2 + 2];
              x[j] *= up;
            }
            const int query = first_query + tile * kTileQueries + lane / 4;
            if (d.scores && query < d.queries) {
              float* const to =
                  d.scores + (static_cast<int64_t>(group) * d.queries + query) * d.score_stride + key;
              *reinterpret_cast<float2*>(to) = make_float2(x[0], x[1]);
              *reinterpret_cast<float2*>(to + 8) = make_float2(x[2], x[3]);
            }
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              const bool seen = kListed ? bits[j] >> sight[tile] & 1 : key + j / 2 * 8 + j % 2 < sight[tile];
              x[j] = seen ? x[j] : -INFINITY;
            }
            float most = fmaxf(fmaxf(x[0], x[1]), fmaxf(x[2], x[3]));
            most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, 1));
            most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, 2));
            const float old = reference[tile];
            reference[tile] = fmaxf(old, most - Headroom(W{}));
            if (__any_sync(kAllLanes, reference[tile] != old)) {
              const float factor = Relative(old, reference[tile]);
              sum[tile] = __fmul_rn(sum[tile], factor);
#pragma unroll
              for (int n = 0; n < kPieces; ++n)
#pragma unroll
                for (int j = 0; j < 4; ++j) out[tile][n][j] = __fmul_rn(out[tile][n][j], factor);
            }
#pragma unroll
            for (int j = 0; j < 4; ++j) x[j] = Relative(x[j], reference[tile]);
            sum[tile] = __fadd_rn(sum[tile], (x[0] + x[1]) + (x[2] + x[3]));
            e[tile][0] = PackPair(x[0], x[1], W{});
            e[tile][1] = RestOfPair(x[0], x[1], e[tile][0], W{});
            e[tile][2] = PackPair(x[2], x[3], W{});
            e[tile][3] = RestOfPair(x[2], x[3], e[tile][2], W{});
          }

#pragma unroll
          for (int first = 0; first < kPieces; first += 8) {
            if (first > 0 || !kAhead) load_values(first);
#pragma unroll
            for (int tile = 0; tile < kTiles; ++tile) {
              if (tile > 0 && tile >= active) break;
#pragma unroll
              for (int n = 0; n < 4; ++n) {
                MultiplyAdd(out[tile][first + 2 * n], e[tile], value[n][0], value[n][1], W{});
                MultiplyAdd(out[tile][first + 2 * n + 1], e[tile], value[n][2], value[n][3], W{});
              }
            }
          }
        }

        inside = !use.last_of_chunk();
        more = !use.Next(d);
        if (++stage == d.stages) stage = 0;
      }

      // The key warps' sums make the chunk's.
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        if (tile >= active) break;
        const int at = (query_warp * kTiles + tile) * kKeyWarps + key_warp;
#pragma unroll
        for (int n = 0; n < kPieces; ++n)
          merge[(at * kPieces + n) * kWarp + lane] =
              make_float2(out[tile][n][0] + out[tile][n][2], out[tile][n][1] + out[tile][n][3]);
        sum[tile] += __shfl_xor_sync(kAllLanes, sum[tile], 1);
        sum[tile] += __shfl_xor_sync(kAllLanes, sum[tile], 2);
        if (lane % 4 == 0)
          merge_stats[query_warp * kTiles + tile][key_warp][lane / 4] =
              make_float2(reference[tile], sum[tile]);
      }
      __syncthreads();
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        const int query = first_query + tile * kTileQueries + lane / 4;
        if (query >= d.queries) break;
        const int at = query_warp * kTiles + tile;
        float most = -INFINITY, factor[kKeyWarps], total = 0;
#pragma unroll
        for (int w = 0; w < kKeyWarps; ++w) most = fmaxf(most, merge_stats[at][w][lane / 4].x);
#pragma unroll
        for (int w = 0; w < kKeyWarps; ++w) {
          const float2 partial = merge_stats[at][w][lane / 4];
          factor[w] = Relative(partial.x, most);
          total = fmaf(factor[w], partial.y, total);
        }
        const int64_t to = (static_cast<int64_t>(group) * d.queries + query) * d.chunks + chunk;
        if (key_warp == 0 && lane % 4 == 0) d.stats[to] = make_float2(most, total);
        constexpr int kShare = kPieces / kKeyWarps;
#pragma unroll
        for (int n = 0; n < kShare; ++n) {
          const int piece = key_warp * kShare + n;
          float2 x = make_float2(0, 0);
#pragma unroll
          for (int w = 0; w < kKeyWarps; ++w) {
            const float2 partial = merge[((at * kKeyWarps + w) * kPieces + piece) * kWarp + lane];
            x.x = fmaf(factor[w], partial.x, x.x);
            x.y = fmaf(factor[w], partial.y, x.y);
          }
          if (piece * 8 < d.head_size)
            *reinterpret_cast<float2*>(d.outs + to * d.out_stride + piece * 8 + lane % 4 * 2) = x;
        }
      }
    }
  }
  WaitForCopies<0>();
}

// A block an item, a chunk of a group, for eight queries at a time; in float32. Warps take keys in turns.
template <class W, bool kListed>
__global__ void __launch_bounds__(kPlainThreads) AttendPlain(const Decode d) {
  constexpr int kMostKeys = kTile * 8, kWarps = kPlainThreads / kWarp, kQueries = kTileQueries;
  __shared__ float e[kQueries][kMostKeys];
  __shared__ float sums[kWarps][kQueries][kWarp];
  __shared__ int2 list[kListed ? kMostKeys : 1];
  const int thread = threadIdx.x, lane = thread % kWarp, warp = thread / kWarp;
  WaitForPrevious();
  LetNextStart();
  const int start = kListed ? 0 : StartOf(d);
  const int64_t items = static_cast<int64_t>(d.groups) * d.chunks;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    const int chunk = static_cast<int>(item / d.groups), group = static_cast<int>(item % d.groups);
    const int keys = KeysOf<kListed>(d, group), first = Chunks{d.small}.Start(chunk) * kTile;
    if (first >= TilesOf(keys) * kTile) continue;
    const int count = min(keys, Chunks{d.small}.Start(chunk + 1) * kTile) - first;
    const W* const k = static_cast<const W*>(d.k) + static_cast<int64_t>(group) * d.capacity * d.head_size;
    const W* const v = static_cast<const W*>(d.v) + static_cast<int64_t>(group) * d.capacity * d.head_size;
    if (kListed)
      for (int j = thread; j < count; j += kPlainThreads) list[j] = Listed(d, group, first + j, keys);
    const auto row_of = [&](int j) -> int64_t {
      return static_cast<int64_t>(kListed ? list[j].x : first + j) * d.head_size;
    };
    for (int m0 = 0; m0 < d.queries; m0 += kQueries) {
      const float* q[kQueries];
      int rows[kQueries];
#pragma unroll
      for (int i = 0; i < kQueries; ++i) {
        const int m = min(m0 + i, d.queries - 1);
        rows[i] = m / d.per_group;
        q[i] = d.q + (static_cast<int64_t>(rows[i]) * d.heads + group * d.per_group + m % d.per_group) *
                         d.head_size;
      }
      __syncthreads();  // the list is there, the last queries are done with
      for (int j = warp; j < count; j += kWarps) {
        const int64_t row = row_of(j);
        float dot[kQueries] = {};
        if (row >= 0)
          for (int n = lane; n < d.head_size; n += kWarp) {
            const float x = ToFloat(k[row + n]);
#pragma unroll
            for (int i = 0; i < kQueries; ++i) dot[i] = fmaf(q[i][n] * d.scale, x, dot[i]);
          }
#pragma unroll
        for (int i = 0; i < kQueries; ++i) {
          const float score = WarpReduce(dot[i], Plus{});
          const bool seen = kListed ? list[j].y >> rows[i] & 1 : first + j <= start + rows[i];
          if (lane == i) e[i][j] = seen ? score : -INFINITY;
        }
      }
      __syncthreads();
      for (int i = warp; i < kQueries && m0 + i < d.queries; i += kWarps) {
        const int64_t at = static_cast<int64_t>(group) * d.queries + m0 + i;
        float most = -INFINITY, sum = 0;
        for (int j = lane; j < count; j += kWarp) {
          most = fmaxf(most, e[i][j]);
          if (d.scores) d.scores[at * d.score_stride + first + j] = e[i][j];
        }
        most = WarpReduce(most, Maximum{});
        for (int j = lane; j < count; j += kWarp) {
          e[i][j] = Relative(e[i][j], most);
          sum += e[i][j];
        }
        sum = WarpReduce(sum, Plus{});
        if (lane == 0) d.stats[at * d.chunks + chunk] = make_float2(most, sum);
      }
      __syncthreads();
      for (int n0 = 0; n0 < d.head_size; n0 += kWarp) {
        const int n = n0 + lane;
        float sum[kQueries] = {};
        if (n < d.head_size)
#pragma unroll 4
          for (int j = warp; j < count; j += kWarps) {
            const int64_t row = row_of(j);
            const float x = row >= 0 ? ToFloat(v[row + n]) : 0.0f;
#pragma unroll
            for (int i = 0; i < kQueries; ++i) sum[i] = fmaf(e[i][j], x, sum[i]);
          }
#pragma unroll
        for (int i = 0; i < kQueries; ++i) sums[warp][i][lane] = sum[i];
        __syncthreads();
        if (n < d.head_size)
          for (int i = warp; i < kQueries && m0 + i < d.queries; i += kWarps) {
            float total = 0;
#pragma unroll
            for (int w = 0; w < kWarps; ++w) total += sums[w][i][lane];
            const int64_t at = (static_cast<int64_t>(group) * d.queries + m0 + i) * d.chunks + chunk;
            d.outs[at * d.out_stride + n] = total;
          }
        __syncthreads();
      }
    }
    __syncthreads();  // the list is done with
  }
}

// Blocks 0 to `combining` - 1 combine, a warp a part of a query's output; each of the others turns the scores of
// kFinishThreads keys of a row of the weights' [T] or [H,T] into weights.
template <bool kListed>
__global__ void __launch_bounds__(kFinishThreads) Finish(const Decode d, int combining) {
  extern __shared__ float2 stats[];  // [heads]: reference, one over the sum
  constexpr int kWarps = kFinishThreads / kWarp;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  WaitForPrevious();
  LetNextStart();
  const auto chunks_of = [&](int group) {
    return Chunks{d.small}.Before(TilesOf(KeysOf<kListed>(d, group)));
  };
  if (blockIdx.x < static_cast<unsigned>(combining)) {
    const int parts = CeilDiv(d.head_size, kPart);
    const int64_t unit = static_cast<int64_t>(blockIdx.x) * kWarps + warp;
    if (unit >= static_cast<int64_t>(d.groups) * d.queries * parts) return;
    const int part = static_cast<int>(unit % parts), query = static_cast<int>(unit / parts % d.queries);
    const int group = static_cast<int>(unit / parts / d.queries);
    Combine(d, group, query, part, chunks_of(group));
    return;
  }
  const int slices = CeilDiv(d.capacity, kFinishThreads), block = blockIdx.x - combining;
  const int row = block / slices, slice = block % slices, t = row % d.rows;
  const int first = d.per_head ? row / d.rows : 0, count = d.per_head ? 1 : d.heads;
  const int sees = min(StartOf(d) + t + 1, d.capacity);
  const int key = slice * kFinishThreads + static_cast<int>(threadIdx.x);
  const auto query_of = [&](int h) -> int64_t {  // of all groups'
    return static_cast<int64_t>(h / d.per_group) * d.queries + t * d.per_group + h % d.per_group;
  };
  float weight = 0;
  if (slice * kFinishThreads < sees) {
    const int chunks = chunks_of(0);
    for (int i = warp; i < count; i += kWarps) {
      const float2 all = CombineStats(d.stats + query_of(first + i) * d.chunks, chunks);
      if (lane == 0) stats[i] = all;
    }
    __syncthreads();
    if (key < sees) {
#pragma unroll 8
      for (int i = 0; i < count; ++i) {
        const float score = __ldcg(d.scores + query_of(first + i) * d.score_stride + key);
        weight += Relative(score, stats[i].x) * stats[i].y;
      }
      if (!d.per_head) weight *= 1.0f / static_cast<float>(d.heads);
    }
  }
  if (key < d.capacity) d.weights[static_cast<int64_t>(row) * d.capacity + key] = weight;
}

// What a launcher says: its tensors and attributes, checked and not empty. Of the sparse, first sets.
struct DecodeCall {
  const char* op;
  AttentionShape shape;
  float scale;
  const Tensor *q, *k, *v, *out;
  const Tensor* position = nullptr;                                   // causal
  const Tensor* weights = nullptr;                                    // causal, or null
  bool per_head = false;                                              // of weights
  const int32_t *keys = nullptr, *bits = nullptr, *counts = nullptr;  // sparse
  int64_t width = 0;
  bool set_a_group = false;
};

template <class W, int kSize, bool kListed, int kMost>
Status LaunchHalf(CudaStream& stream, const char* op, Decode* d, int query_warps, int64_t static_bytes) {
  constexpr int kRing = kStages<kSize, kMost>;
  const int64_t wanted = static_bytes + SharedBytes<kSize>(kListed, query_warps, kRing);
  d->stages = wanted <= stream.shared_bytes_per_block() ? kRing : kFewStages;
  const int64_t tiles =
      static_cast<int64_t>(d->groups) * d->passes * CeilDiv(kListed ? d->width : d->capacity, kTile);
  const int64_t places = int64_t{stream.processors()} * kBlocks<kSize, kMost>;
  const int blocks = static_cast<int>(tiles < places ? tiles : places);
  return LaunchKernel(stream, op, Start::kEarly, AttendHalf<W, kSize, kListed, kMost>, dim3(blocks),
                      dim3(query_warps * kKeyWarps * kWarp),
                      static_cast<size_t>(SharedBytes<kSize>(kListed, query_warps, d->stages)), *d);
}

template <class W, int kSize, bool kListed>
Status LaunchHalf(CudaStream& stream, const char* op, Decode* d, int query_warps, int64_t static_bytes) {
  return query_warps == 1
             ? LaunchHalf<W, kSize, kListed, 1>(stream, op, d, query_warps, static_bytes)
             : LaunchHalf<W, kSize, kListed, kMostQueryWarps>(stream, op, d, query_warps, static_bytes);
}

template <bool kListed>
Status DecodeAttention(CudaStream& stream, const DecodeCall& call) {
  const AttentionShape& s = call.shape;
  const int64_t most = (int64_t{1} << 31) - 1 - 4 * kTile, list = kListed ? call.width : s.capacity;
  SPECATTN_CHECK(
      s.capacity <= most && list <= most && s.heads * s.rows * CeilDiv(s.capacity, int64_t{256}) <= most,
      "[%s] %lld keys are too many", call.op, static_cast<long long>(s.capacity));
  Decode d{};
  d.q = call.q->as<float>();
  d.k = call.k->data;
  d.v = call.v->data;
  d.out = call.out->as<float>();
  d.scale = call.scale * 1.44269504f;
  d.rows = static_cast<int>(s.rows);
  d.heads = static_cast<int>(s.heads);
  d.groups = static_cast<int>(s.groups);
  d.per_group = static_cast<int>(s.per_group());
  d.queries = static_cast<int>(s.queries());
  d.head_size = static_cast<int>(s.head_size);
  d.capacity = static_cast<int>(s.capacity);
  if (kListed) {
    d.keys = call.keys;
    d.bits = call.bits;
    d.counts = call.counts;
    d.width = static_cast<int>(call.width);
    d.set_a_group = call.set_a_group;
    d.early = stream.Settled(d.keys) && stream.Settled(d.bits) && stream.Settled(d.counts);
  } else {
    d.position = call.position->as<int32_t>();
    d.early = stream.Settled(d.position);
  }
  constexpr int kItems = 128;  // that keep a GPU busy
  d.small = kItems / d.groups > 1 ? kItems / d.groups : 1;
  d.chunks = Chunks{d.small}.Before(static_cast<int>(CeilDiv(list, int64_t{kTile})));
  d.out_stride = CeilDiv(d.head_size, 4) * 4;
  d.score_stride = CeilDiv(d.capacity, kTile) * kTile;
  d.per_head = call.per_head;

  // On the tensor cores: rows of whole 16-byte pieces, numbers of rows and tiles that fit an int.
  const auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  bool half = call.k->dtype != DType::kFloat32 && d.head_size % 8 == 0 && d.head_size > 0 &&
              d.head_size <= 128 && s.groups * s.capacity <= most && aligned(d.q) && aligned(d.k) &&
              aligned(d.v);
  const bool small = d.head_size <= 64;
  int query_warps = 0;
  constexpr int64_t kStaticBytes = 4 << 10;  // no less than what AttendHalf declares, and the system's 1 KB
  if (half) {
    const int warps = CeilDiv(CeilDiv(d.queries, kTileQueries), small ? kQueryTiles<64> : kQueryTiles<128>);
    const auto fits = [&](int n) {
      return kStaticBytes + (small ? SharedBytes<64>(kListed, n, kFewStages)
                                   : SharedBytes<128>(kListed, n, kFewStages)) <=
             stream.shared_bytes_per_block();
    };
    int limit = kMostQueryWarps;
    while (limit > 0 && !fits(limit)) --limit;
    half = limit > 0;
    if (half) {
      d.passes = CeilDiv(warps, limit);
      query_warps = CeilDiv(warps, d.passes);
      half = s.groups * d.passes * CeilDiv(list, int64_t{kTile}) <= most;
    }
  }

  const int parts = CeilDiv(d.head_size, kPart);
  const auto align = [](int64_t bytes) { return CeilDiv(bytes, int64_t{256}) * 256; };
  const int64_t all = s.heads * s.rows;
  const int64_t stats_bytes = align(all * d.chunks * 8);
  const int64_t outs_bytes = align(all * d.chunks * d.out_stride * 4);
  const int64_t bytes = stats_bytes + outs_bytes + (call.weights ? all * d.score_stride * 4 : 0);
  char* const scratch = static_cast<char*>(stream.Scratch(static_cast<size_t>(bytes)));
  SPECATTN_CHECK(scratch, "[%s] no scratch memory for %lld bytes", call.op, static_cast<long long>(bytes));
  d.stats = reinterpret_cast<float2*>(scratch);
  d.outs = reinterpret_cast<float*>(scratch + stats_bytes);
  if (call.weights) {
    d.scores = reinterpret_cast<float*>(scratch + stats_bytes + outs_bytes);
    d.weights = call.weights->as<float>();
  }

  if (half) {
    const auto launch = [&](auto element) {
      using W = decltype(element);
      return small ? LaunchHalf<W, 64, kListed>(stream, call.op, &d, query_warps, kStaticBytes)
                   : LaunchHalf<W, 128, kListed>(stream, call.op, &d, query_warps, kStaticBytes);
    };
    SPECATTN_RETURN_IF_ERROR(call.k->dtype == DType::kBFloat16 ? launch(BFloat16{}) : launch(Float16{}));
  } else {
    const int64_t items = int64_t{d.groups} * d.chunks, blocks = int64_t{stream.processors()} * 8;
    SPECATTN_RETURN_IF_ERROR(WithFloat(call.k->dtype, [&](auto element) {
      return LaunchKernel(stream, call.op, Start::kEarly, AttendPlain<decltype(element), kListed>,
                          dim3(static_cast<unsigned>(items < blocks ? items : blocks)), dim3(kPlainThreads),
                          0, d);
    }));
  }
  const int64_t combining = CeilDiv(all * parts, int64_t{kFinishThreads / kWarp});
  const int64_t weighing =
      call.weights ? (call.per_head ? all : s.rows) * CeilDiv(s.capacity, int64_t{kFinishThreads}) : 0;
  if (combining + weighing == 0) return Ok();
  return LaunchKernel(stream, call.op, Start::kEarly, Finish<kListed>,
                      dim3(static_cast<unsigned>(combining + weighing)), dim3(kFinishThreads),
                      call.weights ? static_cast<size_t>(call.per_head ? 1 : s.heads) * sizeof(float2) : 0, d,
                      static_cast<int>(combining));
}

}  // namespace
}  // namespace gpu
}  // namespace specattn

// A decoding call on the device: which chunks its keys make, and which of them a block works on.
#pragma once
#include "gpu/primitives/mma.cuh"
#include "gpu/primitives/reduce.cuh"
#include "gpu/primitives/scan.cuh"
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {
namespace {

constexpr int kTile = 64;        // keys
constexpr int kKeyWarps = 4;     // that share a tile, 16 keys each
constexpr int kTileQueries = 8;  // rows of a product: these, rounded, and their rests
constexpr int kMostQueryWarps = 3;
constexpr int kLists = 16;  // tiles whose part of the list is in shared memory: more than stages + 1

// One call, on the device.
struct Decode {
  const float* q;     // [T,H,D]
  const void *k, *v;  // [G,C,D]
  float* out;
  const int32_t* position;              // of causal attention
  const int32_t *keys, *bits, *counts;  // of sparse attention: [1 or G, width], [1 or G]
  float2* stats;                        // [G,Q,chunks]: reference, sum of exponentials
  float* outs;                          // [G,Q,chunks,out_stride]
  float* scores;   // [G,Q,score_stride] in powers of 2; null where no weights are asked for, as is
  float2* totals;  // [G,Q]: reference, one over the sum, of all chunks
  float scale;     // of scores in powers of 2
  int rows, heads, groups, per_group, queries, head_size, capacity, width;
  int chunks, out_stride, score_stride;
  int small;   // chunks of a size, see Chunks
  int passes;  // parts of a group's queries, each with a run over its keys
  int stages;
  bool set_a_group, early;
  // Rows of the caches below *settled_below, or where it is null below `settled`, are complete before the previous kernel ends.
  const int32_t* settled_below;
  int settled;
};

constexpr int kLevels = 4;  // sizes of chunks

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
  // Past the chunks of 2^level tiles; of so many tiles.
  __host__ __device__ int EndOf(int level, int tiles) const {
    const int end = level < 0             ? 0
                    : level + 1 < kLevels ? (level + 2) * small
                                          : INT32_MAX,
              all = Before(tiles);
    return end < all ? end : all;
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

// A block's way through its run of tiles: the chunks that start in [*, end) of all chunks' tiles. Chunks come by size,
// largest first, then by (group, pass), so that a run does not end with a chunk larger than most of it: blocks
// finish at about the same time. Where groups have sets of their own they come by group first.
template <bool kListed>
struct Cursor {
  int group, pass, keys, tiles;  // where it is, and of that group
  int chunk, tile, chunk_end;
  int level, first, last;  // of the chunks' size, and which of the group's are of that size
  int base, end;  // tiles before chunk `first`, before the run's end; each group's last chunk counts as whole

  // All threads of each warp call.
  __device__ Cursor(const Decode& d) {
    const int lane = threadIdx.x % kWarp, runs = d.groups * d.passes;
    group = pass = chunk = tile = chunk_end = base = level = 0;
    const bool own_sets = kListed && d.set_a_group;
    int total = 0;
    if (own_sets) {
      int sum = 0;
      for (int g = lane; g < d.groups; g += kWarp) sum += SizeOf(d, TilesOf(KeysOf<kListed>(d, g)));
      total = WarpReduce(sum, Plus{}) * d.passes;
    } else {
      keys = KeysOf<kListed>(d, 0);
      tiles = TilesOf(keys);
      total = SizeOf(d, tiles) * runs;
    }
    const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
    const int each = total / blocks, more = total % blocks;
    const int begin = block * each + min(block, more);
    end = begin + each + (block < more ? 1 : 0);
    if (begin == end) {
      group = d.groups;
      return;
    }
    if (own_sets) {
      for (;; group += kWarp) {
        const int g = group + lane;
        const int own = g < d.groups ? SizeOf(d, TilesOf(KeysOf<kListed>(d, g))) * d.passes : 0;
        const int sum = WarpScan(own, Plus{});
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
      pass = (begin - base) / SizeOf(d, tiles);
      base += pass * SizeOf(d, tiles);
      SetLevel(d, kLevels - 1);
      for (; begin - base >= Size(); SetLevel(d, level - 1)) base += Size();
    } else {
      SetLevel(d, kLevels - 1);
      for (; begin - base >= Size() * runs; SetLevel(d, level - 1)) base += Size() * runs;
      const int run = (begin - base) / Size();
      group = d.passes > 1 ? run / d.passes : run;
      pass = run - group * d.passes;
      base += run * Size();
    }
    chunk = first + CeilDiv(begin - base, 1 << level);
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
  // Of the chunks of this size; of all the chunks that so many tiles make.
  __device__ int Size() const { return (last - first) << level; }
  __device__ static int SizeOf(const Decode& d, int tiles) {
    const Chunks chunks{d.small};
    int size = 0;
    for (int l = 0; l < kLevels; ++l) size += (chunks.EndOf(l, tiles) - chunks.EndOf(l - 1, tiles)) << l;
    return size;
  }

  __device__ void SetLevel(const Decode& d, int to) {
    const Chunks chunks{d.small};
    level = to;
    first = chunks.EndOf(level - 1, tiles);
    last = chunks.EndOf(level, tiles);
  }
  // Begins `chunk`, or where it is past `last` the next of the order.
  __device__ void Enter(const Decode& d) {
    if (chunk >= last) {
      base += Size();
      if (kListed && d.set_a_group) {
        if (level > 0) {
          SetLevel(d, level - 1);
        } else {
          NextRun(d);
          if (group < d.groups) {
            keys = KeysOf<kListed>(d, group);
            tiles = TilesOf(keys);
            SetLevel(d, kLevels - 1);
          }
        }
      } else {
        NextRun(d);
        if (group == d.groups && level > 0) {
          group = 0;
          SetLevel(d, level - 1);
        }
      }
      while (first == last && level > 0) SetLevel(d, level - 1);
      chunk = first;
    }
    if (base + ((chunk - first) << level) >= end) group = d.groups;
    tile = Chunks{d.small}.Start(chunk);
    chunk_end = min(tiles, Chunks{d.small}.Start(chunk + 1));
  }
  __device__ void NextRun(const Decode& d) {
    if (++pass < d.passes) return;
    pass = 0;
    ++group;
  }
};

}  // namespace
}  // namespace gpu
}  // namespace specattn

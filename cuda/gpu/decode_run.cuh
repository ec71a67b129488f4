// A decoding call on the device: which chunks its keys make, and which of them a block works on.
#pragma once
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

}  // namespace
}  // namespace gpu
}  // namespace specattn

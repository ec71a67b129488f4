// What the kernels of decode_attention.cuh share: the parameters of a call, the division of its keys into chunks, and the
// order in which a block visits tiles of them.
#pragma once
#include "gpu/primitives/mma.cuh"
#include "gpu/primitives/reduce.cuh"
#include "gpu/primitives/scan.cuh"
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {
namespace {

constexpr int kTile = 64;          // keys of a tile
constexpr int kKeyWarps = 4;       // warps that share a tile of keys, 16 keys each
constexpr int kTileQueries = 8;    // queries of a product's 16 rows: 8 rounded parts, then their 8 remainders
constexpr int kMaxQueryWarps = 3;  // warps of a block with different queries, at most
constexpr int kListTiles = 16;     // tiles whose listed keys fit into shared memory; at least stages + 1

// The parameters of a call's kernels. Q = T * H / G is the number of queries that read a KV head.
struct DecodeParams {
  const float* q;     // [T,H,D]
  const void *k, *v;  // [G,C,D]
  float* out;         // [T,H,D]
  // Causal attention: row t sees the keys up to *position + t. Sparse attention: null without a window.
  const int32_t* position;
  // Sparse attention: keys and bits [L,width], counts [L], where L is G if set_per_kv_head and 1 otherwise.
  const int32_t *keys, *bits, *counts;
  float2* chunk_stats;  // [G,Q,chunks]: reference, sum of the exponentials of a chunk
  float* chunk_outs;    // [G,Q,chunks,out_stride]: sums over the values of a chunk
  float* scores;        // [G,Q,score_stride]: base-2 logarithms, or null if the call returns no weights
  float2* totals;       // [G,Q]: reference, reciprocal of the sum over all chunks; null if `scores` is
  float scale;          // times log2(e): exponentials are powers of 2
  int rows, heads, kv_heads, heads_per_kv_head, queries, head_size, capacity, width;
  int chunks, out_stride, score_stride;
  int window;            // row t sees keys after *position + t - window only; kNoWindow: all of them
  int chunks_per_size;   // number of chunks of each size, see ChunkLayout
  int passes;            // parts into which a KV head's queries are split; each part reads all keys
  int stages;            // tiles in the ring in shared memory
  bool set_per_kv_head;  // sparse attention: one list for each KV head, else one for all
  bool early;            // position or lists may be read before the previous kernel is complete
  // Cache rows before *settled_below, or before `settled` if that is null, may be read before the previous kernel is
  // complete.
  const int32_t* settled_below;
  int settled;
};

constexpr int kChunkLevels = 4;  // number of chunk sizes: 1, 2, 4 and 8 tiles

// The division of tiles into chunks, which depends on nothing but n = chunks_per_size. A chunk of level l has 2^l tiles. In
// the order of keys:
//
//   level   chunks     start at tile
//   0       2 n        0
//   1       n          2 n
//   2       n          4 n
//   3       the rest   8 n
struct ChunkLayout {
  int chunks_per_size;

  // The first tile of a chunk.
  __host__ __device__ int FirstTile(int chunk) const {
    const int level =
        (chunk >= 2 * chunks_per_size) + (chunk >= 3 * chunks_per_size) + (chunk >= 4 * chunks_per_size);
    return (chunk - level * chunks_per_size) << level;
  }
  // The number of chunks that `tiles` tiles make.
  __host__ __device__ int CountOf(int tiles) const {
    const int level =
        (tiles > 2 * chunks_per_size) + (tiles > 4 * chunks_per_size) + (tiles > 8 * chunks_per_size);
    return ((tiles + (1 << level) - 1) >> level) + level * chunks_per_size;
  }
  // One past the last chunk of `level` among the chunks of `tiles` tiles.
  __host__ __device__ int EndOf(int level, int tiles) const {
    const int end = level < 0                  ? 0
                    : level + 1 < kChunkLevels ? (level + 2) * chunks_per_size
                                               : INT32_MAX,
              all = CountOf(tiles);
    return end < all ? end : all;
  }
};

// The position of row 0, clamped to [0, capacity]. From `capacity` on every row sees every key.
__device__ __forceinline__ int StartOf(const DecodeParams& d) { return min(max(*d.position, 0), d.capacity); }

// The number of keys to process for a KV head: the length of its list, or what the last row sees.
template <bool kListed>
__device__ __forceinline__ int KeysOf(const DecodeParams& d, int kv_head) {
  if (kListed) return min(max(d.counts[d.set_per_kv_head ? kv_head : 0], 0), d.width);
  return static_cast<int>(min(static_cast<int64_t>(StartOf(d)) + d.rows, static_cast<int64_t>(d.capacity)));
}

// The number of tiles that `keys` keys take. At least one, so that a query which sees no key gets a partial result of zeros.
__device__ __forceinline__ int TilesOf(int keys) { return max(1, CeilDiv(keys, kTile)); }

// Entry j of a KV head's list of `keys` keys: the key, or -1 if j or the key is out of range, and its row mask.
__device__ __forceinline__ int2 ListEntry(const DecodeParams& d, int kv_head, int j, int keys) {
  if (j >= keys) return make_int2(-1, 0);
  const int64_t at = (d.set_per_kv_head ? static_cast<int64_t>(kv_head) * d.width : 0) + j;
  const int key = d.keys[at];
  int bits = d.bits[at];
  if (d.position) bits &= RowsInWindow(key, StartOf(d), d.window);
  return key < 0 || key >= d.capacity ? make_int2(-1, 0) : make_int2(key, bits);
}

// 2^x, approximately. Gives 0 for -inf and NaN for NaN.
__device__ __forceinline__ float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// 2^(x - reference). A reference of -inf means that no key was seen yet; the result is then 0, or NaN if x is.
__device__ __forceinline__ float Relative(float x, float reference) {
  return Exp2(x - (reference == -INFINITY ? 0.0f : reference));
}

// The remainders of a pair of numbers that PackPair rounded. An infinity has the remainder 0, since inf - inf is NaN.
__device__ __forceinline__ uint32_t RemainderOfPair(float a, float b, uint32_t pair, BFloat16) {
  const float x = __uint_as_float(pair << 16), y = __uint_as_float(pair & 0xffff0000u);
  return PackPair(isinf(x) ? 0.0f : a - x, isinf(y) ? 0.0f : b - y, BFloat16{});
}
__device__ __forceinline__ uint32_t RemainderOfPair(float a, float b, uint32_t pair, Float16) {
  const float2 x = __half22float2(*reinterpret_cast<const __half2*>(&pair));
  return PackPair(isinf(x.x) ? 0.0f : a - x.x, isinf(x.y) ? 0.0f : b - x.y, Float16{});
}

// The base-2 logarithm of the largest exponential. float16 uses 2^14 instead of 1, so that fewer small exponentials
// underflow.
__device__ __forceinline__ float Headroom(BFloat16) { return 0.0f; }
__device__ __forceinline__ float Headroom(Float16) { return 14.0f; }

// A block's position in its share of the work. All chunks of all (KV head, pass) pairs are put in one line, and every block
// gets an equal stretch of it, measured in tiles. A block processes the chunks that start in its stretch, to their ends.
//
// The line is sorted by chunk size, largest first, then by (KV head, pass). This keeps a large chunk from being the last
// one in a stretch of small ones, so that blocks finish at about the same time. If each KV head has a list of its own, the
// line is sorted by (KV head, pass) first and then by chunk size.
template <bool kListed>
struct TileCursor {
  int kv_head, pass;           // current KV head (d.kv_heads at the end) and pass
  int keys, tiles;             // number of keys of this KV head, and of their tiles
  int chunk, tile, chunk_end;  // current chunk and tile, and one past the chunk's last tile
  int level, first, last;      // chunks [first, last) of this KV head have 2^level tiles
  // Places in the line, counted in tiles. A partly filled chunk counts as full.
  int base;  // where chunk `first` begins
  int end;   // where the block's stretch ends

  // All threads of a warp must call this together.
  __device__ TileCursor(const DecodeParams& d) {
    const int lane = threadIdx.x % kWarp, pairs = d.kv_heads * d.passes;
    kv_head = pass = chunk = tile = chunk_end = base = level = 0;
    const bool own_lists = kListed && d.set_per_kv_head;
    int total = 0;
    if (own_lists) {
      int sum = 0;
      for (int g = lane; g < d.kv_heads; g += kWarp) sum += LengthOf(d, TilesOf(KeysOf<kListed>(d, g)));
      total = WarpReduce(sum, Plus{}) * d.passes;
    } else {
      keys = KeysOf<kListed>(d, 0);
      tiles = TilesOf(keys);
      total = LengthOf(d, tiles) * pairs;
    }
    const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
    const int share = total / blocks, extra = total % blocks;
    const int begin = block * share + min(block, extra);
    end = begin + share + (block < extra ? 1 : 0);
    if (begin == end) {
      kv_head = d.kv_heads;
      return;
    }
    if (own_lists) {
      for (;; kv_head += kWarp) {
        const int g = kv_head + lane;
        const int own = g < d.kv_heads ? LengthOf(d, TilesOf(KeysOf<kListed>(d, g))) * d.passes : 0;
        const int sum = WarpScan(own, Plus{});
        const unsigned past = __ballot_sync(kAllLanes, base + sum > begin);
        if (past) {
          const int found = __ffs(past) - 1;
          kv_head += found;
          base += __shfl_sync(kAllLanes, sum - own, found);
          break;
        }
        base += __shfl_sync(kAllLanes, sum, kWarp - 1);
      }
      keys = KeysOf<kListed>(d, kv_head);
      tiles = TilesOf(keys);
      pass = (begin - base) / LengthOf(d, tiles);
      base += pass * LengthOf(d, tiles);
      SetLevel(d, kChunkLevels - 1);
      for (; begin - base >= Length(); SetLevel(d, level - 1)) base += Length();
    } else {
      SetLevel(d, kChunkLevels - 1);
      for (; begin - base >= Length() * pairs; SetLevel(d, level - 1)) base += Length() * pairs;
      const int pair = (begin - base) / Length();
      kv_head = d.passes > 1 ? pair / d.passes : pair;
      pass = pair - kv_head * d.passes;
      base += pair * Length();
    }
    chunk = first + CeilDiv(begin - base, 1 << level);
    Enter(d);
  }

  __device__ bool done(const DecodeParams& d) const { return kv_head >= d.kv_heads; }
  __device__ bool last_of_chunk() const { return tile + 1 == chunk_end; }

  // Advances to the next tile. Returns true if it has another (KV head, pass) or chunk size, or if there is none.
  __device__ bool Next(const DecodeParams& d) {
    if (++tile < chunk_end) return false;
    const int old = base;
    ++chunk;
    Enter(d);
    return done(d) || base != old;
  }

 private:
  // Places in the line of the current KV head's chunks of the current size.
  __device__ int Length() const { return (last - first) << level; }
  // Places in the line of all chunks of a KV head with `tiles` tiles.
  __device__ static int LengthOf(const DecodeParams& d, int tiles) {
    const ChunkLayout chunks{d.chunks_per_size};
    int length = 0;
    for (int l = 0; l < kChunkLevels; ++l)
      length += (chunks.EndOf(l, tiles) - chunks.EndOf(l - 1, tiles)) << l;
    return length;
  }

  __device__ void SetLevel(const DecodeParams& d, int to) {
    const ChunkLayout chunks{d.chunks_per_size};
    level = to;
    first = chunks.EndOf(level - 1, tiles);
    last = chunks.EndOf(level, tiles);
  }
  // Begins `chunk`, or the next chunk of the line if `chunk` is not below `last`.
  __device__ void Enter(const DecodeParams& d) {
    if (chunk >= last) {
      base += Length();
      if (kListed && d.set_per_kv_head) {
        if (level > 0) {
          SetLevel(d, level - 1);
        } else {
          NextPass(d);
          if (kv_head < d.kv_heads) {
            keys = KeysOf<kListed>(d, kv_head);
            tiles = TilesOf(keys);
            SetLevel(d, kChunkLevels - 1);
          }
        }
      } else {
        NextPass(d);
        if (kv_head == d.kv_heads && level > 0) {
          kv_head = 0;
          SetLevel(d, level - 1);
        }
      }
      while (first == last && level > 0) SetLevel(d, level - 1);
      chunk = first;
    }
    if (base + ((chunk - first) << level) >= end) kv_head = d.kv_heads;
    tile = ChunkLayout{d.chunks_per_size}.FirstTile(chunk);
    chunk_end = min(tiles, ChunkLayout{d.chunks_per_size}.FirstTile(chunk + 1));
  }
  __device__ void NextPass(const DecodeParams& d) {
    if (++pass < d.passes) return;
    pass = 0;
    ++kv_head;
  }
};

}  // namespace
}  // namespace gpu
}  // namespace specattn

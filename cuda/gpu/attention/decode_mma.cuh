// DecodeMma: computes the partial results of decode_attention.cuh on the tensor cores, for caches of 16-bit floats.
#pragma once
#include "gpu/attention/decode_run.cuh"

namespace specattn {
namespace gpu {
namespace {

// kBlocksPerProcessor: blocks that share a multiprocessor. kStages: tiles in each block's ring. kMinStages: tiles in the
// ring if kStages exceed the shared memory of a block.
//
// The products of one tile wait for each other, so a multiprocessor needs more warps than a block with one query warp has.
// Several such blocks therefore share a multiprocessor, and each has a shorter ring.
template <int kSize, int kMaxWarps>
constexpr int kBlocksPerProcessor = kMaxWarps > 1  ? 1
                                    : kSize == 128 ? 2
                                                   : 3;
template <int kSize, int kMaxWarps>
constexpr int kStages = kMaxWarps > 1  ? (kSize == 128 ? 4 : 7)
                        : kSize == 128 ? 2
                                       : 3;
constexpr int kMinStages = 2;

// Tiles of queries that a warp holds. Its sums over the values take 64 registers a thread for either size.
template <int kSize>
constexpr int kQueryTiles = 128 / kSize;

// The index of a 16-byte piece of a row in shared memory, where rows have kSize elements. Pieces are swizzled so that the
// same piece of eight successive rows lies in different banks.
template <int kSize>
__device__ __forceinline__ int PieceIndex(int row, int piece) {
  return row * kSize + (piece ^ (row & 7)) * 8;
}

// Bytes of dynamic shared memory: the ring of keys and values, the queries, the key warps' sums, and the listed keys.
template <int kSize>
int64_t SharedBytes(bool listed, int query_warps, int stages) {
  const int64_t tiles = query_warps * kQueryTiles<kSize>;
  return int64_t{stages} * 2 * kTile * kSize * 2 + tiles * 2 * kTileQueries * kSize * 2 +
         tiles * kKeyWarps * kTileQueries * kSize * 4 + (listed ? kListTiles * kTile * 8 : 0);
}

// A block has 4 key warps x 1 to 3 query warps. W is the type of the caches, kSize the head size rounded up to 64 or 128.
// kMaxWarps is the most query warps that an instance serves, 1 or kMaxQueryWarps; with kMaxWarps = 1 and kSize = 128 a
// thread may use more registers. All instances give the same bits: running sums use intrinsics with fixed rounding, which
// the compiler cannot fuse.
template <class W, int kSize, bool kListed, int kMaxWarps>
__global__ void __launch_bounds__(kMaxWarps* kKeyWarps* kWarp, kBlocksPerProcessor<kSize, kMaxWarps>)
    DecodeMma(const DecodeParams d) {
  constexpr int kTiles = kQueryTiles<kSize>, kPieces = kSize / 8, kTileSize = kTile * kSize;
  constexpr int kMaxTiles = kMaxWarps * kTiles;
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ float2 merge_stats[kMaxTiles][kKeyWarps][kTileQueries];
  __shared__ float query_scale[kMaxTiles][kTileQueries];
  const int thread = threadIdx.x, threads = kMaxWarps == 1 ? kKeyWarps * kWarp : static_cast<int>(blockDim.x);
  const int lane = thread % kWarp;
  const int key_warp = thread / kWarp % kKeyWarps, query_warp = thread / kWarp / kKeyWarps;
  const int block_query_tiles = threads / kWarp / kKeyWarps * kTiles;
  W* const ring = reinterpret_cast<W*>(shared);
  W* const queries = ring + d.stages * 2 * kTileSize;
  float2* const merge = reinterpret_cast<float2*>(queries + block_query_tiles * 2 * kTileQueries * kSize);
  int2* const lists = reinterpret_cast<int2*>(merge + block_query_tiles * kKeyWarps * kPieces * kWarp);

  const W* const k = static_cast<const W*>(d.k);
  const W* const v = static_cast<const W*>(d.v);
  const int row_piece = thread % kPieces, row_first = thread / kPieces, row_step = threads / kPieces;
  if (d.head_size < kSize) {  // no copy fills the columns past a row's end
#pragma unroll 1
    for (int i = thread; i < d.stages * 2 * kTile * kPieces; i += threads)
      if (i % kPieces * 8 >= d.head_size)
        *reinterpret_cast<uint4*>(ring + PieceIndex<kSize>(i / kPieces, i % kPieces)) =
            make_uint4(0, 0, 0, 0);
  }

  if (!d.early) WaitForPrevious();
  const int settled = d.settled_below ? *d.settled_below : d.settled;
  // Bit i: all rows that the block's tile i lists are settled. Known for the first d.stages tiles.
  unsigned settled_tiles = 0;
  TileCursor<kListed> current(d);
  // The tile that is copied next; if kListed, the tile whose list is read next.
  TileCursor<kListed> next = current;
  const int start = kListed ? 0 : StartOf(d);
  // The list entry that the thread moves to shared memory: a row of [G,C], and its row mask. `key` is the row within C.
  int2 entry = make_int2(-1, 0);
  int key = -1;
  const auto read_entry = [&] {
    entry = make_int2(-1, 0);
    key = -1;
    if (thread < kTile && !next.done(d)) {
      entry = ListEntry(d, next.kv_head, next.tile * kTile + thread, next.keys);
      key = entry.x;
      if (entry.x >= 0) entry.x += next.kv_head * d.capacity;
    }
    if (!next.done(d)) next.Next(d);
  };
  if (kListed) {
#pragma unroll 1
    for (int i = 0; i < d.stages; ++i) {
      read_entry();
      if (thread < kTile) lists[i * kTile + thread] = entry;
      if (__syncthreads_and(key < settled)) settled_tiles |= 1u << i;
    }
    read_entry();
  }

  // Begins to copy the block's tile i to a stage; past the block's last tile nothing is read. Every call commits one group
  // of copies, so that WaitForCopies can count them.
  const auto copy_tile = [&](int i, int stage) {
    const bool any = kListed || !next.done(d);
    if (any && row_piece * 8 < d.head_size) {
      // row_step is a multiple of 8, so the swizzle is the same for all rows of a thread.
      W* to = ring + stage * 2 * kTileSize + PieceIndex<kSize>(row_first, row_piece);
      const int64_t first =
          kListed ? 0 : static_cast<int64_t>(next.kv_head) * d.capacity + next.tile * kTile + row_first;
      const W* from_k = k + first * d.head_size + row_piece * 8;
      const W* from_v = v + first * d.head_size + row_piece * 8;
#pragma unroll 4
      for (int r = row_first; r < kTile; r += row_step) {
        // Rows that don't exist or hold nothing yet become zeros, since 0 times their contents might be NaN. Keys before
        // the first row's window are not read.
        const int place = next.tile * kTile + r;
        bool inside = kListed || (place < next.keys && place > start - d.window);
        int64_t at = 0;
        if (kListed) {
          const int row = lists[i % kListTiles * kTile + r].x;
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
  // The copies of settled tiles begin before the previous kernel is complete.
  bool waited = false;
  const auto wait_for_previous = [&] {
    if (!waited && d.early) WaitForPrevious();
    if (!waited) LetNextStart();
    waited = true;
  };
  const auto is_settled = [&](int i) {
    return kListed ? (settled_tiles >> i & 1) != 0 : next.done(d) || (next.tile + 1) * kTile <= settled;
  };
#pragma unroll 1
  for (int i = 0; i < d.stages - 1; ++i) {
    if (!d.early || !is_settled(i)) wait_for_previous();
    copy_tile(i, i);
  }
  wait_for_previous();

  float reference[kTiles], sum[kTiles], out[kTiles][kPieces][4];
  const auto clear = [&] {
#pragma unroll
    for (int query_tile = 0; query_tile < kTiles; ++query_tile) {
      reference[query_tile] = -INFINITY;
      sum[query_tile] = 0;
#pragma unroll
      for (int n = 0; n < kPieces; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) out[query_tile][n][i] = 0;
    }
  };
  // For the lane's query of each tile: causal attention, one past its position; sparse attention, its row. A tile's last
  // queries may not exist; their results are not stored.
  int key_end_or_row[kTiles];
  int active_tiles = 0;  // tiles of the warp that have queries
  int i = 0, stage = 0;
  while (!current.done(d)) {
    // Each query is multiplied by d.scale and by a power of two that brings its largest element into [1, 2), so that it
    // fits float16 too; query_scale undoes the latter. Key warps use the same queries; each lane of them writes one piece.
    const int first_query = (current.pass * block_query_tiles + query_warp * kTiles) * kTileQueries;
    {
      const int r = key_warp * 2 * kTiles + lane / kPieces, piece = lane % kPieces, m = first_query + r;
      float x[8] = {};
      if (m < d.queries && piece * 8 < d.head_size) {
        const int t = m / d.heads_per_kv_head,
                  h = current.kv_head * d.heads_per_kv_head + m - t * d.heads_per_kv_head;
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
      const float inverse_scale = __uint_as_float((254u - exponent) << 23);
      uint32_t rounded[4], remainder[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float a = x[2 * e] * inverse_scale, b = x[2 * e + 1] * inverse_scale;
        rounded[e] = PackPair(a, b, W{});
        remainder[e] = RemainderOfPair(a, b, rounded[e], W{});
      }
      const int query_tile = query_warp * kTiles + r / kTileQueries;
      if (piece == 0) query_scale[query_tile][r % kTileQueries] = __uint_as_float(exponent << 23);
      // The remainder is written 8 rows further on, where the swizzle is the same.
      W* const to =
          queries + query_tile * 2 * kTileQueries * kSize + PieceIndex<kSize>(r % kTileQueries, piece);
      *reinterpret_cast<uint4*>(to) = make_uint4(rounded[0], rounded[1], rounded[2], rounded[3]);
      *reinterpret_cast<uint4*>(to + kTileQueries * kSize) =
          make_uint4(remainder[0], remainder[1], remainder[2], remainder[3]);
    }
    active_tiles = min(kTiles, CeilDiv(max(d.queries - first_query, 0), kTileQueries));
#pragma unroll
    for (int query_tile = 0; query_tile < kTiles; ++query_tile) {
      const int row = (first_query + query_tile * kTileQueries + lane / 4) / d.heads_per_kv_head;
      key_end_or_row[query_tile] = kListed ? row & 31 : start + row + 1;
    }
    const int kv_head = current.kv_head;
    for (bool more_chunks = true; more_chunks;) {
      clear();
      const int chunk = current.chunk;
      for (bool more_tiles = true; more_tiles; ++i) {
        if (d.stages == kMinStages)
          WaitForCopies<0>();
        else
          WaitForCopies<kStages<kSize, kMaxWarps> - 2>();
        __syncthreads();  // tile i has arrived, and every warp has finished tile i - 1
        copy_tile(i + d.stages - 1, stage == 0 ? d.stages - 1 : stage - 1);
        if (kListed) {
          if (thread < kTile) lists[(i + d.stages) % kListTiles * kTile + thread] = entry;
          read_entry();
        }

        // A tile that is wholly before the first row's window changes nothing.
        if (active_tiles > 0 && (kListed || (current.tile + 1) * kTile - 1 > start - d.window)) {
          const W* const keys = ring + stage * 2 * kTileSize;
          const W* const values = keys + kTileSize;
          // A step multiplies 16 columns. The keys of four steps are loaded at once. If the warp has one tile, even and odd
          // steps have separate sums, so that two products can overlap.
          constexpr int kSums = kTiles == 1 ? 2 : 1;
          float score[kTiles][kSums][2][4] = {};
          const int key_row = key_warp * 16 + (lane & 7) + (lane >> 4) * 8, key_piece = lane >> 3 & 1;
#pragma unroll
          for (int first = 0; first < kSize / 16; first += 4) {
            uint32_t b[4][4];
#pragma unroll
            for (int step = 0; step < 4; ++step)
              LoadMatrices(SharedAddress(keys + PieceIndex<kSize>(key_row, 2 * (first + step) + key_piece)),
                           b[step]);
#pragma unroll
            for (int query_tile = 0; query_tile < kTiles; ++query_tile) {
              if (query_tile > 0 && query_tile >= active_tiles) break;
              const W* const from = queries + (query_warp * kTiles + query_tile) * 2 * kTileQueries * kSize;
#pragma unroll
              for (int step = 0; step < 4; ++step) {
                uint32_t a[4];
                LoadMatrices(
                    SharedAddress(from + PieceIndex<kSize>(lane & 15, 2 * (first + step) + (lane >> 4))), a);
                MultiplyAdd(score[query_tile][step % kSums][0], a, b[step][0], b[step][1], W{});
                MultiplyAdd(score[query_tile][step % kSums][1], a, b[step][2], b[step][3], W{});
              }
            }
          }
          const int value_row = key_warp * 16 + (lane & 15), value_piece = lane >> 4;
          uint32_t value[4][4];  // fragments of 64 columns
          const auto load_values = [&](int first) {
#pragma unroll
            for (int n = 0; n < 4; ++n)
              LoadTransposed(
                  SharedAddress(values + PieceIndex<kSize>(value_row, first + 2 * n + value_piece)),
                  value[n]);
          };
          constexpr bool kAhead = kTiles == 1;  // loads values before they are needed, as registers allow it
          if (kAhead) load_values(0);

          const int column = key_warp * 16 + lane % 4 * 2;  // the lane's keys are column + {0, 1, 8, 9}
          int bits[4];
          if (kListed) {
            const int2* const list = lists + i % kListTiles * kTile + column;
#pragma unroll
            for (int j = 0; j < 4; ++j) bits[j] = list[j / 2 * 8 + j % 2].y;
          }
          uint32_t e[kTiles][4];
#pragma unroll
          for (int query_tile = 0; query_tile < kTiles; ++query_tile) {
            if (query_tile > 0 && query_tile >= active_tiles) break;
            const float scale = query_scale[query_warp * kTiles + query_tile][lane / 4];
            const int place = current.tile * kTile + column;
            float x[4];
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              x[j] = score[query_tile][0][j / 2][j % 2] + score[query_tile][0][j / 2][j % 2 + 2];
              if (kSums > 1)
                x[j] += score[query_tile][kSums - 1][j / 2][j % 2] +
                        score[query_tile][kSums - 1][j / 2][j % 2 + 2];
              x[j] *= scale;
            }
            const int query = first_query + query_tile * kTileQueries + lane / 4;
            if (d.scores && query < d.queries) {
              float* const to =
                  d.scores + (static_cast<int64_t>(kv_head) * d.queries + query) * d.score_stride + place;
              *reinterpret_cast<float2*>(to) = make_float2(x[0], x[1]);
              *reinterpret_cast<float2*>(to + 8) = make_float2(x[2], x[3]);
            }
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              const int key = place + j / 2 * 8 + j % 2, end = key_end_or_row[query_tile];
              const bool seen =
                  kListed ? bits[j] >> end & 1 : key < min(end, current.keys) && key >= end - d.window;
              x[j] = seen ? x[j] : -INFINITY;
            }
            float maximum = fmaxf(fmaxf(x[0], x[1]), fmaxf(x[2], x[3]));
            maximum = fmaxf(maximum, __shfl_xor_sync(kAllLanes, maximum, 1));
            maximum = fmaxf(maximum, __shfl_xor_sync(kAllLanes, maximum, 2));
            const float old = reference[query_tile];
            reference[query_tile] = fmaxf(old, maximum - Headroom(W{}));
            if (__any_sync(kAllLanes, reference[query_tile] != old)) {
              const float factor = Relative(old, reference[query_tile]);
              sum[query_tile] = __fmul_rn(sum[query_tile], factor);
#pragma unroll
              for (int n = 0; n < kPieces; ++n)
#pragma unroll
                for (int j = 0; j < 4; ++j) out[query_tile][n][j] = __fmul_rn(out[query_tile][n][j], factor);
            }
#pragma unroll
            for (int j = 0; j < 4; ++j) x[j] = Relative(x[j], reference[query_tile]);
            sum[query_tile] = __fadd_rn(sum[query_tile], (x[0] + x[1]) + (x[2] + x[3]));
            e[query_tile][0] = PackPair(x[0], x[1], W{});
            e[query_tile][1] = RemainderOfPair(x[0], x[1], e[query_tile][0], W{});
            e[query_tile][2] = PackPair(x[2], x[3], W{});
            e[query_tile][3] = RemainderOfPair(x[2], x[3], e[query_tile][2], W{});
          }

#pragma unroll
          for (int first = 0; first < kPieces; first += 8) {
            if (first > 0 || !kAhead) load_values(first);
#pragma unroll
            for (int query_tile = 0; query_tile < kTiles; ++query_tile) {
              if (query_tile > 0 && query_tile >= active_tiles) break;
#pragma unroll
              for (int n = 0; n < 4; ++n) {
                MultiplyAdd(out[query_tile][first + 2 * n], e[query_tile], value[n][0], value[n][1], W{});
                MultiplyAdd(out[query_tile][first + 2 * n + 1], e[query_tile], value[n][2], value[n][3], W{});
              }
            }
          }
        }

        more_tiles = !current.last_of_chunk();
        more_chunks = !current.Next(d);
        if (++stage == d.stages) stage = 0;
      }

      // Merge the four key warps' sums into the chunk's partial result.
#pragma unroll
      for (int query_tile = 0; query_tile < kTiles; ++query_tile) {
        if (query_tile >= active_tiles) break;
        const int at = (query_warp * kTiles + query_tile) * kKeyWarps + key_warp;
#pragma unroll
        for (int n = 0; n < kPieces; ++n)
          merge[(at * kPieces + n) * kWarp + lane] = make_float2(
              out[query_tile][n][0] + out[query_tile][n][2], out[query_tile][n][1] + out[query_tile][n][3]);
        sum[query_tile] += __shfl_xor_sync(kAllLanes, sum[query_tile], 1);
        sum[query_tile] += __shfl_xor_sync(kAllLanes, sum[query_tile], 2);
        if (lane % 4 == 0)
          merge_stats[query_warp * kTiles + query_tile][key_warp][lane / 4] =
              make_float2(reference[query_tile], sum[query_tile]);
      }
      __syncthreads();
#pragma unroll
      for (int query_tile = 0; query_tile < kTiles; ++query_tile) {
        const int query = first_query + query_tile * kTileQueries + lane / 4;
        if (query >= d.queries) break;
        const int at = query_warp * kTiles + query_tile;
        float maximum = -INFINITY, factor[kKeyWarps], total = 0;
#pragma unroll
        for (int w = 0; w < kKeyWarps; ++w) maximum = fmaxf(maximum, merge_stats[at][w][lane / 4].x);
#pragma unroll
        for (int w = 0; w < kKeyWarps; ++w) {
          const float2 partial = merge_stats[at][w][lane / 4];
          factor[w] = Relative(partial.x, maximum);
          total = fmaf(factor[w], partial.y, total);
        }
        const int64_t to = (static_cast<int64_t>(kv_head) * d.queries + query) * d.chunks + chunk;
        if (key_warp == 0 && lane % 4 == 0) d.chunk_stats[to] = make_float2(maximum, total);
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
            *reinterpret_cast<float2*>(d.chunk_outs + to * d.out_stride + piece * 8 + lane % 4 * 2) = x;
        }
      }
    }
  }
  WaitForCopies<0>();
}

}  // namespace
}  // namespace gpu
}  // namespace specattn

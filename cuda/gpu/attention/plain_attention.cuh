// PlainAttention: causal attention of many rows in float32, and its weights, for any head size and type of cache.
//
// Three kernels run one after the other, and each computes the scores anew, so that no memory for them is needed: the first
// finds each row's maximum and sum of exponentials, the second sums the values, the third writes the weights.
//
// A block computes scores in tiles of 64 rows x 64 keys. A thread (x, y) of its 16 x 16 threads has 4 x 4 scores of a tile:
// rows y, y + 16, ... and keys x, x + 16, ... Tiles start at fixed places and are taken in order, so that a row's result
// does not depend on the other rows.
#pragma once
#include "core/attention_shape.h"
#include "gpu/primitives/element.cuh"
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

struct PlainAttention {
  const float* q;           // [T,H,D]
  const void *k, *v;        // [G,C,D]
  const int32_t* position;  // [1], on the device: the position of row 0
  float2* stats;   // scratch [H,T]: the row's largest score, the reciprocal of its sum of exponentials
  float* out;      // [T,H,D], or null
  float* weights;  // [weight_rows,T,C], or null; HeadsOfRow gives the heads of a weight row
  int64_t weight_rows;
  const int32_t* weight_heads;  // [weight_rows], or null
  int64_t rows, heads, kv_heads, capacity, head_size;
  int64_t window;  // how many keys back a row sees, its own included
  float scale;
};

// kPlainTile: rows and keys of a tile. kPlainPiece: columns of q and k, or keys of v, in shared memory at once. kPlainEach:
// rows and keys of a thread. kPlainLanes: threads along the keys, and along the rows.
constexpr int kPlainTile = 64, kPlainPiece = 16, kPlainThreads = 256, kPlainEach = 4, kPlainLanes = 16;

// [column][row or key] of q or k, or [key][column] of v.
using PlainPiece = float[kPlainPiece][kPlainTile + 1];

// A tile of rows, and the keys that it sees.
struct PlainRows {
  // The tile's first row, the position of row 0, and one past the last key that the tile's last row sees.
  int64_t first, start, keys;
  int64_t first_key;  // the first tile of keys that the tile's first row sees

  __device__ PlainRows(const PlainAttention& p, int64_t tile) : first(tile * kPlainTile) {
    start = *p.position < 0 ? 0 : *p.position < p.capacity ? *p.position : p.capacity;
    const int64_t first_seen = start + first + 1 - p.window;
    first_key = first_seen > 0 ? first_seen / kPlainTile * kPlainTile : 0;
    const int64_t end = first + kPlainTile < p.rows ? first + kPlainTile : p.rows;
    keys = start + end < p.capacity ? start + end : p.capacity;
  }
};

// Computes the thread's 4 x 4 scores of a tile: -inf for a key that a row does not see. No key from tile.keys on is read.
// All threads of the block must call this; left and right are its working memory.
template <class W>
__device__ __forceinline__ void PlainScores(const PlainAttention& p, const PlainRows& tile, int64_t head,
                                            int64_t first_key, PlainPiece& left, PlainPiece& right,
                                            float (&scores)[kPlainEach][kPlainEach]) {
  const int x = threadIdx.x % kPlainLanes, y = threadIdx.x / kPlainLanes;
  const W* k = static_cast<const W*>(p.k) + head / (p.heads / p.kv_heads) * p.capacity * p.head_size;
#pragma unroll
  for (int i = 0; i < kPlainEach; ++i)
#pragma unroll
    for (int j = 0; j < kPlainEach; ++j) scores[i][j] = 0;
  for (int64_t d = 0; d < p.head_size; d += kPlainPiece) {
#pragma unroll
    for (int i = 0; i < kPlainEach; ++i) {
      const int64_t at = d + x, row = tile.first + y + i * 16, key = first_key + y + i * 16;
      left[x][y + i * 16] =
          at < p.head_size && row < p.rows ? p.q[(row * p.heads + head) * p.head_size + at] * p.scale : 0.0f;
      right[x][y + i * 16] = at < p.head_size && key < tile.keys ? ToFloat(k[key * p.head_size + at]) : 0.0f;
    }
    __syncthreads();
#pragma unroll
    for (int e = 0; e < kPlainPiece; ++e)
#pragma unroll
      for (int i = 0; i < kPlainEach; ++i)
#pragma unroll
        for (int j = 0; j < kPlainEach; ++j)
          scores[i][j] = fmaf(left[e][y + i * 16], right[e][x + j * 16], scores[i][j]);
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kPlainEach; ++i)
#pragma unroll
    for (int j = 0; j < kPlainEach; ++j) {
      const int64_t key = first_key + x + j * 16;
      const int64_t last = tile.start + tile.first + y + i * 16;
      if (key > last || key <= last - p.window || key >= tile.keys) scores[i][j] = -INFINITY;
    }
}

// Writes `stats`. A block takes 64 rows of a head.
template <class W>
__global__ void __launch_bounds__(kPlainThreads, 2) PlainStatsKernel(PlainAttention p) {
  __shared__ PlainPiece left, right;
  const int x = threadIdx.x % kPlainLanes, y = threadIdx.x / kPlainLanes;
  const int64_t head = blockIdx.x % p.heads;
  const PlainRows tile(p, blockIdx.x / p.heads);
  float max[kPlainEach], sum[kPlainEach] = {}, scores[kPlainEach][kPlainEach];
#pragma unroll
  for (int i = 0; i < kPlainEach; ++i) max[i] = -INFINITY;
  for (int64_t first_key = tile.first_key; first_key < tile.keys; first_key += kPlainTile) {
    PlainScores<W>(p, tile, head, first_key, left, right, scores);
#pragma unroll
    for (int i = 0; i < kPlainEach; ++i) {
      float top = max[i], added = 0;
#pragma unroll
      for (int j = 0; j < kPlainEach; ++j) top = fmaxf(top, scores[i][j]);
#pragma unroll
      for (int step = kPlainLanes / 2; step > 0; step /= 2)
        top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, step));
      const float base = top == -INFINITY ? 0.0f : top;  // nothing seen yet: -inf - -inf would be NaN
#pragma unroll
      for (int j = 0; j < kPlainEach; ++j) added += expf(scores[i][j] - base);
#pragma unroll
      for (int step = kPlainLanes / 2; step > 0; step /= 2) added += __shfl_xor_sync(kAllLanes, added, step);
      sum[i] = sum[i] * expf(max[i] - base) + added;
      max[i] = top;
    }
  }
#pragma unroll
  for (int i = 0; i < kPlainEach; ++i) {
    const int64_t row = tile.first + y + i * 16;
    if (x == 0 && row < p.rows)
      p.stats[head * p.rows + row] =
          make_float2(max[i] == -INFINITY ? 0.0f : max[i], sum[i] == 0 ? 0.0f : 1.0f / sum[i]);
  }
}

// Loads the stats of the thread's rows; a row past the end gets zeros.
__device__ __forceinline__ void LoadStats(const PlainAttention& p, const PlainRows& tile, int64_t head,
                                          float2 (&stats)[kPlainEach]) {
#pragma unroll
  for (int i = 0; i < kPlainEach; ++i) {
    const int64_t row = tile.first + threadIdx.x / kPlainLanes + i * 16;
    stats[i] = row < p.rows ? p.stats[head * p.rows + row] : make_float2(0, 0);
  }
}

// Writes `out`. A block takes 64 rows of a head and 64 of its columns.
template <class W>
__global__ void __launch_bounds__(kPlainThreads, 2) PlainOutKernel(PlainAttention p) {
  __shared__ PlainPiece left, right;
  __shared__ float shares[kPlainTile][kPlainTile + 1];  // [key][row]
  const int x = threadIdx.x % kPlainLanes, y = threadIdx.x / kPlainLanes;
  const int64_t size_tiles = CeilDiv<int64_t>(p.head_size, kPlainTile);
  const int64_t first_d = blockIdx.x % size_tiles * kPlainTile, head = blockIdx.x / size_tiles % p.heads;
  const PlainRows tile(p, blockIdx.x / size_tiles / p.heads);
  const W* v = static_cast<const W*>(p.v) + head / (p.heads / p.kv_heads) * p.capacity * p.head_size;
  float2 stats[kPlainEach];
  LoadStats(p, tile, head, stats);
  float out[kPlainEach][kPlainEach] = {}, scores[kPlainEach][kPlainEach];
  for (int64_t first_key = tile.first_key; first_key < tile.keys; first_key += kPlainTile) {
    PlainScores<W>(p, tile, head, first_key, left, right, scores);
#pragma unroll
    for (int i = 0; i < kPlainEach; ++i)
#pragma unroll
      for (int j = 0; j < kPlainEach; ++j)
        shares[x + j * 16][y + i * 16] = expf(scores[i][j] - stats[i].x) * stats[i].y;
    for (int piece = 0; piece < kPlainTile; piece += kPlainPiece) {
#pragma unroll
      for (int i = 0; i < kPlainEach; ++i) {
        const int n = i * kPlainThreads + threadIdx.x;
        const int64_t key = first_key + piece + n / kPlainTile, d = first_d + n % kPlainTile;
        right[n / kPlainTile][n % kPlainTile] =
            key < tile.keys && d < p.head_size ? ToFloat(v[key * p.head_size + d]) : 0.0f;
      }
      __syncthreads();
#pragma unroll
      for (int e = 0; e < kPlainPiece; ++e)
#pragma unroll
        for (int i = 0; i < kPlainEach; ++i)
#pragma unroll
          for (int j = 0; j < kPlainEach; ++j)
            out[i][j] = fmaf(shares[piece + e][y + i * 16], right[e][x + j * 16], out[i][j]);
      __syncthreads();
    }
  }
#pragma unroll
  for (int i = 0; i < kPlainEach; ++i)
#pragma unroll
    for (int j = 0; j < kPlainEach; ++j) {
      const int64_t row = tile.first + y + i * 16, d = first_d + x + j * 16;
      if (row < p.rows && d < p.head_size) p.out[(row * p.heads + head) * p.head_size + d] = out[i][j];
    }
}

// Writes `weights`. A block takes 64 rows x 64 keys of one weight row, and adds its heads in a fixed order.
template <class W>
__global__ void __launch_bounds__(kPlainThreads, 2) PlainWeightsKernel(PlainAttention p) {
  __shared__ PlainPiece left, right;
  const int x = threadIdx.x % kPlainLanes, y = threadIdx.x / kPlainLanes;
  const int64_t key_tiles = CeilDiv<int64_t>(p.capacity, kPlainTile),
                row_tiles = CeilDiv<int64_t>(p.rows, kPlainTile);
  const int64_t first_key = blockIdx.x % key_tiles * kPlainTile;
  const PlainRows tile(p, blockIdx.x / key_tiles % row_tiles);
  const int64_t weight_row = blockIdx.x / key_tiles / row_tiles;
  const HeadRange range = HeadsOfRow(weight_row, p.weight_rows, p.weight_heads, p.heads);
  const float share = 1.0f / static_cast<float>(range.end - range.first);
  float mean[kPlainEach][kPlainEach] = {}, scores[kPlainEach][kPlainEach];
  if (first_key < tile.keys && first_key >= tile.first_key)
    for (int64_t head = range.first; head < range.end; ++head) {
      float2 stats[kPlainEach];
      LoadStats(p, tile, head, stats);
      PlainScores<W>(p, tile, head, first_key, left, right, scores);
#pragma unroll
      for (int i = 0; i < kPlainEach; ++i)
#pragma unroll
        for (int j = 0; j < kPlainEach; ++j)
          if (scores[i][j] != -INFINITY) mean[i][j] += expf(scores[i][j] - stats[i].x) * (stats[i].y * share);
    }
#pragma unroll
  for (int i = 0; i < kPlainEach; ++i)
#pragma unroll
    for (int j = 0; j < kPlainEach; ++j) {
      const int64_t row = tile.first + y + i * 16, key = first_key + x + j * 16;
      if (row < p.rows && key < p.capacity)
        p.weights[(weight_row * p.rows + row) * p.capacity + key] = mean[i][j];
    }
}

// Queues one of the kernels above with `blocks` blocks.
inline Status RunPlain(CudaStream& stream, const char* op, void (*kernel)(PlainAttention), int64_t blocks,
                       const PlainAttention& p) {
  if (blocks == 0) return Ok();
  SPECATTN_CHECK(blocks < int64_t{1} << 31, "[%s] %lld rows of %lld heads over %lld keys are too many", op,
                 static_cast<long long>(p.rows), static_cast<long long>(p.heads),
                 static_cast<long long>(p.capacity));
  return LaunchKernel(stream, op, Start::kInOrder, kernel, dim3(static_cast<unsigned>(blocks)),
                      dim3(kPlainThreads), 0, p);
}

// Queues the kernels for the outputs that `p` asks for. W is the type of the caches.
template <class W>
Status RunPlainAttention(CudaStream& stream, const char* op, const PlainAttention& p) {
  const int64_t row_tiles = CeilDiv<int64_t>(p.rows, kPlainTile);
  SPECATTN_RETURN_IF_ERROR(RunPlain(stream, op, PlainStatsKernel<W>, row_tiles * p.heads, p));
  if (p.out)
    SPECATTN_RETURN_IF_ERROR(RunPlain(stream, op, PlainOutKernel<W>,
                                      row_tiles * p.heads * CeilDiv<int64_t>(p.head_size, kPlainTile), p));
  if (p.weights)
    SPECATTN_RETURN_IF_ERROR(RunPlain(stream, op, PlainWeightsKernel<W>,
                                      row_tiles * CeilDiv<int64_t>(p.capacity, kPlainTile) * p.weight_rows,
                                      p));
  return Ok();
}

}  // namespace gpu
}  // namespace specattn

// DecodeSimt: computes the partial results of decode_attention.cuh without tensor cores, in float32, for every type of
// cache and every head size.
#pragma once
#include "gpu/attention/decode_run.cuh"

namespace specattn {
namespace gpu {
namespace {

constexpr int kSimtThreads = 128;

// A block works on one item, a chunk of the keys of one KV head, for eight queries at a time. Its warps take the keys of
// the chunk in turn.
template <class W, bool kListed>
__global__ void __launch_bounds__(kSimtThreads) DecodeSimt(const DecodeParams d) {
  constexpr int kMaxKeys = kTile * 8, kWarps = kSimtThreads / kWarp, kQueries = kTileQueries;
  __shared__ float e[kQueries][kMaxKeys];
  __shared__ float sums[kWarps][kQueries][kWarp];
  __shared__ int2 list[kListed ? kMaxKeys : 1];
  const int thread = threadIdx.x, lane = thread % kWarp, warp = thread / kWarp;
  WaitForPrevious();
  LetNextStart();
  const int start = kListed ? 0 : StartOf(d);
  const int64_t items = static_cast<int64_t>(d.kv_heads) * d.chunks;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    const int chunk = static_cast<int>(item / d.kv_heads), kv_head = static_cast<int>(item % d.kv_heads);
    const int keys = KeysOf<kListed>(d, kv_head),
              first = ChunkLayout{d.chunks_per_size}.FirstTile(chunk) * kTile;
    if (first >= TilesOf(keys) * kTile) continue;
    const int count = min(keys, ChunkLayout{d.chunks_per_size}.FirstTile(chunk + 1) * kTile) - first;
    const W* const k = static_cast<const W*>(d.k) + static_cast<int64_t>(kv_head) * d.capacity * d.head_size;
    const W* const v = static_cast<const W*>(d.v) + static_cast<int64_t>(kv_head) * d.capacity * d.head_size;
    if (kListed)
      for (int j = thread; j < count; j += kSimtThreads) list[j] = ListEntry(d, kv_head, first + j, keys);
    const auto row_of = [&](int j) -> int64_t {
      // A key before the first row's window is not read.
      const int key = kListed ? list[j].x : first + j > start - d.window ? first + j : -1;
      return static_cast<int64_t>(key) * d.head_size;
    };
    for (int m0 = 0; m0 < d.queries; m0 += kQueries) {
      const float* q[kQueries];
      int rows[kQueries];
#pragma unroll
      for (int i = 0; i < kQueries; ++i) {
        const int m = min(m0 + i, d.queries - 1);
        rows[i] = m / d.heads_per_kv_head;
        q[i] = d.q + (static_cast<int64_t>(rows[i]) * d.heads + kv_head * d.heads_per_kv_head +
                      m % d.heads_per_kv_head) *
                         d.head_size;
      }
      __syncthreads();  // the list is written, and the previous queries are finished
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
          const bool seen = kListed ? list[j].y >> rows[i] & 1
                                    : first + j <= start + rows[i] && first + j > start + rows[i] - d.window;
          if (lane == i) e[i][j] = seen ? score : -INFINITY;
        }
      }
      __syncthreads();
      for (int i = warp; i < kQueries && m0 + i < d.queries; i += kWarps) {
        const int64_t at = static_cast<int64_t>(kv_head) * d.queries + m0 + i;
        float maximum = -INFINITY, sum = 0;
        for (int j = lane; j < count; j += kWarp) {
          maximum = fmaxf(maximum, e[i][j]);
          if (d.scores) d.scores[at * d.score_stride + first + j] = e[i][j];
        }
        maximum = WarpReduce(maximum, Maximum{});
        for (int j = lane; j < count; j += kWarp) {
          e[i][j] = Relative(e[i][j], maximum);
          sum += e[i][j];
        }
        sum = WarpReduce(sum, Plus{});
        if (lane == 0) d.chunk_stats[at * d.chunks + chunk] = make_float2(maximum, sum);
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
            const int64_t at = (static_cast<int64_t>(kv_head) * d.queries + m0 + i) * d.chunks + chunk;
            d.chunk_outs[at * d.out_stride + n] = total;
          }
        __syncthreads();
      }
    }
    __syncthreads();  // every warp has finished with the list
  }
}

}  // namespace
}  // namespace gpu
}  // namespace specattn

// Attention of a few queries over many keys on the CPU, which CausalAttention and SparseAttention share.
//
// The keys are split into chunks, which threads process independently (flash decoding). Chunks start at fixed places of the list
// of keys and their partial results are combined in order. So a query's result has the same bits for every number of threads and,
// with the same list of keys, for every set of other queries. A key that a query does not see contributes exactly 0, so that
// sparse attention over all keys equals dense attention. This requires finite values: an unseen key's values are multiplied by 0.
#pragma once
#include "core/attention_shape.h"
#include "cpu/dot.h"

namespace specattn {
namespace {

constexpr int64_t kChunk = 128;      // keys of a chunk
constexpr int64_t kTileTokens = 16;  // rows that share one pass over the keys
constexpr int64_t kQueries = 32;     // queries whose scores over a chunk are held at once

constexpr int64_t kGrainWork = 32 * 1024;  // the least multiplications that are worth handing to a thread

// The grain of a ParallelFor over chunks: how many chunks a thread takes at a time.
inline int64_t ChunksAtOnce(const AttentionShape& shape, int64_t queries) {
  const int64_t work = queries * kChunk * (shape.head_size + 1) * 2;
  return work >= kGrainWork ? 1 : kGrainWork / work;
}

// The softmax statistics of one query over one chunk: the largest score, and the sum of exp(score - max).
struct Partial {
  float max, sum;
};

// Attention over one chunk: e[m][j] = exp(q[m] . k[j] - max) for the keys that query m sees, else 0; partial[m] holds the
// statistics and out[m] the sum of e[m][j] * v[j].
//   q [queries,D] scaled and in the order of Pair, k [keys,D], v [keys,D], e [queries,kChunk], out [queries,D]
//   visible(m, j): whether query m sees key j of the chunk
template <class W, class Visible>
inline void AttendChunk(const float* q, int64_t queries, const W* k, const W* v, int64_t keys,
                        int64_t head_size, const Visible& visible, float* e, Partial* partial, float* out) {
  Dots(q, queries, head_size, k, keys, head_size, head_size, e, kChunk);
  const int64_t padded = (keys + kLanes - 1) / kLanes * kLanes;
  for (int64_t m = 0; m < queries; ++m) {
    float* row = e + m * kChunk;
    for (int64_t j = 0; j < keys; ++j) row[j] = visible(m, j) ? row[j] : -INFINITY;
    for (int64_t j = keys; j < padded; ++j) row[j] = -INFINITY;
    Vec top = Splat(-INFINITY);
    for (int64_t j = 0; j < padded; j += kLanes) top = Max(Load(row + j), top);
    const float max = Max(top);
    Vec sum = {};
    if (max == -INFINITY) {  // the query sees no key, or every score is NaN, which must show in the result
      bool nan = false;
      for (int64_t j = 0; j < keys; ++j) nan = nan || row[j] != row[j];
      for (int64_t j = 0; j < padded; ++j) row[j] = nan ? NAN : 0.0f;
      if (nan) {
        partial[m] = {0.0f, NAN};
        continue;
      }
    } else {
      for (int64_t j = 0; j < padded; j += kLanes) {
        const Vec value = Exp(Load(row + j) - max);
        sum += value;
        Store(row + j, value);
      }
    }
    partial[m] = {max, Sum(sum)};
  }
  std::memset(out, 0, static_cast<size_t>(queries * head_size) * 4);
  Axpys(e, queries, kChunk, v, head_size, head_size, keys, out, head_size);
}

// Combines a query's partial results into out [D]. factor[c] becomes the factor that turns the exponentials e of chunk c into
// attention weights.
inline void Combine(const Partial* partial, int64_t stride, const float* outs, int64_t out_stride,
                    int64_t chunks, int64_t head_size, float* factor, float* out) {
  float max = -INFINITY;
  for (int64_t c = 0; c < chunks; ++c) max = partial[c * stride].max > max ? partial[c * stride].max : max;
  float sum = 0;
  for (int64_t c = 0; c < chunks; ++c) {
    factor[c] = max == -INFINITY ? 0.0f : Exp(partial[c * stride].max - max);
    sum += factor[c] * partial[c * stride].sum;
  }
  // A query that sees no key gets zeros. A NaN score makes the sum NaN, and so the result.
  const float scale = sum == 0 ? 0.0f : 1.0f / sum;
  for (int64_t c = 0; c < chunks; ++c) factor[c] *= scale;
  std::memset(out, 0, static_cast<size_t>(head_size) * 4);
  for (int64_t c = 0; c < chunks; ++c) {
    if (factor[c] == 0) continue;
    const float* from = outs + c * out_stride;
    for (int64_t d = 0; d < head_size; ++d) out[d] += factor[c] * from[d];
  }
}

}  // namespace
}  // namespace specattn

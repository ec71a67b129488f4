// Attention of a few queries over many keys, in chunks of keys: what CausalAttention and SparseAttention
// share.
//
// Chunks start at fixed places of the list of keys, each gives a partial result, and partial results are
// combined in order: the bits of a query's result depend neither on the number of threads nor, for one list of keys, on the other
// queries. Keys that a query doesn't see count as exactly nothing, so that sparse attention over all keys
// equals dense attention; their values must be finite for that, for they are multiplied by 0 where other queries see them.
#pragma once
#include "core/attention_shape.h"
#include "cpu/dot.h"

namespace specattn {
namespace {

constexpr int64_t kChunk = 128;      // keys
constexpr int64_t kTileTokens = 16;  // rows of the block that share one pass over the keys
constexpr int64_t kQueries = 32;     // queries whose scores over a chunk are held at once

constexpr int64_t kGrainWork = 32 * 1024;  // multiplications that are worth a thread's while

// How many chunks one call of a loop over them takes.
inline int64_t ChunksAtOnce(const AttentionShape& shape, int64_t queries) {
  const int64_t work = queries * kChunk * (shape.head_size + 1) * 2;
  return work >= kGrainWork ? 1 : kGrainWork / work;
}

// One query's share of one chunk: sum = sum of e, out = sum of e * v, with e = exp(score - max).
struct Partial {
  float max, sum;
};

// e[m][j] = exp(q[m] . k[j] - max over visible keys) for the keys query m sees, else 0; partial[m] and out[m]
// with it.
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
    if (max == -INFINITY) {  // nothing seen, or nothing but NaN, which must show
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

// Combines a query's partial results into out [D]; factor[c] becomes what chunk c's e must be multiplied with
// to be a weight.
inline void Combine(const Partial* partial, int64_t stride, const float* outs, int64_t out_stride,
                    int64_t chunks, int64_t head_size, float* factor, float* out) {
  float max = -INFINITY;
  for (int64_t c = 0; c < chunks; ++c) max = partial[c * stride].max > max ? partial[c * stride].max : max;
  float sum = 0;
  for (int64_t c = 0; c < chunks; ++c) {
    factor[c] = max == -INFINITY ? 0.0f : Exp(partial[c * stride].max - max);
    sum += factor[c] * partial[c * stride].sum;
  }
  // A NaN score reaches here as a NaN sum and must show; a query that sees nothing gives zeros.
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

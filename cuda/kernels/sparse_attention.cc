// SparseAttention on the CPU.
//
// The listed keys are gathered chunk by chunk, once for all rows of the block. From there on everything is as in
// CausalAttention, so that with every key listed the results are equal to the bit.
#include "kernels/sparse_attention.h"

#include "cpu/attention.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/with_float.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

// The key set that a KV head reads.
struct KeySet {
  const int32_t *keys, *bits;
  int64_t count;
};

// Which listed keys rows see: those of the row mask that are in the cache and in the row's window.
struct Sight {
  int64_t capacity, position, window;

  // The rows that see entry j of a list, as a mask.
  int32_t Rows(const int32_t* keys, const int32_t* bits, int64_t j) const {
    if (keys[j] < 0 || keys[j] >= capacity) return 0;
    return window == kNoWindow ? bits[j] : bits[j] & RowsInWindow(keys[j], position, window);
  }
};

// Copies the cache's rows of the listed keys to `to`, one after the other. A key outside the cache becomes zeros, which no
// row sees.
template <class W>
inline void Gather(const W* from, const int32_t* keys, int64_t count, const AttentionShape& s, W* to) {
  for (int64_t j = 0; j < count; ++j) {
    const bool inside = keys[j] >= 0 && keys[j] < s.capacity;
    if (inside)
      std::memcpy(to + j * s.head_size, from + keys[j] * s.head_size,
                  static_cast<size_t>(s.head_size) * sizeof(W));
    else
      std::memset(static_cast<void*>(to + j * s.head_size), 0, static_cast<size_t>(s.head_size) * sizeof(W));
  }
}

// Computes the partial results of all chunks of all KV heads.
//   sets [G], q [G,queries,D] scaled and in the order of Pair (cpu/dot.h), partial [G,chunks,queries],
//   outs [G,chunks,queries,D], exponentials [G,chunks,queries,kChunk] or null
template <class W>
void Attend(Stream& stream, const AttentionShape& s, const Sight& sight, const KeySet* sets, int64_t chunks,
            const float* q, const W* k, const W* v, Partial* partial, float* outs, float* exponentials) {
  ParallelFor(stream, s.kv_heads * chunks, ChunksAtOnce(s, s.queries()), [&](int64_t begin, int64_t end) {
    alignas(64) float local[kQueries * kChunk];
    // Not on the stack, which some systems keep small for threads.
    alignas(64) static thread_local W rows_k[kChunk * kMaxSparseHeadSize];
    alignas(64) static thread_local W rows_v[kChunk * kMaxSparseHeadSize];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t g = i / chunks, from = i % chunks * kChunk;
      const KeySet& set = sets[g];
      int64_t keys = set.count - from;
      keys = keys < 0 ? 0 : keys > kChunk ? kChunk : keys;
      const int32_t *at_keys = set.keys + from, *at_bits = set.bits + from;
      Gather(k + g * s.capacity * s.head_size, at_keys, keys, s, rows_k);
      Gather(v + g * s.capacity * s.head_size, at_keys, keys, s, rows_v);
      for (int64_t m = 0; m < s.queries(); m += kQueries) {
        const int64_t queries = s.queries() - m < kQueries ? s.queries() - m : kQueries;
        const auto visible = [&](int64_t query, int64_t j) {
          return (sight.Rows(at_keys, at_bits, j) >> ((m + query) / s.per_kv_head()) & 1) != 0;
        };
        const int64_t at = i * s.queries() + m;
        AttendChunk(q + (g * s.queries() + m) * s.head_size, queries, rows_k, rows_v, keys, s.head_size,
                    visible, exponentials ? exponentials + at * kChunk : local, partial + at,
                    outs + at * s.head_size);
      }
    }
  });
}

// Makes weights [count,T,C] from the listed keys' exponentials and the factors [G,queries,chunks] that turn them into
// weights. count: the number of the layer's sets, 1 or G.
void Weights(Stream& stream, const AttentionShape& s, const Sight& sight, const KeySet* sets, int64_t count,
             int64_t chunks, const float* exponentials, const float* factor, float* weights) {
  const int64_t heads = s.heads / count;  // number of heads that read a set
  const float share = 1.0f / static_cast<float>(heads);
  ParallelFor(stream, count * s.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i / s.rows * heads, t = i % s.rows;
      float* row = weights + i * s.capacity;
      std::memset(row, 0, static_cast<size_t>(s.capacity) * 4);
      for (int64_t h = first; h < first + heads; ++h) {
        const int64_t g = h / s.per_kv_head(), m = t * s.per_kv_head() + h % s.per_kv_head();
        const KeySet& set = sets[g];
        for (int64_t j = 0; j < set.count; ++j) {
          // Keys that the row does not see stay 0, even if the row is NaN.
          if (!(sight.Rows(set.keys, set.bits, j) >> t & 1)) continue;
          const int64_t c = j / kChunk;
          row[set.keys[j]] += share * factor[(g * s.queries() + m) * chunks + c] *
                              exponentials[((g * chunks + c) * s.queries() + m) * kChunk + j % kChunk];
        }
      }
    }
  });
}

}  // namespace

Status SparseAttention(Stream& stream, const Args& args) {
  SparseAttentionCall call;
  SPECATTN_RETURN_IF_ERROR(CheckSparseAttention(args, &call));
  const Tensor &q = *call.q, &k = *call.k, &v = *call.v, &out = *call.out;
  const AttentionShape& s = call.shape;
  const int32_t *keys = call.keys->as<int32_t>(), *bits = call.bits->as<int32_t>();
  const int32_t* counts = call.counts->as<int32_t>();
  if (out.size() == 0) {
    if (call.weights) std::memset(call.weights->data, 0, call.weights->bytes());
    return Ok();
  }

  const int64_t position = call.position ? *call.position : 0;
  const Sight sight{s.capacity,
                    position < 0            ? 0
                    : position < s.capacity ? position
                                            : s.capacity,
                    call.window};
  const int64_t width = call.width;
  int64_t longest = 0;
  for (int64_t i = 0; i < call.sets; ++i) {
    const int64_t count = counts[call.first_set + i];
    longest = count > longest ? count : longest;
  }
  longest = longest > width ? width : longest;
  const int64_t chunks = longest > 0 ? (longest + kChunk - 1) / kChunk : 1;
  const int64_t queries = s.queries(), all = s.heads * s.rows;
  const int64_t floats = all * s.head_size + all * chunks * s.head_size + all * chunks +
                         (call.weights ? all * chunks * kChunk : 0);
  char* scratch = static_cast<char*>(stream.Scratch(static_cast<size_t>(floats) * 4 +
                                                    static_cast<size_t>(all * chunks) * sizeof(Partial) +
                                                    static_cast<size_t>(s.kv_heads) * sizeof(KeySet) + 64));
  SPECATTN_CHECK(scratch, "[SparseAttention] no scratch memory for %lld numbers",
                 static_cast<long long>(floats));
  KeySet* sets = reinterpret_cast<KeySet*>(scratch);
  float* packed =
      reinterpret_cast<float*>(scratch + (static_cast<size_t>(s.kv_heads) * sizeof(KeySet) + 63) / 64 * 64);
  float* outs = packed + all * s.head_size;
  float* factor = outs + all * chunks * s.head_size;
  float* exponentials = call.weights ? factor + all * chunks : nullptr;
  Partial* partial = reinterpret_cast<Partial*>(packed + floats);

  const int64_t per_kv_head = s.per_kv_head();
  for (int64_t g = 0; g < s.kv_heads; ++g) {
    const int64_t set = call.first_set + (call.sets == 1 ? 0 : g);
    const int64_t count = counts[set];
    sets[g] = {keys + set * width, bits + set * width, count > width ? width : count};
    for (int64_t m = 0; m < queries; ++m) {
      const float* from =
          q.as<float>() + (m / per_kv_head * s.heads + g * per_kv_head + m % per_kv_head) * s.head_size;
      float* to = packed + (g * queries + m) * s.head_size;
      Pair(from, call.scale, s.head_size, k.dtype == DType::kBFloat16, to);
    }
  }
  WithFloat(k.dtype, [&](auto element) {
    using W = decltype(element);
    Attend(stream, s, sight, sets, chunks, packed, k.as<W>(), v.as<W>(), partial, outs, exponentials);
  });
  for (int64_t i = 0; i < all; ++i) {
    const int64_t g = i / queries, m = i % queries, at = g * chunks * queries + m;
    Combine(partial + at, queries, outs + at * s.head_size, queries * s.head_size, chunks, s.head_size,
            factor + i * chunks,
            out.as<float>() + (m / per_kv_head * s.heads + g * per_kv_head + m % per_kv_head) * s.head_size);
  }
  if (call.weights)
    Weights(stream, s, sight, sets, call.sets, chunks, exponentials, factor, call.weights->as<float>());
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// CausalAttention on the CPU.
//
// Keys are cut into chunks that threads share (flash decoding). A chunk is read from memory once for all rows of a tile and
// all query heads of its KV head. The attention weights come from the same pass: the exponentials are kept, and scaled when
// the sum of the row is known.
#include "kernels/causal_attention.h"

#include "cpu/attention.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/with_float.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

// A tile of rows and its scratch memory. Query m of a KV head is row m / per_kv_head of the tile and head m % per_kv_head of
// those that read the KV head.
struct RowTile {
  int64_t first, rows;  // first row of the tile in q; number of rows
  int64_t position;     // position of the first row
  int64_t keys;         // one past the last key that the last row sees
  int64_t first_chunk;  // the chunk with the first key that the first row sees
  int64_t chunks;       // number of chunks from there to the last key
  int64_t queries;      // number of queries per KV head
  float* q;             // [G,queries,D] scaled, in the order of Pair (cpu/dot.h)
  float* outs;          // [G,chunks,queries,D] weighted sums of a chunk's values
  float* e;             // [G,chunks,queries,kChunk] exponentials; only if weights are asked for
  float* factor;        // [G,queries,chunks] factors that turn a chunk's exponentials into weights
  Partial* partial;     // [G,chunks,queries]
};

// The scratch memory of a tile, in floats.
int64_t FloatsOf(const CausalAttentionCall& call, int64_t rows, int64_t chunks) {
  constexpr int64_t kPartialFloats = sizeof(Partial) / sizeof(float);
  const int64_t a_chunk = call.shape.head_size + 1 + kPartialFloats + (call.weights ? kChunk : 0);
  return call.shape.heads * rows * (call.shape.head_size + chunks * a_chunk);
}

// Computes the partial results of all chunks: tile.partial and tile.outs, and tile.e if keep_e.
template <class W>
void Attend(Stream& stream, const AttentionShape& s, int64_t window, const RowTile& tile, const W* k,
            const W* v, bool keep_e) {
  ParallelFor(stream, s.kv_heads * tile.chunks, ChunksAtOnce(s, tile.queries),
              [&](int64_t begin, int64_t end) {
                alignas(64) float local[kQueries * kChunk];
                for (int64_t i = begin; i < end; ++i) {
                  const int64_t g = i / tile.chunks, from = (tile.first_chunk + i % tile.chunks) * kChunk;
                  const int64_t keys = tile.keys - from < kChunk ? tile.keys - from : kChunk;
                  const W* keys_at = k + (g * s.capacity + from) * s.head_size;
                  const W* values_at = v + (g * s.capacity + from) * s.head_size;
                  for (int64_t m = 0; m < tile.queries; m += kQueries) {
                    const int64_t queries = tile.queries - m < kQueries ? tile.queries - m : kQueries;
                    const auto visible = [&](int64_t query, int64_t j) {
                      const int64_t last = tile.position + (m + query) / s.per_kv_head();
                      return from + j <= last && from + j > last - window;
                    };
                    const int64_t at = i * tile.queries + m;
                    AttendChunk(tile.q + (g * tile.queries + m) * s.head_size, queries, keys_at, values_at,
                                keys, s.head_size, visible, keep_e ? tile.e + at * kChunk : local,
                                tile.partial + at, tile.outs + at * s.head_size);
                  }
                }
              });
}

// Writes the tile's rows of weights [weight_rows,T,C]: each is the mean over the heads that it stands for.
void Weights(Stream& stream, const CausalAttentionCall& call, const RowTile& tile) {
  const AttentionShape& s = call.shape;
  const int64_t outer = call.weight_rows;
  ParallelFor(stream, outer * tile.rows, tile.keys * s.heads * tile.rows < kGrainWork ? outer * tile.rows : 1,
              [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                  const int64_t t = i % tile.rows, r = i / tile.rows;
                  const HeadRange heads = HeadsOfRow(r, outer, call.heads, s.heads);
                  const float share = 1.0f / static_cast<float>(heads.end - heads.first);
                  float* row = call.weights->as<float>() + (r * s.rows + tile.first + t) * s.capacity;
                  std::memset(row, 0, static_cast<size_t>(s.capacity) * 4);
                  // Keys that the row does not see stay 0, even if the row is NaN.
                  const int64_t end = tile.position + t + 1, seen = end < tile.keys ? end : tile.keys;
                  const int64_t begin = end > call.window ? end - call.window : 0;
                  for (int64_t h = heads.first; h < heads.end; ++h) {
                    const int64_t g = h / s.per_kv_head(), m = t * s.per_kv_head() + h % s.per_kv_head();
                    for (int64_t c = 0; c < tile.chunks; ++c) {
                      const float factor = tile.factor[(g * tile.queries + m) * tile.chunks + c] * share;
                      const float* e = tile.e + ((g * tile.chunks + c) * tile.queries + m) * kChunk;
                      const int64_t from = (tile.first_chunk + c) * kChunk;
                      const int64_t keys = seen - from < kChunk ? seen - from : kChunk;
                      for (int64_t j = begin > from ? begin - from : 0; j < keys; ++j)
                        row[from + j] += factor * e[j];
                    }
                  }
                }
              });
}

}  // namespace

Status CausalAttention(Stream& stream, const Args& args) {
  CausalAttentionCall call;
  SPECATTN_RETURN_IF_ERROR(CheckCausalAttention(args, &call));
  const Tensor &q = *call.q, &k = *call.k, &v = *call.v, &out = *call.out;
  const AttentionShape& s = call.shape;
  if (call.empty()) {
    std::memset(out.data, 0, out.bytes());
    if (call.weights) std::memset(call.weights->data, 0, call.weights->bytes());
    return Ok();
  }

  const int32_t position = *call.position->as<int32_t>();
  const int64_t start = position < 0 ? 0 : position < s.capacity ? position : s.capacity;
  const int64_t per_kv_head = s.per_kv_head();
  const int64_t most_rows = s.rows < kTileTokens ? s.rows : kTileTokens;
  const int64_t most_keys = start + s.rows < s.capacity ? start + s.rows : s.capacity;
  // A tile's rows see window + rows - 1 keys at most, which lie in one chunk more than they fill, at most.
  const int64_t all_chunks = (most_keys + kChunk - 1) / kChunk,
                window_chunks = (call.window + most_rows) / kChunk + 2;
  const int64_t most_chunks = all_chunks < window_chunks ? all_chunks : window_chunks;
  float* const scratch = static_cast<float*>(
      stream.Scratch(static_cast<size_t>(FloatsOf(call, most_rows, most_chunks)) * sizeof(float)));
  SPECATTN_CHECK(scratch, "[CausalAttention] no scratch memory for %lld numbers",
                 static_cast<long long>(FloatsOf(call, most_rows, most_chunks)));
  for (int64_t first = 0; first < s.rows; first += kTileTokens) {
    RowTile tile{};
    tile.first = first;
    tile.rows = s.rows - first < kTileTokens ? s.rows - first : kTileTokens;
    tile.position = start + first;
    tile.keys = tile.position + tile.rows < s.capacity ? tile.position + tile.rows : s.capacity;
    const int64_t end_chunk = (tile.keys + kChunk - 1) / kChunk, first_seen = tile.position + 1 - call.window;
    tile.first_chunk = first_seen <= 0                   ? 0
                       : first_seen / kChunk < end_chunk ? first_seen / kChunk
                                                         : end_chunk - 1;
    tile.chunks = end_chunk - tile.first_chunk;
    tile.queries = tile.rows * per_kv_head;
    const int64_t all = s.heads * tile.rows;  // queries of all KV heads
    tile.q = scratch;
    tile.outs = tile.q + all * s.head_size;
    tile.factor = tile.outs + all * tile.chunks * s.head_size;
    tile.partial = reinterpret_cast<Partial*>(tile.factor + all * tile.chunks);
    tile.e = reinterpret_cast<float*>(tile.partial + all * tile.chunks);

    for (int64_t t = 0; t < tile.rows; ++t)
      for (int64_t h = 0; h < s.heads; ++h) {
        const float* from = q.as<float>() + ((first + t) * s.heads + h) * s.head_size;
        float* to =
            tile.q + (h / per_kv_head * tile.queries + t * per_kv_head + h % per_kv_head) * s.head_size;
        Pair(from, call.scale, s.head_size, k.dtype == DType::kBFloat16, to);
      }

    WithFloat(k.dtype, [&](auto element) {
      using W = decltype(element);
      Attend(stream, s, call.window, tile, k.as<W>(), v.as<W>(), call.weights != nullptr);
    });

    const int64_t combine_work = tile.chunks * (s.head_size + 1);
    ParallelFor(stream, all, combine_work * all < kGrainWork ? all : 1 + kGrainWork / combine_work / 2,
                [&](int64_t begin, int64_t end) {
                  for (int64_t i = begin; i < end; ++i) {
                    const int64_t g = i / tile.queries, m = i % tile.queries;
                    const int64_t at = g * tile.chunks * tile.queries + m;
                    const int64_t t = m / per_kv_head, h = g * per_kv_head + m % per_kv_head;
                    Combine(tile.partial + at, tile.queries, tile.outs + at * s.head_size,
                            tile.queries * s.head_size, tile.chunks, s.head_size,
                            tile.factor + i * tile.chunks,
                            out.as<float>() + ((first + t) * s.heads + h) * s.head_size);
                  }
                });
    if (call.weights) Weights(stream, call, tile);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

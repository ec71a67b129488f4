// Attention of few queries over many keys: CausalAttention of a decoding step, and SparseAttention. Its time is limited by
// memory, so kernels read each key once for as many queries as they can hold.
//
// The keys of a KV head, all of them or a list, are cut into chunks. Chunks start at fixed places, whatever the number of
// rows and keys. They grow with their place in the list, from 64 keys to 512, so that short contexts occupy the whole GPU
// and long ones leave few partial results. Each chunk gives each query a partial result: a reference, the sum of the
// exponentials relative to it, and the sum over the values weighted by them. Partial results are combined in a fixed
// order. So a query's result depends neither on the other queries nor on its place in the block.
//
// DecodeMma computes partial results on the tensor cores, for bfloat16 or float16 caches with heads of up to 128 columns.
// It reads each key once for up to 24 queries, or 48 if heads have up to 64 columns. Thread blocks get equal shares of the
// chunks and stream their tiles of 64 keys through a ring in shared memory. Queries and exponentials are split into a
// rounded part and its remainder, two halves of one product, which keeps 16 bits of them or more.
//
// DecodeSimt computes partial results for all other types and head sizes.
//
// Combine computes each query's output from its partial results. The last block of a KV head could do that without another
// kernel, but counting blocks and waiting for one block took longer than a kernel that starts early.
//
// If a call returns attention weights, these kernels leave its scores, and the softmax is deferred (deferred_softmax.h).
#pragma once
#include "core/attention_shape.h"
#include "gpu/attention/decode_mma.cuh"
#include "gpu/attention/decode_simt.cuh"
#include "gpu/attention/deferred_softmax.h"

namespace specattn {
namespace gpu {
namespace {

// Combines the stats of a query's chunks into its reference and the reciprocal of its sum, which every lane gets. Loads of
// 128 chunks are in flight at once.
__device__ __forceinline__ float2 CombineStats(const float2* stats, int chunks) {
  constexpr int kBatch = 4;  // chunks that a lane loads at once
  const int lane = threadIdx.x % kWarp;
  float reference = -INFINITY, sum = 0;
#pragma unroll 1
  for (int first = 0; first < chunks; first += kBatch * kWarp) {
    float2 partial[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int c = first + i * kWarp + lane;
      partial[i] = c < chunks ? __ldcg(stats + c) : make_float2(-INFINITY, 0);
    }
    const float old = reference;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) reference = fmaxf(reference, partial[i].x);
    sum *= Relative(old, reference);
#pragma unroll
    for (int i = 0; i < kBatch; ++i) sum = fmaf(Relative(partial[i].x, reference), partial[i].y, sum);
  }
  const float maximum = WarpReduce(reference, Maximum{});
  const float total = WarpReduce(sum * Relative(reference, maximum), Plus{});
  // A query that sees no key gives zeros. A NaN score has become a NaN sum, which must stay NaN.
  return make_float2(maximum, total == 0 ? 0.0f : 1.0f / total);
}

constexpr int kPartColumns = 64;  // columns of a query's output that a warp combines
// Small blocks fit on a multiprocessor beside those of DecodeMma, so that they are resident when those end.
constexpr int kCombineThreads = 128;

// The parts of a query's output. At least one, since a query has totals even if its head has no columns.
__host__ __device__ constexpr int PartsOf(int head_size) {
  return head_size > kPartColumns ? CeilDiv(head_size, kPartColumns) : 1;
}

// A warp computes one part, 64 columns, of one query's output. A lane holds four neighbouring columns; the two halves of the
// warp take the even and the odd chunks.
template <bool kListed>
__global__ void __launch_bounds__(kCombineThreads, 8) Combine(const DecodeParams d) {
  constexpr int kHalf = kWarp / 2, kBatch = kWarp / 4, kWarps = kCombineThreads / kWarp;
  const int lane = threadIdx.x % kWarp, half = lane / kHalf, parts = PartsOf(d.head_size);
  const int64_t unit = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  WaitForPrevious();
  LetNextStart();
  if (unit >= static_cast<int64_t>(d.kv_heads) * d.queries * parts) return;
  const int part = static_cast<int>(unit % parts), query = static_cast<int>(unit / parts % d.queries);
  const int kv_head = static_cast<int>(unit / parts / d.queries);
  const int chunks = ChunkLayout{d.chunks_per_size}.CountOf(TilesOf(KeysOf<kListed>(d, kv_head)));

  const int at = part * kPartColumns + lane % kHalf * 4;
  const int64_t row = static_cast<int64_t>(kv_head) * d.queries + query;
  const float2* stats = d.chunk_stats + row * d.chunks;
  const float* outs = d.chunk_outs + row * d.chunks * d.out_stride + at;
  const bool inside = at < d.out_stride;
  float4 x[kBatch];
  const auto load = [&](int first) {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int c = first + 2 * i + half;
      x[i] = inside && c < chunks
                 ? __ldcg(reinterpret_cast<const float4*>(outs + static_cast<int64_t>(c) * d.out_stride))
                 : make_float4(0, 0, 0, 0);
    }
  };
  load(0);  // in flight while CombineStats runs
  const float2 totals = CombineStats(stats, chunks);
  if (d.totals && part == 0 && lane == 0) d.totals[row] = totals;
  float4 sum = make_float4(0, 0, 0, 0);
  for (int first = 0; first < chunks; first += 2 * kBatch) {
    if (first) load(first);
    const int lane_chunk = first + lane % (2 * kBatch);
    const float factor = lane_chunk < chunks ? Relative(__ldcg(stats + lane_chunk).x, totals.x) : 0.0f;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const float f = __shfl_sync(kAllLanes, factor, 2 * i + half);
      if (f != 0) {  // a factor of 0 must cancel infinities and NaN too
        sum.x = fmaf(f, x[i].x, sum.x);
        sum.y = fmaf(f, x[i].y, sum.y);
        sum.z = fmaf(f, x[i].z, sum.z);
        sum.w = fmaf(f, x[i].w, sum.w);
      }
    }
  }
  const float values[4] = {sum.x, sum.y, sum.z, sum.w};
  const int t = query / d.heads_per_kv_head, h = kv_head * d.heads_per_kv_head + query % d.heads_per_kv_head;
  float* to = d.out + (static_cast<int64_t>(t) * d.heads + h) * d.head_size;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float value = (values[i] + __shfl_xor_sync(kAllLanes, values[i], kHalf)) * totals.y;
    if (half == 0 && at + i < d.head_size) to[at + i] = value;
  }
}

// A launcher's tensors and attributes. They must be checked, and no tensor may be empty.
struct DecodeCall {
  const char* op;
  AttentionShape shape;
  float scale;
  const Tensor *q, *k, *v, *out;
  const int32_t* position = nullptr;      // null in sparse attention without a window
  int64_t window = kNoWindow;             // how many keys back a row sees
  const Tensor* weights = nullptr;        // null: none are returned
  int64_t weight_rows = 0;                // see DeferredSoftmax
  const int32_t* weight_heads = nullptr;  // causal attention with chosen heads, else null
  // Sparse attention, else null: the lists from this layer's first set on.
  const int32_t *keys = nullptr, *bits = nullptr, *counts = nullptr;
  int64_t width = 0;             // entries of a list
  bool set_per_kv_head = false;  // one list for each KV head, else one for all
};

// Queues DecodeMma with as many stages as fit. `static_bytes` are those of a block's shared memory that are not dynamic.
template <class W, int kSize, bool kListed, int kMaxWarps>
Status LaunchMma(CudaStream& stream, const char* op, DecodeParams* d, int query_warps, int64_t static_bytes) {
  constexpr int kRing = kStages<kSize, kMaxWarps>;
  const int64_t wanted = static_bytes + SharedBytes<kSize>(kListed, query_warps, kRing);
  d->stages = wanted <= stream.shared_bytes_per_block() ? kRing : kMinStages;
  const int64_t tiles =
      static_cast<int64_t>(d->kv_heads) * d->passes * CeilDiv(kListed ? d->width : d->capacity, kTile);
  const int64_t resident_blocks = int64_t{stream.processors()} * kBlocksPerProcessor<kSize, kMaxWarps>;
  const int blocks = static_cast<int>(tiles < resident_blocks ? tiles : resident_blocks);
  return LaunchKernel(stream, op, Start::kEarly, DecodeMma<W, kSize, kListed, kMaxWarps>, dim3(blocks),
                      dim3(query_warps * kKeyWarps * kWarp),
                      static_cast<size_t>(SharedBytes<kSize>(kListed, query_warps, d->stages)), *d);
}

template <class W, int kSize, bool kListed>
Status LaunchMma(CudaStream& stream, const char* op, DecodeParams* d, int query_warps, int64_t static_bytes) {
  return query_warps == 1
             ? LaunchMma<W, kSize, kListed, 1>(stream, op, d, query_warps, static_bytes)
             : LaunchMma<W, kSize, kListed, kMaxQueryWarps>(stream, op, d, query_warps, static_bytes);
}

// Queues the kernels of one call. kListed: sparse attention.
template <bool kListed>
Status DecodeAttention(CudaStream& stream, const DecodeCall& call) {
  const AttentionShape& s = call.shape;
  const int64_t max_index = (int64_t{1} << 31) - 1 - 4 * kTile, max_keys = kListed ? call.width : s.capacity;
  SPECATTN_CHECK(s.capacity <= max_index && max_keys <= max_index &&
                     s.heads * s.rows * CeilDiv(s.capacity, int64_t{256}) <= max_index,
                 "[%s] %lld keys are too many", call.op, static_cast<long long>(s.capacity));
  const int64_t slices = s.rows * CeilDiv(s.capacity, int64_t{256});
  SPECATTN_CHECK(call.weight_rows <= max_index / (slices > 0 ? slices : 1),
                 "[%s] %lld rows of weights over %lld keys are too many", call.op,
                 static_cast<long long>(call.weight_rows), static_cast<long long>(s.capacity));
  DecodeParams d{};
  d.q = call.q->as<float>();
  d.k = call.k->data;
  d.v = call.v->data;
  d.out = call.out->as<float>();
  d.scale = call.scale * 1.44269504f;
  d.rows = static_cast<int>(s.rows);
  d.heads = static_cast<int>(s.heads);
  d.kv_heads = static_cast<int>(s.kv_heads);
  d.heads_per_kv_head = static_cast<int>(s.per_kv_head());
  d.queries = static_cast<int>(s.queries());
  d.head_size = static_cast<int>(s.head_size);
  d.capacity = static_cast<int>(s.capacity);
  if (kListed) {
    d.keys = call.keys;
    d.bits = call.bits;
    d.counts = call.counts;
    d.width = static_cast<int>(call.width);
    d.set_per_kv_head = call.set_per_kv_head;
    d.early = stream.Settled(d.keys) && stream.Settled(d.bits) && stream.Settled(d.counts) &&
              (!call.position || stream.Settled(call.position));
  } else {
    d.early = stream.Settled(call.position);
  }
  d.position = call.position;
  d.window = static_cast<int>(call.window);
  const int32_t *k_below = stream.SettledBelow(d.k), *v_below = stream.SettledBelow(d.v);
  if (stream.Settled(d.k) && stream.Settled(d.v))
    d.settled = INT32_MAX;
  else if (k_below == v_below && k_below && stream.Settled(k_below))
    d.settled_below = k_below;
  constexpr int kWantedChunks = 128;  // chunks of one size, of all KV heads together, that keep a GPU busy
  d.chunks_per_size = kWantedChunks / d.kv_heads > 1 ? kWantedChunks / d.kv_heads : 1;
  d.chunks = ChunkLayout{d.chunks_per_size}.CountOf(static_cast<int>(CeilDiv(max_keys, int64_t{kTile})));
  d.out_stride = CeilDiv(d.head_size, 4) * 4;
  d.score_stride = static_cast<int>(CeilDiv(max_keys, int64_t{kTile}) * kTile);

  // DecodeMma copies rows in pieces of 16 bytes, and counts rows and tiles in 32 bits.
  const auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  bool tensor_cores = call.k->dtype != DType::kFloat32 && d.head_size % 8 == 0 && d.head_size > 0 &&
                      d.head_size <= 128 && s.kv_heads * s.capacity <= max_index && aligned(d.q) &&
                      aligned(d.k) && aligned(d.v);
  const bool narrow = d.head_size <= 64;
  int query_warps = 0;
  // An upper bound of DecodeMma's static shared memory and the 1 KB that the system reserves in each block.
  constexpr int64_t kStaticBytes = 4 << 10;
  if (tensor_cores) {
    const int warps = CeilDiv(CeilDiv(d.queries, kTileQueries), narrow ? kQueryTiles<64> : kQueryTiles<128>);
    const auto fits = [&](int n) {
      return kStaticBytes + (narrow ? SharedBytes<64>(kListed, n, kMinStages)
                                    : SharedBytes<128>(kListed, n, kMinStages)) <=
             stream.shared_bytes_per_block();
    };
    int limit = kMaxQueryWarps;
    while (limit > 0 && !fits(limit)) --limit;
    tensor_cores = limit > 0;
    if (tensor_cores) {
      d.passes = CeilDiv(warps, limit);
      query_warps = CeilDiv(warps, d.passes);
      tensor_cores = s.kv_heads * d.passes * CeilDiv(max_keys, int64_t{kTile}) <= max_index;
    }
  }

  const auto align = [](int64_t bytes) { return CeilDiv(bytes, int64_t{256}) * 256; };
  const int64_t all_queries = s.heads * s.rows;
  const int64_t stats_bytes = align(all_queries * d.chunks * 8),
                outs_bytes = all_queries * d.chunks * d.out_stride * 4;
  char* const scratch = static_cast<char*>(stream.Scratch(static_cast<size_t>(stats_bytes + outs_bytes)));
  SPECATTN_CHECK(scratch, "[%s] no scratch memory for %lld bytes", call.op,
                 static_cast<long long>(stats_bytes + outs_bytes));
  d.chunk_stats = reinterpret_cast<float2*>(scratch);
  d.chunk_outs = reinterpret_cast<float*>(scratch + stats_bytes);
  if (call.weights) {
    const int64_t totals_bytes = align(all_queries * 8), scores_bytes = all_queries * d.score_stride * 4;
    void* memory = nullptr;
    SPECATTN_RETURN_IF_ERROR(
        stream.AllocateScores(static_cast<size_t>(totals_bytes + scores_bytes), &memory));
    SPECATTN_CHECK(memory, "[%s] no memory for %lld bytes of scores", call.op,
                   static_cast<long long>(totals_bytes + scores_bytes));
    d.totals = static_cast<float2*>(memory);
    d.scores = reinterpret_cast<float*>(static_cast<char*>(memory) + totals_bytes);
  }

  if (tensor_cores) {
    const auto launch = [&](auto element) {
      using W = decltype(element);
      return narrow ? LaunchMma<W, 64, kListed>(stream, call.op, &d, query_warps, kStaticBytes)
                    : LaunchMma<W, 128, kListed>(stream, call.op, &d, query_warps, kStaticBytes);
    };
    SPECATTN_RETURN_IF_ERROR(call.k->dtype == DType::kBFloat16 ? launch(BFloat16{}) : launch(Float16{}));
  } else {
    const int64_t items = int64_t{d.kv_heads} * d.chunks, blocks = int64_t{stream.processors()} * 8;
    SPECATTN_RETURN_IF_ERROR(WithFloat(call.k->dtype, [&](auto element) {
      return LaunchKernel(stream, call.op, Start::kEarly, DecodeSimt<decltype(element), kListed>,
                          dim3(static_cast<unsigned>(items < blocks ? items : blocks)), dim3(kSimtThreads), 0,
                          d);
    }));
  }
  const int64_t warps = all_queries * PartsOf(d.head_size),
                blocks = CeilDiv(warps, int64_t{kCombineThreads / kWarp});
  SPECATTN_RETURN_IF_ERROR(LaunchKernel(stream, call.op, Start::kEarly, Combine<kListed>,
                                        dim3(static_cast<unsigned>(blocks)), dim3(kCombineThreads), 0, d));
  if (!call.weights) return Ok();
  DeferredSoftmax deferred{};
  deferred.weights = call.weights->as<float>();
  deferred.scores = d.scores;
  deferred.totals = d.totals;
  deferred.position = d.position;
  deferred.window = d.window;
  deferred.keys = d.keys;
  deferred.bits = d.bits;
  deferred.counts = d.counts;
  deferred.rows = d.rows;
  deferred.heads = d.heads;
  deferred.kv_heads = d.kv_heads;
  deferred.capacity = d.capacity;
  deferred.width = d.width;
  deferred.score_stride = d.score_stride;
  deferred.weight_rows = static_cast<int>(call.weight_rows);
  deferred.weight_heads = call.weight_heads;
  deferred.set_per_kv_head = call.set_per_kv_head;
  stream.DeferSoftmax(deferred);
  return Ok();
}

}  // namespace
}  // namespace gpu
}  // namespace specattn

// Attention of few queries over many keys: what CausalAttention of a decoding step and SparseAttention share. Memory
// is the limit: a group's keys are read once for all its queries (up to 32 or 64 of them, else once for each as many).
//
// The keys of a group, or its list of them, are cut into chunks that start at fixed places, whatever the number of
// rows and keys, and each gives a partial result: the reference that exponentials are taken relative to, their sum, and
// the sum over values. Chunks grow with their place in the list, from 64 keys to 512, so that short contexts occupy
// the whole GPU and long ones leave few partial results. These are combined in their order. A query's result depends
// neither on the other queries nor on where in the block it is.
//
//   DecodeMma    keys of bfloat16 or float16, heads up to 128, on the tensor cores. Blocks take equal runs of tiles
//                 of 64 keys, whole chunks each, through a ring of tiles in shared memory. Queries and exponentials are split
//                 into a rounded part and its rest, rows 0-7 and 8-15 of a product, which restores float32's accuracy.
//   DecodeSimt   every other type and size.
//   Combine       makes a query's output of its partial results. (A group's last block could do it instead: counting blocks and
//                 one block's turns took longer than a kernel that starts early.)
//
// Where weights are asked for, the scores stay until somebody is about to look (weigh.h).
#pragma once
#include "core/attention_shape.h"
#include "gpu/attention/decode_mma.cuh"
#include "gpu/attention/decode_simt.cuh"
#include "gpu/attention/deferred_softmax.h"

namespace specattn {
namespace gpu {
namespace {

// Reference and one over the sum of a query, from its chunks' stats; every lane gets them. All their loads are under way at once.
__device__ __forceinline__ float2 CombineStats(const float2* stats, int chunks) {
  constexpr int kBatch = 4;  // of a query's chunks that a lane takes at once
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
  const float most = WarpReduce(reference, Maximum{});
  const float total = WarpReduce(sum * Relative(reference, most), Plus{});
  // A NaN score reaches here as a NaN sum and must show; a query that sees nothing gives zeros.
  return make_float2(most, total == 0 ? 0.0f : 1.0f / total);
}

constexpr int kPart = 64;  // numbers of a query's output that a warp combines
// A block of so few fits beside DecodeMma's, and is there when they end.
constexpr int kCombineThreads = 128;

// At least one: a query of no numbers has totals.
__host__ __device__ constexpr int PartsOf(int head_size) {
  return head_size > kPart ? CeilDiv(head_size, kPart) : 1;
}

// A warp out[query, part * 64 ...]: lanes of a half hold four neighbours each, the halves take chunks in turns.
template <bool kListed>
__global__ void __launch_bounds__(kCombineThreads, 8) Combine(const Decode d) {
  constexpr int kHalf = kWarp / 2, kBatch = kWarp / 4, kWarps = kCombineThreads / kWarp;
  const int lane = threadIdx.x % kWarp, half = lane / kHalf, parts = PartsOf(d.head_size);
  const int64_t unit = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  WaitForPrevious();
  LetNextStart();
  if (unit >= static_cast<int64_t>(d.groups) * d.queries * parts) return;
  const int part = static_cast<int>(unit % parts), query = static_cast<int>(unit / parts % d.queries);
  const int group = static_cast<int>(unit / parts / d.queries);
  const int chunks = Chunks{d.small}.Before(TilesOf(KeysOf<kListed>(d, group)));

  const int at = part * kPart + lane % kHalf * 4;
  const int64_t row = static_cast<int64_t>(group) * d.queries + query;
  const float2* stats = d.stats + row * d.chunks;
  const float* outs = d.outs + row * d.chunks * d.out_stride + at;
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
  load(0);  // under way while the stats are looked at
  const float2 all = CombineStats(stats, chunks);
  if (d.totals && part == 0 && lane == 0) d.totals[row] = all;
  float4 sum = make_float4(0, 0, 0, 0);
  for (int first = 0; first < chunks; first += 2 * kBatch) {
    if (first) load(first);
    const int own = first + lane % (2 * kBatch);
    const float factor = own < chunks ? Relative(__ldcg(stats + own).x, all.x) : 0.0f;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const float f = __shfl_sync(kAllLanes, factor, 2 * i + half);
      if (f != 0) {  // 0 times what is not finite must be nothing
        sum.x = fmaf(f, x[i].x, sum.x);
        sum.y = fmaf(f, x[i].y, sum.y);
        sum.z = fmaf(f, x[i].z, sum.z);
        sum.w = fmaf(f, x[i].w, sum.w);
      }
    }
  }
  const float values[4] = {sum.x, sum.y, sum.z, sum.w};
  const int t = query / d.per_group, h = group * d.per_group + query % d.per_group;
  float* to = d.out + (static_cast<int64_t>(t) * d.heads + h) * d.head_size;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float value = (values[i] + __shfl_xor_sync(kAllLanes, values[i], kHalf)) * all.y;
    if (half == 0 && at + i < d.head_size) to[at + i] = value;
  }
}

// What a launcher says: its tensors and attributes, checked and not empty. Of the sparse, first sets.
struct DecodeCall {
  const char* op;
  AttentionShape shape;
  float scale;
  const Tensor *q, *k, *v, *out;
  const Tensor* position = nullptr;                                   // causal
  const Tensor* weights = nullptr;                                    // or null
  int64_t weight_rows = 0;                                            // see DeferredSoftmax
  const int32_t* weight_heads = nullptr;                              // of causal weights
  const int32_t *keys = nullptr, *bits = nullptr, *counts = nullptr;  // sparse
  int64_t width = 0;
  bool set_a_group = false;
};

template <class W, int kSize, bool kListed, int kMost>
Status LaunchHalf(CudaStream& stream, const char* op, Decode* d, int query_warps, int64_t static_bytes) {
  constexpr int kRing = kStages<kSize, kMost>;
  const int64_t wanted = static_bytes + SharedBytes<kSize>(kListed, query_warps, kRing);
  d->stages = wanted <= stream.shared_bytes_per_block() ? kRing : kFewStages;
  const int64_t tiles =
      static_cast<int64_t>(d->groups) * d->passes * CeilDiv(kListed ? d->width : d->capacity, kTile);
  const int64_t places = int64_t{stream.processors()} * kBlocks<kSize, kMost>;
  const int blocks = static_cast<int>(tiles < places ? tiles : places);
  return LaunchKernel(stream, op, Start::kEarly, DecodeMma<W, kSize, kListed, kMost>, dim3(blocks),
                      dim3(query_warps * kKeyWarps * kWarp),
                      static_cast<size_t>(SharedBytes<kSize>(kListed, query_warps, d->stages)), *d);
}

template <class W, int kSize, bool kListed>
Status LaunchHalf(CudaStream& stream, const char* op, Decode* d, int query_warps, int64_t static_bytes) {
  return query_warps == 1
             ? LaunchHalf<W, kSize, kListed, 1>(stream, op, d, query_warps, static_bytes)
             : LaunchHalf<W, kSize, kListed, kMostQueryWarps>(stream, op, d, query_warps, static_bytes);
}

template <bool kListed>
Status DecodeAttention(CudaStream& stream, const DecodeCall& call) {
  const AttentionShape& s = call.shape;
  const int64_t most = (int64_t{1} << 31) - 1 - 4 * kTile, list = kListed ? call.width : s.capacity;
  SPECATTN_CHECK(
      s.capacity <= most && list <= most && s.heads * s.rows * CeilDiv(s.capacity, int64_t{256}) <= most,
      "[%s] %lld keys are too many", call.op, static_cast<long long>(s.capacity));
  const int64_t slices = s.rows * CeilDiv(s.capacity, int64_t{256});
  SPECATTN_CHECK(call.weight_rows <= most / (slices > 0 ? slices : 1),
                 "[%s] %lld rows of weights over %lld keys are too many", call.op,
                 static_cast<long long>(call.weight_rows), static_cast<long long>(s.capacity));
  Decode d{};
  d.q = call.q->as<float>();
  d.k = call.k->data;
  d.v = call.v->data;
  d.out = call.out->as<float>();
  d.scale = call.scale * 1.44269504f;
  d.rows = static_cast<int>(s.rows);
  d.heads = static_cast<int>(s.heads);
  d.groups = static_cast<int>(s.groups);
  d.per_group = static_cast<int>(s.per_group());
  d.queries = static_cast<int>(s.queries());
  d.head_size = static_cast<int>(s.head_size);
  d.capacity = static_cast<int>(s.capacity);
  if (kListed) {
    d.keys = call.keys;
    d.bits = call.bits;
    d.counts = call.counts;
    d.width = static_cast<int>(call.width);
    d.set_a_group = call.set_a_group;
    d.early = stream.Settled(d.keys) && stream.Settled(d.bits) && stream.Settled(d.counts);
  } else {
    d.position = call.position->as<int32_t>();
    d.early = stream.Settled(d.position);
  }
  const int32_t *k_below = stream.SettledBelow(d.k), *v_below = stream.SettledBelow(d.v);
  if (stream.Settled(d.k) && stream.Settled(d.v))
    d.settled = INT32_MAX;
  else if (k_below == v_below && k_below && stream.Settled(k_below))
    d.settled_below = k_below;
  constexpr int kItems = 128;  // that keep a GPU busy
  d.small = kItems / d.groups > 1 ? kItems / d.groups : 1;
  d.chunks = Chunks{d.small}.Before(static_cast<int>(CeilDiv(list, int64_t{kTile})));
  d.out_stride = CeilDiv(d.head_size, 4) * 4;
  d.score_stride = static_cast<int>(CeilDiv(list, int64_t{kTile}) * kTile);

  // On the tensor cores: rows of whole 16-byte pieces, numbers of rows and tiles that fit an int.
  const auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  bool half = call.k->dtype != DType::kFloat32 && d.head_size % 8 == 0 && d.head_size > 0 &&
              d.head_size <= 128 && s.groups * s.capacity <= most && aligned(d.q) && aligned(d.k) &&
              aligned(d.v);
  const bool small = d.head_size <= 64;
  int query_warps = 0;
  constexpr int64_t kStaticBytes = 4 << 10;  // no less than what DecodeMma declares, and the system's 1 KB
  if (half) {
    const int warps = CeilDiv(CeilDiv(d.queries, kTileQueries), small ? kQueryTiles<64> : kQueryTiles<128>);
    const auto fits = [&](int n) {
      return kStaticBytes + (small ? SharedBytes<64>(kListed, n, kFewStages)
                                   : SharedBytes<128>(kListed, n, kFewStages)) <=
             stream.shared_bytes_per_block();
    };
    int limit = kMostQueryWarps;
    while (limit > 0 && !fits(limit)) --limit;
    half = limit > 0;
    if (half) {
      d.passes = CeilDiv(warps, limit);
      query_warps = CeilDiv(warps, d.passes);
      half = s.groups * d.passes * CeilDiv(list, int64_t{kTile}) <= most;
    }
  }

  const auto align = [](int64_t bytes) { return CeilDiv(bytes, int64_t{256}) * 256; };
  const int64_t all = s.heads * s.rows;
  const int64_t stats_bytes = align(all * d.chunks * 8), outs_bytes = all * d.chunks * d.out_stride * 4;
  char* const scratch = static_cast<char*>(stream.Scratch(static_cast<size_t>(stats_bytes + outs_bytes)));
  SPECATTN_CHECK(scratch, "[%s] no scratch memory for %lld bytes", call.op,
                 static_cast<long long>(stats_bytes + outs_bytes));
  d.stats = reinterpret_cast<float2*>(scratch);
  d.outs = reinterpret_cast<float*>(scratch + stats_bytes);
  if (call.weights) {
    const int64_t totals_bytes = align(all * 8), scores_bytes = all * d.score_stride * 4;
    void* kept = nullptr;
    SPECATTN_RETURN_IF_ERROR(stream.AllocateScores(static_cast<size_t>(totals_bytes + scores_bytes), &kept));
    SPECATTN_CHECK(kept, "[%s] no memory for %lld bytes of scores", call.op,
                   static_cast<long long>(totals_bytes + scores_bytes));
    d.totals = static_cast<float2*>(kept);
    d.scores = reinterpret_cast<float*>(static_cast<char*>(kept) + totals_bytes);
  }

  if (half) {
    const auto launch = [&](auto element) {
      using W = decltype(element);
      return small ? LaunchHalf<W, 64, kListed>(stream, call.op, &d, query_warps, kStaticBytes)
                   : LaunchHalf<W, 128, kListed>(stream, call.op, &d, query_warps, kStaticBytes);
    };
    SPECATTN_RETURN_IF_ERROR(call.k->dtype == DType::kBFloat16 ? launch(BFloat16{}) : launch(Float16{}));
  } else {
    const int64_t items = int64_t{d.groups} * d.chunks, blocks = int64_t{stream.processors()} * 8;
    SPECATTN_RETURN_IF_ERROR(WithFloat(call.k->dtype, [&](auto element) {
      return LaunchKernel(stream, call.op, Start::kEarly, DecodeSimt<decltype(element), kListed>,
                          dim3(static_cast<unsigned>(items < blocks ? items : blocks)), dim3(kPlainThreads),
                          0, d);
    }));
  }
  const int64_t warps = all * PartsOf(d.head_size), blocks = CeilDiv(warps, int64_t{kCombineThreads / kWarp});
  SPECATTN_RETURN_IF_ERROR(LaunchKernel(stream, call.op, Start::kEarly, Combine<kListed>,
                                        dim3(static_cast<unsigned>(blocks)), dim3(kCombineThreads), 0, d));
  if (!call.weights) return Ok();
  DeferredSoftmax deferred{};
  deferred.weights = call.weights->as<float>();
  deferred.scores = d.scores;
  deferred.totals = d.totals;
  deferred.position = d.position;
  deferred.keys = d.keys;
  deferred.bits = d.bits;
  deferred.counts = d.counts;
  deferred.rows = d.rows;
  deferred.heads = d.heads;
  deferred.groups = d.groups;
  deferred.capacity = d.capacity;
  deferred.width = d.width;
  deferred.score_stride = d.score_stride;
  deferred.weight_rows = static_cast<int>(call.weight_rows);
  deferred.weight_heads = call.weight_heads;
  deferred.set_a_group = call.set_a_group;
  stream.DeferSoftmax(deferred);
  return Ok();
}

}  // namespace
}  // namespace gpu
}  // namespace specattn

// Attention of few queries over many keys: what CausalAttention of a decoding step and SparseAttention share. Memory
// is the limit: a group's keys are read once for all its queries (up to 32 or 64 of them, else once for each as many).
//
// The keys of a group, or its list of them, are cut into chunks that start at fixed places, whatever the number of
// rows and keys, and each gives a partial result: the reference that exponentials are taken relative to, their sum, and
// the sum over values. Chunks grow with their place in the list, from 64 keys to 512, so that short contexts occupy
// the whole GPU and long ones leave few partial results. These are combined in their order. A query's result depends
// neither on the other queries nor on where in the block it is.
//
//   AttendHalf    keys of bfloat16 or float16, heads up to 128, on the tensor cores. Blocks take equal runs of tiles
//                 of 64 keys, whole chunks each, through a ring of tiles in shared memory. Queries and exponentials are split
//                 into a rounded part and its rest, rows 0-7 and 8-15 of a product, which restores float32's accuracy.
//   AttendPlain   every other type and size.
//   Finish        combines, and turns scores into weights. (A group's last block could combine instead: counting blocks and one
//                 block's turns took longer than a kernel that starts early.)
#pragma once
#include "../attention_shape.h"
#include "attend_half.cuh"
#include "attend_plain.cuh"

namespace specattn {
namespace gpu {
namespace {

// Threads of Finish's blocks. Without weights a block of it fits beside AttendHalf's, and is there when they end.
template <bool kWeights>
constexpr int kFinishThreads = kWeights ? 256 : 128;

// References and one over their sums of kCount queries, from their chunks' stats; every lane gets them. `stats_of(n)` is null
// of a query that doesn't exist. All their loads are under way at once.
template <int kCount, class StatsOf>
__device__ __forceinline__ void CombineStats(StatsOf stats_of, int chunks, float2 (&all)[kCount]) {
  constexpr int kBatch = 4;  // of a query's chunks that a lane takes at once
  const int lane = threadIdx.x % kWarp;
  float reference[kCount], sum[kCount];
#pragma unroll
  for (int n = 0; n < kCount; ++n) reference[n] = -INFINITY, sum[n] = 0;
#pragma unroll 1
  for (int first = 0; first < chunks; first += kBatch * kWarp) {
    float2 partial[kCount][kBatch];
#pragma unroll
    for (int n = 0; n < kCount; ++n) {
      const float2* const stats = stats_of(n);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int c = first + i * kWarp + lane;
        partial[n][i] = stats && c < chunks ? __ldcg(stats + c) : make_float2(-INFINITY, 0);
      }
    }
#pragma unroll
    for (int n = 0; n < kCount; ++n) {
      const float old = reference[n];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) reference[n] = fmaxf(reference[n], partial[n][i].x);
      sum[n] *= Relative(old, reference[n]);
#pragma unroll
      for (int i = 0; i < kBatch; ++i)
        sum[n] = fmaf(Relative(partial[n][i].x, reference[n]), partial[n][i].y, sum[n]);
    }
  }
#pragma unroll
  for (int n = 0; n < kCount; ++n) {
    const float most = WarpReduce(reference[n], Maximum{});
    const float total = WarpReduce(sum[n] * Relative(reference[n], most), Plus{});
    // A NaN score reaches here as a NaN sum and must show; a query that sees nothing gives zeros.
    all[n] = make_float2(most, total == 0 ? 0.0f : 1.0f / total);
  }
}

constexpr int kPart = 64;  // numbers of a query's output that a warp combines at once

// out[query, part * 64 ...] of a group's query: lanes of a half hold four neighbours each, the halves take chunks in turns.
__device__ __forceinline__ void Combine(const Decode& d, int group, int query, int part, int chunks) {
  constexpr int kHalf = kWarp / 2, kBatch = kWarp / 4;
  const int lane = threadIdx.x % kWarp, half = lane / kHalf, at = part * kPart + lane % kHalf * 4;
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
  float2 combined[1];
  CombineStats([&](int) { return stats; }, chunks, combined);
  const float2 all = combined[0];
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

// Where in a group's list, whose keys ascend, a key stands that row t sees; -1 where there is none.
__device__ __forceinline__ int PlaceOf(const Decode& d, int group, int key, int t) {
  const int64_t at = d.set_a_group ? static_cast<int64_t>(group) * d.width : 0;
  const int count = KeysOf<true>(d, group);
  int begin = 0, end = count;  // the first key that is not below `key` is in [begin, end]
  while (begin < end) {
    const int middle = (begin + end) / 2;
    if (d.keys[at + middle] < key)
      begin = middle + 1;
    else
      end = middle;
  }
  return begin < count && d.keys[at + begin] == key && (d.bits[at + begin] >> t & 1) ? begin : -1;
}

// Blocks 0 to `combining` - 1 combine, a warp a part of a query's output; each of the others turns the scores of
// as many keys as it has threads, of a row of the weights' [T] or [H,T], of listed keys [sets,T], into weights.
template <bool kListed, bool kWeights>
__global__ void __launch_bounds__(kFinishThreads<kWeights>, kWeights ? 2 : 8)
    Finish(const Decode d, int combining) {
  extern __shared__ float2 stats[];  // [heads]: reference, one over the sum
  constexpr int kThreads = kFinishThreads<kWeights>, kWarps = kThreads / kWarp;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  WaitForPrevious();
  LetNextStart();
  const auto chunks_of = [&](int group) {
    return Chunks{d.small}.Before(TilesOf(KeysOf<kListed>(d, group)));
  };
  if (!kWeights || blockIdx.x < static_cast<unsigned>(combining)) {
    const int parts = CeilDiv(d.head_size, kPart);
    const int64_t unit = static_cast<int64_t>(blockIdx.x) * kWarps + warp;
    if (unit >= static_cast<int64_t>(d.groups) * d.queries * parts) return;
    const int part = static_cast<int>(unit % parts), query = static_cast<int>(unit / parts % d.queries);
    const int group = static_cast<int>(unit / parts / d.queries);
    Combine(d, group, query, part, chunks_of(group));
    return;
  }
  const int slices = CeilDiv(d.capacity, kThreads), block = blockIdx.x - combining;
  const int row = block / slices, slice = block % slices, t = row % d.rows;
  const int count = kListed && d.set_a_group ? d.per_group : d.per_head ? 1 : d.heads;
  const int first = row / d.rows * count, group = first / d.per_group;
  const int key = slice * kThreads + static_cast<int>(threadIdx.x);
  int place, any;  // of the key's score, and whether the block has one that the row sees
  if constexpr (kListed) {
    place = key < d.capacity ? PlaceOf(d, group, key, t) : -1;
    any = __syncthreads_or(place >= 0);
  } else {
    const int sees = min(StartOf(d) + t + 1, d.capacity);
    place = key < sees ? key : -1;
    any = slice * kThreads < sees;
  }
  const auto query_of = [&](int h) -> int64_t {  // of all groups'
    return static_cast<int64_t>(h / d.per_group) * d.queries + t * d.per_group + h % d.per_group;
  };
  float weight = 0;
  if (any) {
    const int chunks = chunks_of(group);
    constexpr int kScores = 32, kQueries = 4;  // whose loads are under way at once
    float score[kScores];
    const auto load_scores = [&](int from) {
#pragma unroll
      for (int i = 0; i < kScores; ++i)
        score[i] = place >= 0 && from + i < count
                       ? __ldcg(d.scores + query_of(first + from + i) * d.score_stride + place)
                       : -INFINITY;
    };
    load_scores(0);
    for (int i = warp; i < count; i += kQueries * kWarps) {
      float2 all[kQueries];
      CombineStats(
          [&](int n) -> const float2* {
            const int of = i + n * kWarps;
            return of < count ? d.stats + query_of(first + of) * d.chunks : nullptr;
          },
          chunks, all);
#pragma unroll
      for (int n = 0; n < kQueries; ++n)
        if (lane == 0 && i + n * kWarps < count) stats[i + n * kWarps] = all[n];
    }
    __syncthreads();
    for (int from = 0; from < count; from += kScores) {
      if (from > 0) load_scores(from);
#pragma unroll
      for (int i = 0; i < kScores; ++i)
        if (from + i < count) weight += Relative(score[i], stats[from + i].x) * stats[from + i].y;
    }
    if (place < 0)
      weight = 0;
    else if (!d.per_head)
      weight *= 1.0f / static_cast<float>(count);
  }
  if (key < d.capacity) d.weights[static_cast<int64_t>(row) * d.capacity + key] = weight;
}

// What a launcher says: its tensors and attributes, checked and not empty. Of the sparse, first sets.
struct DecodeCall {
  const char* op;
  AttentionShape shape;
  float scale;
  const Tensor *q, *k, *v, *out;
  const Tensor* position = nullptr;                                   // causal
  const Tensor* weights = nullptr;                                    // or null
  bool per_head = false;                                              // of causal weights
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
  return LaunchKernel(stream, op, Start::kEarly, AttendHalf<W, kSize, kListed, kMost>, dim3(blocks),
                      dim3(query_warps * kKeyWarps * kWarp),
                      static_cast<size_t>(SharedBytes<kSize>(kListed, query_warps, d->stages)), *d);
}

template <class W, int kSize, bool kListed>
Status LaunchHalf(CudaStream& stream, const char* op, Decode* d, int query_warps, int64_t static_bytes) {
  return query_warps == 1
             ? LaunchHalf<W, kSize, kListed, 1>(stream, op, d, query_warps, static_bytes)
             : LaunchHalf<W, kSize, kListed, kMostQueryWarps>(stream, op, d, query_warps, static_bytes);
}

// `units`: parts of the queries' outputs.
template <bool kListed, bool kWeights>
Status LaunchFinish(CudaStream& stream, const DecodeCall& call, const Decode& d, int64_t units) {
  const AttentionShape& s = call.shape;
  constexpr int kThreads = kFinishThreads<kWeights>;
  const int64_t combining = CeilDiv(units, int64_t{kThreads / kWarp});
  const int64_t weight_rows = call.per_head ? s.heads : call.set_a_group ? s.groups : 1;
  const int64_t weighing = kWeights ? weight_rows * s.rows * CeilDiv(s.capacity, int64_t{kThreads}) : 0;
  if (combining + weighing == 0) return Ok();
  return LaunchKernel(stream, call.op, Start::kEarly, Finish<kListed, kWeights>,
                      dim3(static_cast<unsigned>(combining + weighing)), dim3(kThreads),
                      kWeights ? static_cast<size_t>(call.per_head ? 1 : s.heads) * sizeof(float2) : 0, d,
                      static_cast<int>(combining));
}

template <bool kListed>
Status DecodeAttention(CudaStream& stream, const DecodeCall& call) {
  const AttentionShape& s = call.shape;
  const int64_t most = (int64_t{1} << 31) - 1 - 4 * kTile, list = kListed ? call.width : s.capacity;
  SPECATTN_CHECK(
      s.capacity <= most && list <= most && s.heads * s.rows * CeilDiv(s.capacity, int64_t{256}) <= most,
      "[%s] %lld keys are too many", call.op, static_cast<long long>(s.capacity));
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
  d.per_head = call.per_head;

  // On the tensor cores: rows of whole 16-byte pieces, numbers of rows and tiles that fit an int.
  const auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  bool half = call.k->dtype != DType::kFloat32 && d.head_size % 8 == 0 && d.head_size > 0 &&
              d.head_size <= 128 && s.groups * s.capacity <= most && aligned(d.q) && aligned(d.k) &&
              aligned(d.v);
  const bool small = d.head_size <= 64;
  int query_warps = 0;
  constexpr int64_t kStaticBytes = 4 << 10;  // no less than what AttendHalf declares, and the system's 1 KB
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

  const int parts = CeilDiv(d.head_size, kPart);
  const auto align = [](int64_t bytes) { return CeilDiv(bytes, int64_t{256}) * 256; };
  const int64_t all = s.heads * s.rows;
  const int64_t stats_bytes = align(all * d.chunks * 8);
  const int64_t outs_bytes = align(all * d.chunks * d.out_stride * 4);
  const int64_t bytes = stats_bytes + outs_bytes + (call.weights ? all * d.score_stride * 4 : 0);
  char* const scratch = static_cast<char*>(stream.Scratch(static_cast<size_t>(bytes)));
  SPECATTN_CHECK(scratch, "[%s] no scratch memory for %lld bytes", call.op, static_cast<long long>(bytes));
  d.stats = reinterpret_cast<float2*>(scratch);
  d.outs = reinterpret_cast<float*>(scratch + stats_bytes);
  if (call.weights) {
    d.scores = reinterpret_cast<float*>(scratch + stats_bytes + outs_bytes);
    d.weights = call.weights->as<float>();
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
      return LaunchKernel(stream, call.op, Start::kEarly, AttendPlain<decltype(element), kListed>,
                          dim3(static_cast<unsigned>(items < blocks ? items : blocks)), dim3(kPlainThreads),
                          0, d);
    }));
  }
  return call.weights ? LaunchFinish<kListed, true>(stream, call, d, all * parts)
                      : LaunchFinish<kListed, false>(stream, call, d, all * parts);
}

}  // namespace
}  // namespace gpu
}  // namespace specattn

// SampleToken on CUDA. One block takes a row, or one cluster of blocks if the vocabulary is large. At temperature 0 it
// searches for the largest logit. At other temperatures the weights stay in the output `probabilities` until they are
// scaled, and gpu/nucleus/nucleus.cuh finds the cuts of top-k and top-p. The settings may be a tensor that only
// the device reads, so that one captured launch serves every answer.
#include "gpu/primitives/random.cuh"
#include "gpu/primitives/reduce.cuh"
#include "gpu/runtime/kernels.h"
#include "kernels/nucleus_row.cuh"
#include "kernels/sample_token.h"

namespace specattn {
namespace gpu {
namespace {

constexpr uint32_t kLowest = 0x007fffffu;  // Ordered(-inf)

// Maps floats to integers of the same order. Both zeros map to one integer; NaN maps to that of -inf.
__device__ __forceinline__ uint32_t Ordered(float x) {
  const uint32_t bits = __float_as_uint(x == 0 ? 0.0f : x);
  if (x != x) return kLowest;
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float FromOrdered(uint32_t x) {
  return __uint_as_float(x >> 31 != 0 ? x & 0x7fffffffu : ~x);
}

__device__ __forceinline__ void Store(float* row, int j, int n, bool aligned, const float (&x)[4]) {
  if (aligned) {
    StoreVec4<true>(row, j, n, x);
  } else {
    StoreVec4<false>(row, j, n, x);
  }
}

constexpr int kMostThreads = 512;  // more would leave each thread too few registers

struct SampleArgs {
  const float* logits;
  const int32_t *seed, *position;
  int32_t* token;
  float* probabilities;
  int size;
  const float* settings;  // or null: then `filters` hold
  Filters filters;
  uint32_t stream;
  double* sums;       // [T,chunks]: sums of probabilities that Draw searches
  uint32_t* columns;  // FindCut's candidates, `columns_stride` words a block; null: in shared memory
  int64_t columns_stride;
};

// A source (gpu/nucleus/nucleus_rows.cuh): the row's weights, 0 where the cut drops them.
struct CutRow {
  PlainRow row;
  Cut cut;

  __device__ __forceinline__ float Keep(float x, int j) const { return cut.Keeps(x, j) ? x : 0.0f; }
  __device__ __forceinline__ float operator()(int j) const { return Keep(row(j), j); }
  __device__ __forceinline__ void Load(int j, int stride, float (&x)[kAhead][4]) const {
    row.Load(j, stride, x);
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
#pragma unroll
      for (int c = 0; c < 4; ++c) x[i][c] = Keep(x[i][c], j + i * stride + c);
  }
};

// exp((x - largest) * inverse). It is exactly 1 for the largest logit, even if that is infinite, and 0 for NaN.
__device__ __forceinline__ float Weight(float x, float largest, float inverse) {
  const float power = (x - largest) * inverse;
  return x == largest ? 1.0f : x == x && power >= -87.33654f ? expf(power) : 0.0f;
}

template <bool kCluster>
__device__ __forceinline__ void SampleRow(const SampleArgs& args) {
  extern __shared__ __align__(16) unsigned char dynamic_shared[];
  ThreadGroup<kCluster> group(reinterpret_cast<NucleusShared*>(dynamic_shared));
  uint32_t* columns = StartRow<kCluster>(dynamic_shared, args.columns, args.columns_stride);

  const int n = args.size, t = blockIdx.x / group.kBlocks, warp = threadIdx.x / kWarp,
            warps = blockDim.x / kWarp, chunks = CeilDiv(n, kChunk);
  const bool aligned = n % 4 == 0;
  float* y = args.probabilities + int64_t{t} * n;
  const PlainRow logits = {args.logits + int64_t{t} * n, n, aligned}, weights = {y, n, aligned};
  const Slice slice = SliceOf(n, group.Rank(), group.kBlocks);

  uint32_t most[2] = {0, 0};
  ForEachVec4(logits, slice, [&](int j, const float(&x)[4]) {
#pragma unroll
    for (int c = 0; c < 4; ++c)
      if (j + c < n) most[0] = max(most[0], Ordered(x[c]));
  });
  group.Max(most);
  if (most[0] == kLowest) {
    for (int j = slice.begin + threadIdx.x; j < slice.end; j += blockDim.x) y[j] = 0;
    if (group.Rank() == 0 && threadIdx.x == 0) args.token[t] = -1;
    return;
  }
  const float largest = FromOrdered(most[0]);
  const Filters filters = args.settings ? FiltersOf(args.settings) : args.filters;
  if (filters.temperature == 0) {
    // The one-hot of the first largest logit. The search compares complements of indices, of which the first index has the greatest.
    uint32_t first[2] = {0, 0};
    const float zeros[4] = {};
    ForEachVec4(logits, slice, [&](int j, const float(&x)[4]) {
      Store(y, j, n, aligned, zeros);
#pragma unroll
      for (int c = 0; c < 4; ++c)
        if (j + c < n && x[c] == largest) first[0] = max(first[0], ~static_cast<uint32_t>(j + c));
    });
    group.Max(first);  // its barrier also comes after the zeros
    const int token = static_cast<int>(~first[0]);
    if (threadIdx.x == 0 && token >= slice.begin && token < slice.end) y[token] = 1.0f;
    if (group.Rank() == 0 && threadIdx.x == 0) args.token[t] = token;
    return;
  }
  const float inverse = 1.0f / filters.temperature;
  ForEachVec4(logits, slice, [&](int j, const float(&x)[4]) {
    float w[4];
#pragma unroll
    for (int c = 0; c < 4; ++c) w[c] = Weight(x[c], largest, inverse);
    Store(y, j, n, aligned, w);
  });
  group.Sync();

  Cut top_k = {-1.0f, 0}, top_p = top_k;  // these cuts keep every weight
#pragma unroll 1
  for (int filter = 0; filter < 2; ++filter) {
    const int most = filter == 0 && filters.top_k < n ? filters.top_k : 0;
    if (filter == 0 ? most == 0 : filters.top_p >= 1) continue;
    const Cut cut = FindCut(CutRow{weights, top_k}, n, filters.top_p, most, columns, group);
    (filter == 0 ? top_k : top_p) = cut;
    group.Sync();
  }
  const auto kept = [&](float w, int j) {
    return top_k.Keeps(w, j) && top_p.Keeps(w, j) && w >= filters.min_p ? w : 0.0f;
  };

  // Summed as integers, so that the sum does not depend on the number of threads. The largest weight is 1.
  const FixedPoint fixed_point = FixedPointFor(__float_as_uint(1.0f), n, false);
  uint64_t total[4] = {};
  ForEachVec4(weights, slice, [&](int j, const float(&w)[4]) {
#pragma unroll
    for (int c = 0; c < 4; ++c)
      if (j + c < n) total[0] += fixed_point(__float_as_uint(kept(w[c], j + c)));
  });
  group.Sum(total);
  const float scale = static_cast<float>(1 / (static_cast<double>(total[0]) * fixed_point.UnitSize()));
  for (int chunk = group.Rank() * warps + warp; chunk < chunks; chunk += warps * group.kBlocks) {
    double sum = 0;
    ForChunk(chunk, n, [&](int j) {
      const float p = kept(y[j], j) * scale;
      y[j] = p;
      sum += static_cast<double>(p);
    });
    sum = WarpReduce(sum, Plus());
    if (threadIdx.x % kWarp == 0) args.sums[int64_t{t} * chunks + chunk] = sum;
  }
  group.Sync();
  if (group.Rank() != 0 || warp != 0) return;
  const double u = Uniform(args.seed, int64_t{args.position[0]} + t, args.stream);
  const int drawn = Draw(n, u, args.sums + int64_t{t} * chunks, [&](int j) { return __ldcg(y + j); });
  if (threadIdx.x == 0) args.token[t] = drawn;
}

__global__ void __launch_bounds__(kMostThreads, 1) SampleRows(SampleArgs args) { SampleRow<false>(args); }
__global__ void __launch_bounds__(kClusterThreads, 1) SPECATTN_CLUSTER SampleRowsInClusters(SampleArgs args) {
  SampleRow<true>(args);
}

Status LaunchSample(CudaStream& stream, const SampleTokenCall& call) {
  static const bool clusters = InClusters(SampleRowsInClusters);
  const bool searches = call.settings || call.filters.Search();
  const NucleusPlan plan = PlanNucleus(stream, call.size, clusters, kMostThreads);
  const int64_t blocks = call.rows * plan.blocks, chunks = CeilDiv<int64_t>(call.size, kChunk);
  const size_t sums_bytes = (static_cast<size_t>(call.rows * chunks) * sizeof(double) + 255) / 256 * 256;
  const size_t columns_bytes = searches ? static_cast<size_t>(blocks) * plan.scratch_bytes() : 0;
  auto* scratch = static_cast<unsigned char*>(stream.Scratch(sums_bytes + columns_bytes));
  SPECATTN_CHECK(scratch, "[SampleToken] no memory for %lld rows", static_cast<long long>(call.rows));
  const SampleArgs args = {call.logits->as<float>(),
                           call.seed->as<int32_t>(),
                           call.position->as<int32_t>(),
                           call.token->as<int32_t>(),
                           call.probabilities->as<float>(),
                           static_cast<int>(call.size),
                           call.settings,
                           call.filters,
                           call.stream,
                           reinterpret_cast<double*>(scratch),
                           columns_bytes > 0 ? reinterpret_cast<uint32_t*>(scratch + sums_bytes) : nullptr,
                           plan.columns};
  return LaunchKernel(stream, "SampleToken", Start::kEarly,
                      plan.blocks > 1 ? SampleRowsInClusters : SampleRows,
                      dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(plan.threads)),
                      searches ? plan.shared_bytes : kNucleusShared, args);
}

}  // namespace

Status SampleToken(Stream& stream, const Args& args) {
  SampleTokenCall call = {};
  SPECATTN_RETURN_IF_ERROR(CheckSampleToken(args, &call));
  if (call.rows == 0) return Ok();
  SPECATTN_CHECK(call.size <= kLongestRow, "[SampleToken] rows may have up to %lld logits but have %lld",
                 static_cast<long long>(kLongestRow), static_cast<long long>(call.size));
  return LaunchSample(static_cast<CudaStream&>(stream), call);
}

}  // namespace gpu
}  // namespace specattn

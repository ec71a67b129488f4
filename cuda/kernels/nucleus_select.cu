// One launch. A block that holds the row (gpu/block_nucleus.cuh), or a cluster where rows are long (gpu/nucleus.cuh), finds the
// nucleus of a set's step and writes it as a bit a key; the last block of a set to finish joins the steps' bits, adds what
// every row sees, and lists the keys. What lies past the block's own rows is zeroed by all of the set's blocks.
#include "gpu/nucleus/block_nucleus.cuh"
#include "gpu/primitives/last_block.cuh"
#include "gpu/primitives/reduce.cuh"
#include "gpu/primitives/scan.cuh"
#include "gpu/runtime/check_cuda.h"
#include "gpu/runtime/kernels.h"
#include "kernels/nucleus_select.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kMostThreads = 512;      // of more there are too few registers each
constexpr int kSmallBlockNucleus = 4;  // fours of weights that each holds

struct SelectArgs {
  const float *mix, *p;
  const int32_t* position;
  int32_t *keys, *bits, *counts, *kept;
  uint32_t* marks;     // [S,N,words]: a bit a key, the steps' nuclei
  int words;           // of 32 keys
  unsigned* finished;  // [S]
  uint32_t* columns;   // null: they are in shared memory
  int64_t columns_size;
  Selection selection;
  const float* fixed;  // [U,C]
  const float* step[kMaxSteps];
};

struct Used {
  float weight;
  int source;
};

// sum_k used[k].weight * the source used[k].source, as the CPU adds it up.
struct WeightedRow {
  const float *step, *fixed;
  int step_sources;
  const Used* used;
  int count, n;
  bool aligned;

  __device__ __forceinline__ const float* Row(int k) const {
    const int source = used[k].source;
    return source < step_sources ? step + int64_t{source} * n : fixed + int64_t{source - step_sources} * n;
  }
  __device__ __forceinline__ float operator()(int j) const {
    float sum = 0;
    for (int k = 0; k < count; ++k) sum = __fmaf_rn(used[k].weight, Row(k)[j], sum);
    return sum;
  }
  template <int kFours>
  __device__ __forceinline__ void Load(int j, int stride, float (&x)[kFours][4]) const {
#pragma unroll
    for (int i = 0; i < kFours; ++i)
#pragma unroll
      for (int c = 0; c < 4; ++c) x[i][c] = 0;
    for (int k = 0; k < count; ++k) {
      constexpr int kAtOnce = kFours < kAhead ? kFours : kAhead;
#pragma unroll
      for (int first = 0; first < kFours; first += kAtOnce) {
        float y[kAtOnce][4];
        PlainRow{Row(k), n, aligned}.Load(j + first * stride, stride, y);
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i)
#pragma unroll
          for (int c = 0; c < 4; ++c) x[first + i][c] = __fmaf_rn(used[k].weight, y[i][c], x[first + i][c]);
      }
    }
  }
};

// Lists the sources whose weight is not 0, in order, and returns how many. All of a block's threads call.
__device__ __forceinline__ int ListUsed(const float* mix, int sources, Used* used, NucleusShared& s) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  int count = 0;
  for (int first = 0; first < sources; first += blockDim.x) {
    const int r = first + threadIdx.x;
    const float weight = r < sources ? mix[r] : 0.0f;
    const unsigned some = __ballot_sync(kAllLanes, weight != 0);
    if (lane == 0) s.piece[warp] = __popc(some);
    __syncthreads();
    int at = count + __popc(some & ((1u << lane) - 1));
    for (int w = 0; w < warps; ++w) {
      const int in_warp = static_cast<int>(s.piece[w]);
      at += w < warp ? in_warp : 0;
      count += in_warp;
    }
    if (weight != 0) used[at] = {weight, r};
    __syncthreads();
  }
  return count;
}

// Marks the keys < past that the cut keeps.
template <class Source>
__device__ __forceinline__ void Mark(const Source& source, Cut cut, bool all, int past, int rank, int blocks,
                                     uint32_t* marks) {
  const int lane = threadIdx.x % kWarp, stride = 4 * blockDim.x;
  const Slice words = SliceOf(CeilDiv(past, kWarp), rank, blocks);
  const int end = words.end * kWarp;
  // A warp's lanes go round together: eight of them make a word.
  for (int first = words.begin * kWarp + 4 * static_cast<int>(threadIdx.x - lane); first < end;
       first += kAhead * stride) {
    float x[kAhead][4] = {};
    if (!all) source.Load(first + 4 * lane, stride, x);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int j = first + 4 * lane + i * stride;
      uint32_t word = 0;
#pragma unroll
      for (int c = 0; c < 4; ++c)
        if (j + c < past && (all || cut.Keeps(x[i][c], j + c))) word |= 1u << (4 * (lane % 8) + c);
#pragma unroll
      for (int step = 1; step < 8; step *= 2) word |= __shfl_xor_sync(kAllLanes, word, step);
      if (lane % 8 == 0 && j < end) marks[j / kWarp] = word;
    }
  }
}

// The same from a row that the block holds.
template <class Held>
__device__ __forceinline__ void MarkHeld(Held& held, Cut cut, int past, uint32_t* marks) {
  const int part = threadIdx.x % 8;
  // Eight lanes make a word, and go round together.
  held.ForEachVec4(CeilDiv(past, kWarp) * kWarp, [&](int j, const uint32_t(&bits)[4]) {
    uint32_t word = 0;
#pragma unroll
    for (int c = 0; c < 4; ++c)
      if (j + c < past && cut.Keeps(__uint_as_float(bits[c]), j + c)) word |= 1u << (4 * part + c);
    const unsigned lanes = 0xffu << (threadIdx.x % kWarp - part);
#pragma unroll
    for (int step = 1; step < 8; step *= 2) word |= __shfl_xor_sync(lanes, word, step);
    if (part == 0) marks[j / kWarp] = word;
  });
}

__device__ __forceinline__ void Zero(int32_t* row, int begin, int end, bool aligned) {
  for (int j = begin / 4 * 4 + 4 * static_cast<int>(threadIdx.x); j < end; j += 4 * blockDim.x) {
    if (aligned && j >= begin && j + 4 <= end) {
      __stwb(reinterpret_cast<int4*>(row + j), make_int4(0, 0, 0, 0));
    } else {
#pragma unroll
      for (int c = 0; c < 4; ++c)
        if (j + c >= begin && j + c < end) row[j + c] = 0;
    }
  }
}

// The bits of word w for keys in [begin, end).
__device__ __forceinline__ uint32_t Range(int w, int64_t begin, int64_t end) {
  const auto before = [w](int64_t key) {
    const int64_t bit = key - int64_t{w} * kWarp;
    return bit <= 0 ? 0 : bit >= kWarp ? ~0u : (1u << bit) - 1;
  };
  return before(end) & ~before(begin);
}

// One set's outputs. word(i, w) is word w of step i's nucleus.
template <class Word>
__device__ __forceinline__ void ListKeys(const Selection& s, const Word& word, NucleusShared& shared,
                                         int32_t* keys, int32_t* bits, int32_t* count_out, int32_t* kept) {
  constexpr int kTile = kPiece / 2;  // words at a time
  static_assert(kMaxSteps < kFew, "");
  const int thread = threadIdx.x, threads = blockDim.x, lane = thread % kWarp, warp = thread / kWarp,
            warps = threads / kWarp;
  const int tile = threads < kTile ? threads : kTile,
            words = static_cast<int>(CeilDiv<int64_t>(s.past, kWarp)), steps = static_cast<int>(s.steps);
  uint32_t* const seen = shared.piece;           // [tile] keys that any row sees
  uint32_t* const place = shared.piece + kTile;  // [tile] where they are listed
  uint32_t* const tallies = shared.list;         // [N+1]
  uint64_t* const in_warps = shared.warp_sums[0][0];
  if (thread <= steps) tallies[thread] = 0;
  __syncthreads();

  int count = 0;
  for (int first = 0; first < words; first += tile) {
    const int w = first + thread;
    uint32_t any = 0, before = 0;
    if (thread < tile) {
      const bool inside = w < words;
      uint32_t joined = 0;
      if (s.rule == kFull && inside)
        for (int i = 0; i < steps; ++i) joined |= word(i, w);
      for (int row = 0; row <= steps; ++row) {
        uint32_t sees = 0;
        if (inside) {
          if (s.rule != kFull && row < steps) joined = word(row, w) | (s.rule == kCausal ? joined : 0);
          sees = joined | Range(w, 0, s.sinks < s.past ? s.sinks : s.past) |
                 Range(w, s.position - s.recent + 1 + row, s.past);
        }
        any |= sees;
        const uint32_t number = __reduce_add_sync(kAllLanes, static_cast<uint32_t>(__popc(sees)));
        if (lane == 0) atomicAdd(&tallies[row], number);
      }
      const uint32_t number = __popc(any);
      const uint32_t sum = WarpScan(number, Plus());
      before = sum - number;
      if (lane == kWarp - 1) in_warps[warp] = sum;
    }
    __syncthreads();
    int place_of_warp = count;
    for (int i = 0; i < tile / kWarp; ++i) {
      const int number = static_cast<int>(in_warps[i]);
      place_of_warp += i < warp ? number : 0;
      count += number;
    }
    if (thread < tile) seen[thread] = any, place[thread] = place_of_warp + before;
    __syncthreads();
    for (int i = warp; i < tile && first + i < words; i += warps) {
      const uint32_t listed = seen[i];
      if (listed == 0) continue;
      const int j = (first + i) * kWarp + lane;
      int32_t rows = s.AlwaysSeen(j);
      for (int step = 0; step < steps; ++step)
        if (word(step, first + i) >> lane & 1) rows |= s.RowsOf(step);
      if (listed >> lane & 1) {
        const int at = static_cast<int>(place[i]) + __popc(listed & ((1u << lane) - 1));
        keys[at] = j;
        bits[at] = rows;
      }
    }
    __syncthreads();
  }

  // The block's own rows.
  const int64_t begin = s.position < 0 ? 0 : s.position, end = s.Visible(steps);
  const int own = begin < end ? static_cast<int>(end - begin) : 0;
  if (thread < own) {
    keys[count + thread] = static_cast<int32_t>(begin + thread);
    bits[count + thread] = s.AllRows() & -(1 << (begin + thread - s.position));
  }
  count += own;
  if (thread == 0) *count_out = count;
  if (thread <= steps) {
    const int64_t until = s.position + thread + 1 < end ? s.position + thread + 1 : end;
    kept[thread] = static_cast<int32_t>(tallies[thread] + (until > begin ? until - begin : 0));
  }
  const bool aligned = s.capacity % 4 == 0;
  Zero(keys, count, static_cast<int>(end), aligned);
  Zero(bits, count, static_cast<int>(end), aligned);
}

template <bool kCluster, int kHeld = 0>
__device__ __forceinline__ void SelectStep(const SelectArgs& args) {
  extern __shared__ __align__(16) unsigned char dynamic_shared[];
  auto* shared = reinterpret_cast<NucleusShared*>(dynamic_shared);
  auto* used = reinterpret_cast<Used*>(dynamic_shared + kNucleusShared);
  Selection s = args.selection;
  auto* in_shared = reinterpret_cast<uint32_t*>(used + CeilDiv<int64_t>(s.sources, 16) * 16);
  uint32_t* columns = args.columns ? args.columns + blockIdx.x * args.columns_size : in_shared;
  ThreadGroup<kCluster> group(shared);
  if constexpr (kCluster) ClusterSync();  // all blocks are there to be written to
  if constexpr (kHeld != 0) ClearBins(in_shared);
  WaitForPrevious();
  LetNextStart();

  const int steps = static_cast<int>(s.steps), tasks = steps > 0 ? steps : 1;
  const int task = blockIdx.x / group.kBlocks, set = task / tasks, i = task % tasks;
  const int capacity = static_cast<int>(s.capacity);
  const bool aligned = capacity % 4 == 0;
  s.Begin(args.position[0]);
  const int past = static_cast<int>(s.past);
  uint32_t* marks = args.marks + int64_t{set} * steps * args.words;
  int32_t* keys = args.keys + int64_t{set} * capacity;
  int32_t* bits = args.bits + int64_t{set} * capacity;

  if (steps > 0) {
    const float p = args.p[set];
    const int count = ListUsed(args.mix + set * s.sources, static_cast<int>(s.sources), used, *shared);
    const WeightedRow row = {args.step[i], args.fixed, static_cast<int>(s.step_sources), used, count,
                             capacity,     aligned};
    const int visible = static_cast<int>(s.Visible(i));
    Cut cut = {};
    bool marked = false;
    if (p < 1 && visible > 0) {
      if constexpr (kHeld != 0) {
        auto held = BlockRow<kHeld>::At(in_shared);
        held.Fill(row, visible, [visible] { return visible; });
        const BlockCut found = FindBlockCut(held, visible, p, in_shared, group);
        marked = found.state == BlockCut::kDone;
        if (marked) {
          MarkHeld(held, found.cut, past, marks + i * args.words);
        } else {
          cut = FinishCut(found, row, visible, p, columns, group);
        }
      } else {
        cut = FindCut(row, visible, p, 0, columns, group);
      }
    } else if (!(p >= 1)) {
      cut.threshold = __uint_as_float(kInfinityBits);
    }
    if (!marked) Mark(row, cut, p >= 1, past, group.Rank(), group.kBlocks, marks + i * args.words);
  }
  const int parts = tasks * group.kBlocks, part = i * group.kBlocks + group.Rank();
  const int first = static_cast<int>(s.Visible(steps)),
            size = CeilDiv(CeilDiv(capacity - first, parts), 4) * 4;
  const int64_t begin = first + int64_t{part} * size, end = begin + size;
  Zero(keys, static_cast<int>(begin < capacity ? begin : capacity),
       static_cast<int>(end < capacity ? end : capacity), aligned);
  Zero(bits, static_cast<int>(begin < capacity ? begin : capacity),
       static_cast<int>(end < capacity ? end : capacity), aligned);

  __syncthreads();
  if (!IsLastBlock(args.finished + set, static_cast<unsigned>(parts))) return;

  // Past the L1 cache, which may hold what was there before other blocks wrote. Into shared memory where they fit.
  const int words = CeilDiv(past, kWarp);
  const bool staged = !args.columns && int64_t{steps} * words <= args.columns_size;
  if (staged) {
    for (int k = threadIdx.x; k < steps * words; k += blockDim.x)
      in_shared[k] = __ldcg(marks + k / words * args.words + k % words);
  }
  const auto word = [&](int step, int w) {
    return staged ? in_shared[step * words + w] : __ldcg(marks + int64_t{step} * args.words + w);
  };
  ListKeys(s, word, *shared, keys, bits, args.counts + set, args.kept + int64_t{set} * (steps + 1));
}

template <int kHeld>
__global__ void __launch_bounds__(kMostThreads, 1) SelectBlockSteps(const __grid_constant__ SelectArgs args) {
  SelectStep<false, kHeld>(args);
}
__global__ void __launch_bounds__(kMostThreads, 1) SelectSteps(const __grid_constant__ SelectArgs args) {
  SelectStep<false>(args);
}
__global__ void __launch_bounds__(kClusterThreads, 1) SPECATTN_CLUSTER
    SelectStepsInClusters(const __grid_constant__ SelectArgs args) {
  SelectStep<true>(args);
}

}  // namespace

Status NucleusSelect(Stream& stream, const Args& args) {
  NucleusSelectCall call = {};
  SPECATTN_RETURN_IF_ERROR(CheckNucleusSelect(args, &call));
  const Selection& s = call.selection;
  auto& cuda = static_cast<CudaStream&>(stream);
  if (call.keys->size() == 0) {
    for (const Tensor* out : {call.counts, call.kept}) {
      if (out->size() > 0)
        SPECATTN_CUDA("clear a tensor", cudaMemsetAsync(out->data, 0, out->bytes(), cuda.stream()));
    }
    return Ok();
  }
  SPECATTN_CHECK(s.capacity <= kLongestRow, "[NucleusSelect] rows may have up to %lld weights but have %lld",
                 static_cast<long long>(kLongestRow), static_cast<long long>(s.capacity));
  SPECATTN_CHECK(s.sets <= kCounters, "[NucleusSelect] there may be up to %d sets but there are %lld",
                 kCounters, static_cast<long long>(s.sets));
  const size_t used_bytes = static_cast<size_t>(CeilDiv<int64_t>(s.sources, 16) * 16) * sizeof(Used);
  SPECATTN_CHECK(kNucleusShared + used_bytes <= static_cast<size_t>(cuda.shared_bytes_per_block()),
                 "[NucleusSelect] %lld sources do not fit shared memory", static_cast<long long>(s.sources));

  static const bool clusters = InClusters(SelectStepsInClusters);
  const NucleusPlan plan = PlanBlockNucleus(cuda, s.capacity, clusters, kMostThreads, kSmallBlockNucleus,
                                            kMostThreads, used_bytes);
  const int64_t blocks = s.sets * (s.steps > 0 ? s.steps : 1) * plan.blocks;
  const int64_t words = CeilDiv<int64_t>(s.capacity, kWarp);
  const size_t marks_bytes = (static_cast<size_t>(s.sets * s.steps * words) * 4 + 255) / 256 * 256;
  const size_t columns_bytes = static_cast<size_t>(blocks) * plan.scratch_bytes();
  unsigned char* scratch = nullptr;
  if (marks_bytes + columns_bytes > 0) {
    scratch = static_cast<unsigned char*>(stream.Scratch(marks_bytes + columns_bytes));
    SPECATTN_CHECK(scratch, "[NucleusSelect] no memory for %lld sets of %lld steps",
                   static_cast<long long>(s.sets), static_cast<long long>(s.steps));
  }
  unsigned* finished = cuda.Counters(static_cast<int>(s.sets));
  SPECATTN_CHECK(finished, "[NucleusSelect] no memory for %lld sets", static_cast<long long>(s.sets));
  SelectArgs select = {call.mix->as<float>(),
                       call.p->as<float>(),
                       call.position->as<int32_t>(),
                       call.keys->as<int32_t>(),
                       call.bits->as<int32_t>(),
                       call.counts->as<int32_t>(),
                       call.kept->as<int32_t>(),
                       reinterpret_cast<uint32_t*>(scratch),
                       static_cast<int>(words),
                       finished,
                       columns_bytes > 0 ? reinterpret_cast<uint32_t*>(scratch + marks_bytes) : nullptr,
                       plan.columns,
                       s,
                       call.fixed ? call.fixed->as<float>() : nullptr,
                       {}};
  for (int64_t i = 0; i < s.steps; ++i) select.step[i] = call.step[i].as<float>();
  const auto kernel = plan.block_row == kSmallBlockNucleus ? SelectBlockSteps<kSmallBlockNucleus>
                      : plan.block_row == kInShared        ? SelectBlockSteps<kInShared>
                      : plan.blocks > 1                    ? SelectStepsInClusters
                                                           : SelectSteps;
  return LaunchKernel(cuda, "NucleusSelect", Start::kEarly, kernel, dim3(static_cast<unsigned>(blocks)),
                      dim3(static_cast<unsigned>(plan.threads)), plan.shared_bytes, select);
}

}  // namespace gpu
}  // namespace specattn

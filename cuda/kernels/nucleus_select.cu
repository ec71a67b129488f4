// NucleusSelect on CUDA, in one launch.
//
// Each nucleus has one block, which holds the weighted row if that fits (gpu/nucleus/block_nucleus.cuh), or a cluster of
// blocks if the row is long (gpu/nucleus/nucleus.cuh). It finds the nucleus and marks it as one bit per key. The last block
// of a set to finish joins the marks of all steps, adds sinks, recent keys and the verifier block's own keys, and lists the
// keys. A list has at most Visible(N) entries; all blocks of the set together zero what comes after these.
#include "gpu/nucleus/block_nucleus.cuh"
#include "gpu/primitives/last_block.cuh"
#include "gpu/runtime/check_cuda.h"
#include "gpu/runtime/kernels.h"
#include "kernels/nucleus_select.h"
#include "kernels/nucleus_select_keys.cuh"
#include "kernels/nucleus_select_row.cuh"

namespace specattn {
namespace gpu {
namespace {

constexpr int kMostThreads = 512;      // more would leave each thread too few registers
constexpr int kSmallBlockNucleus = 4;  // groups of four weights that a thread holds in registers

struct SelectArgs {
  const float *mix, *p;
  const int32_t* position;
  int32_t *keys, *bits, *counts, *kept;
  uint32_t* marks;     // [S,N,words]: the nuclei, one bit per key
  int words;           // 32-bit words of a nucleus
  unsigned* finished;  // [S]: how many of a set's blocks have finished
  uint32_t* columns;   // FindCut's candidates, `columns_size` words a block; null: in shared memory
  int64_t columns_size;
  Selection selection;
  const float* fixed;  // [U,C]
  const float* step[kMaxSteps];
};

// Finds the nucleus of one step of one set; in the last block of the set, lists its keys.
// kHeld: groups of four weights that a thread holds in registers, or kInShared, or 0 if the block does not hold the row.
template <bool kCluster, int kHeld = 0>
__device__ __forceinline__ void SelectStep(const SelectArgs& args) {
  extern __shared__ __align__(16) unsigned char dynamic_shared[];
  auto* shared = reinterpret_cast<NucleusShared*>(dynamic_shared);
  auto* used = reinterpret_cast<Used*>(dynamic_shared + kNucleusShared);
  Selection s = args.selection;
  auto* in_shared = reinterpret_cast<uint32_t*>(used + CeilDiv<int64_t>(s.sources, 16) * 16);
  uint32_t* columns = args.columns ? args.columns + blockIdx.x * args.columns_size : in_shared;
  ThreadGroup<kCluster> group(shared);
  // A block may write to another one's shared memory only once that block is resident.
  if constexpr (kCluster) ClusterSync();
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

  // Reads the marks past the L1 cache, which may not have what other blocks wrote, and into shared memory if they fit.
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

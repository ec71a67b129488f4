// NucleusMask on CUDA, with a kernel for each length of row.
//   MaskBlockRows       rows that fit into one block's registers or shared memory (gpu/nucleus/block_nucleus.cuh). The
//                       mask is written from there.
//   MaskRows            longer rows, one block each (gpu/nucleus/nucleus.cuh). The row is read again, from the L2 cache
//                       as a rule, to write the mask.
//   MaskRowsInClusters  the same with a cluster of blocks a row.
#include "gpu/nucleus/block_nucleus.cuh"
#include "gpu/runtime/kernels.h"
#include "kernels/nucleus_mask.h"
#include "kernels/nucleus_row.cuh"

namespace specattn {
namespace gpu {
namespace {

constexpr int kMostThreads = 1024;
constexpr int kSmallBlockNucleus = 2;  // groups of four weights that a thread holds in registers

struct MaskArgs {
  const float* weights;
  const int32_t* position;
  bool* mask;
  int capacity;
  double p;
  uint32_t* columns;  // FindCut's candidates, `columns_stride` words a block; null: in shared memory
  int64_t columns_stride;
};

// Reads the row again and writes its mask.
template <bool kCluster>
__device__ __forceinline__ void WriteMask(const PlainRow& source, Cut cut, int visible, bool* mask,
                                          const ThreadGroup<kCluster>& group) {
  const int capacity = source.n;
  const bool aligned = source.aligned;
  ForEachVec4(source, SliceOf(capacity, group.Rank(), group.kBlocks), [&](int j, const float(&x)[4]) {
    bool kept[4];
#pragma unroll
    for (int c = 0; c < 4; ++c) kept[c] = j + c < visible && cut.Keeps(x[c], j + c);
    if (aligned) {
      *reinterpret_cast<uchar4*>(mask + j) = make_uchar4(kept[0], kept[1], kept[2], kept[3]);
    } else {
#pragma unroll
      for (int c = 0; c < 4; ++c)
        if (j + c < capacity) mask[j + c] = kept[c];
    }
  });
}

template <bool kCluster>
__device__ __forceinline__ void MaskRow(const MaskArgs& args) {
  extern __shared__ __align__(16) unsigned char dynamic_shared[];
  ThreadGroup<kCluster> group(reinterpret_cast<NucleusShared*>(dynamic_shared));
  uint32_t* columns = StartRow<kCluster>(dynamic_shared, args.columns, args.columns_stride);

  const int64_t r = blockIdx.x / group.kBlocks;
  const int capacity = args.capacity;
  const int64_t end = int64_t{args.position[0]} + r + 1;
  const int visible = static_cast<int>(end < 0 ? 0 : end < capacity ? end : capacity);
  const float* row = args.weights + r * capacity;
  bool* mask = args.mask + r * capacity;
  const bool aligned = capacity % 4 == 0;

  const PlainRow source = {row, capacity, aligned};
  Cut cut = {};
  if (visible > 0) cut = FindCut(source, visible, args.p, 0, columns, group);
  WriteMask(source, cut, visible, mask, group);
}

// kHeld: groups of four weights that a thread holds in registers, or kInShared.
template <int kHeld>
__global__ void __launch_bounds__(kMostThreads) MaskBlockRows(MaskArgs args) {
  extern __shared__ __align__(16) unsigned char dynamic_shared[];
  ThreadGroup<false> group(reinterpret_cast<NucleusShared*>(dynamic_shared));
  auto* bins = reinterpret_cast<uint32_t*>(dynamic_shared + kNucleusShared);
  auto row = BlockRow<kHeld>::At(bins);
  ClearBins(bins);
  WaitForPrevious();
  LetNextStart();

  const int64_t r = blockIdx.x;
  const int capacity = args.capacity;
  const bool aligned = capacity % 4 == 0;
  const auto source = [&] { return PlainRow{args.weights + r * capacity, capacity, aligned}; };
  const int visible = row.Fill(source(), capacity, [&] {
    const int64_t end = int64_t{args.position[0]} + r + 1;
    return static_cast<int>(end < 0 ? 0 : end < capacity ? end : capacity);
  });
  BlockCut found = {};
  if (visible > 0) found = FindBlockCut(row, visible, args.p, bins, group);
  bool* mask = args.mask + r * capacity;
  if (found.state != BlockCut::kDone) {
    WriteMask(source(), FinishCut(found, source(), visible, args.p, bins, group), visible, mask, group);
    return;
  }
  row.ForEachVec4(capacity, [&](int j, const uint32_t(&bits)[4]) {
    uint32_t kept = 0;
#pragma unroll
    for (int c = 0; c < 4; ++c) kept |= found.cut.Keeps(__uint_as_float(bits[c]), j + c) ? 1u << (8 * c) : 0;
    if (aligned) {
      *reinterpret_cast<uint32_t*>(mask + j) = kept;
    } else {
#pragma unroll
      for (int c = 0; c < 4; ++c)
        if (j + c < capacity) mask[j + c] = (kept >> (8 * c) & 1) != 0;
    }
  });
}

__global__ void __launch_bounds__(kMostThreads) MaskRows(MaskArgs args) { MaskRow<false>(args); }
__global__ void __launch_bounds__(kClusterThreads, 2) SPECATTN_CLUSTER MaskRowsInClusters(MaskArgs args) {
  MaskRow<true>(args);
}

}  // namespace

Status NucleusMask(Stream& stream, const Args& args) {
  NucleusMaskCall call = {};
  SPECATTN_RETURN_IF_ERROR(CheckNucleusMask(args, &call));
  if (call.mask->size() == 0) return Ok();
  SPECATTN_CHECK(call.capacity <= kLongestRow, "[NucleusMask] rows may have up to %lld weights but have %lld",
                 static_cast<long long>(kLongestRow), static_cast<long long>(call.capacity));
  auto& cuda = static_cast<CudaStream&>(stream);
  static const bool clusters = InClusters(MaskRowsInClusters);
  const NucleusPlan plan =
      PlanBlockNucleus(cuda, call.capacity, clusters, kMostThreads, kSmallBlockNucleus, kMostThreads);
  const int64_t blocks = call.rows * plan.blocks;
  MaskArgs mask = {call.weights->as<float>(),
                   call.position->as<int32_t>(),
                   call.mask->as<bool>(),
                   static_cast<int>(call.capacity),
                   call.p,
                   nullptr,
                   plan.columns};
  if (!plan.in_shared) {
    mask.columns = static_cast<uint32_t*>(stream.Scratch(static_cast<size_t>(blocks) * plan.scratch_bytes()));
    SPECATTN_CHECK(mask.columns, "[NucleusMask] no memory for %lld candidates",
                   static_cast<long long>(blocks * plan.columns));
  }
  const auto kernel = plan.block_row == kSmallBlockNucleus ? MaskBlockRows<kSmallBlockNucleus>
                      : plan.block_row == kInShared        ? MaskBlockRows<kInShared>
                      : plan.blocks > 1                    ? MaskRowsInClusters
                                                           : MaskRows;
  return LaunchKernel(cuda, "NucleusMask", Start::kEarly, kernel, dim3(static_cast<unsigned>(blocks)),
                      dim3(static_cast<unsigned>(plan.threads)), plan.shared_bytes, mask);
}

}  // namespace gpu
}  // namespace specattn

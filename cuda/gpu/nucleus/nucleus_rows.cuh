// What the searches for a nucleus (nucleus.cuh, block_nucleus.cuh) share: the threads that work on one row of weights and
// their shared memory, the reading of a row, exact sums of weights, and how a launch divides rows among blocks.
#pragma once
#include <algorithm>

#include "gpu/primitives/cluster.cuh"
#include "gpu/primitives/vec4.cuh"
#include "gpu/runtime/launch.cuh"
#include "gpu/runtime/stream.h"

namespace specattn {
namespace gpu {

constexpr int64_t kLongestRow = (1 << 21) - 1;   // weights; FindCut packs three counts of them into 64 bits
constexpr uint32_t kInfinityBits = 0x7f800000u;  // +infinity
constexpr int kMaxWarps = 32;
constexpr int kFew = 64;      // most candidates that CompareFew compares with each other
constexpr int kPiece = 1024;  // most weights that NucleusBySorting sorts at once
constexpr int kAhead = 4;     // loads of 4 weights that a thread has in flight
constexpr int kClusterThreads = 512;
constexpr int kBinsPerThread = 4;
constexpr int kInShared = -1;            // NucleusPlan::block_row of rows that are kept in shared memory
constexpr int kLongestInShared = 32768;  // weights; with 512 threads or more a bin's sums then fit 32 bits

// A nucleus: the elements x[j] > threshold, and the elements x[j] == threshold with j < ties_end.
struct Cut {
  float threshold;
  int ties_end;

  __device__ __forceinline__ bool Keeps(float x, int j) const {
    return x > threshold || (x == threshold && j < ties_end);
  }
};

// A block's shared memory for the search. Callers may use it between searches.
struct NucleusShared {
  uint64_t warp_sums[2][4][kMaxWarps];        // ThreadGroup: sums of this block's warps
  uint64_t block_sums[2][4][kClusterBlocks];  // ThreadGroup: sums of the cluster's blocks
  uint64_t bin_sums[kMaxWarps];               // FindBlockCut: masses of the warps' bins
  uint64_t rest;                              // FindBlockCut: mass below the bins
  uint32_t found_number[2];  // FindBlockCut: weights in the bin that was found; levels alternate
  // Where the mass crosses its target: the mass from larger weights, the bits of the weight or the bin, how many are equal.
  uint64_t found_above;
  uint32_t found_bits, found_equal;
  uint32_t listed;         // number of entries in list, or in piece
  uint32_t list[kFew];     // bits of the last candidates
  uint32_t piece[kPiece];  // bits of the weights that are being sorted
};
// Bytes that NucleusShared takes at the beginning of a block's dynamic shared memory.
constexpr size_t kNucleusShared = (sizeof(NucleusShared) + 127) / 128 * 128;

// The threads that work on one row: those of a block, or of a cluster of kClusterBlocks blocks. All of them call Sync, Sum and
// Max together.
template <bool kCluster>
class ThreadGroup {
 public:
  __device__ explicit ThreadGroup(NucleusShared* shared) : shared_(shared) {}

  static constexpr int kBlocks = kCluster ? kClusterBlocks : 1;
  static __device__ __forceinline__ int Rank() { return kCluster ? ClusterRank() : 0; }
  __device__ __forceinline__ NucleusShared& shared() const { return *shared_; }

  static __device__ __forceinline__ void Sync() {
    if constexpr (kCluster) {
      ClusterSync();
    } else {
      __syncthreads();
    }
  }

  // Replaces each of the four x by its sum over all threads of the group, or of the calling block where kAcross is false.
  template <bool kAcross = kCluster>
  __device__ __forceinline__ void Sum(uint64_t (&x)[4]) {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
    const int which = lane / 8, part = lane % 8;
    turn_ ^= 1;
    // Each half of the warp goes on with two of the four sums, then each quarter with one.
    const bool upper = lane >= 16, odd = which % 2 != 0;
    uint64_t a = upper ? x[2] : x[0], b = upper ? x[3] : x[1];
    a += __shfl_xor_sync(kAllLanes, upper ? x[0] : x[2], 16);
    b += __shfl_xor_sync(kAllLanes, upper ? x[1] : x[3], 16);
    uint64_t sum = odd ? b : a;
    sum += __shfl_xor_sync(kAllLanes, odd ? a : b, 8);
    sum = SumOf8Lanes(sum);
    if (part == 0) shared_->warp_sums[turn_][which][warp] = sum;
    __syncthreads();
    if (!kAcross || warp == 0) {
      sum = 0;
      for (int w = part; w < warps; w += 8) sum += shared_->warp_sums[turn_][which][w];
      sum = SumOf8Lanes(sum);
    }
    if constexpr (kAcross) {
      if (warp == 0) StoreIn(part, &shared_->block_sums[turn_][which][Rank()], sum);
      ClusterSync();
      sum = SumOf8Lanes(shared_->block_sums[turn_][which][part]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = __shfl_sync(kAllLanes, sum, 8 * i);
  }

  // Replaces both x by their maxima over all threads of the group.
  __device__ __forceinline__ void Max(uint32_t (&x)[2]) {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
    turn_ ^= 1;
    uint64_t pair = WarpMax(x[0], x[1]);
    if (lane == 0) shared_->warp_sums[turn_][0][warp] = pair;
    __syncthreads();
    if (!kCluster || warp == 0) {
      pair = lane < warps ? shared_->warp_sums[turn_][0][lane] : 0;
      pair = WarpMax(static_cast<uint32_t>(pair), static_cast<uint32_t>(pair >> 32));
    }
    if constexpr (kCluster) {
      if (warp == 0 && lane < kBlocks) StoreIn(lane, &shared_->block_sums[turn_][0][Rank()], pair);
      ClusterSync();
      pair = lane < kBlocks ? shared_->block_sums[turn_][0][lane] : 0;
      pair = WarpMax(static_cast<uint32_t>(pair), static_cast<uint32_t>(pair >> 32));
    }
    x[0] = static_cast<uint32_t>(pair);
    x[1] = static_cast<uint32_t>(pair >> 32);
  }

 private:
  static __device__ __forceinline__ uint64_t SumOf8Lanes(uint64_t x) {
#pragma unroll
    for (int step = 4; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
    return x;
  }
  static __device__ __forceinline__ uint64_t WarpMax(uint32_t a, uint32_t b) {
    a = __reduce_max_sync(kAllLanes, a);
    b = __reduce_max_sync(kAllLanes, b);
    return static_cast<uint64_t>(b) << 32 | a;
  }

  NucleusShared* shared_;
  // The set of sums in use. Two sets take turns, so that one barrier for each Sum or Max is enough.
  int turn_ = 0;
};

// The elements [begin, end) of a row.
struct Slice {
  int begin, end;
};
// The slice of [0, n) for block `rank` of `blocks`: a multiple of 4 elements, the same for all blocks until n ends.
__host__ __device__ inline Slice SliceOf(int n, int rank, int blocks) {
  const int size = CeilDiv(CeilDiv(n, blocks), 4) * 4;
  const int begin = rank * size < n ? rank * size : n;
  return {begin, begin + size < n ? begin + size : n};
}

// A source is a row of weights: source(j) returns weight j, and source.Load(j, stride, x) sets x[i][c] to weight
// j + i * stride + c, or to anything where that is past the row's end. j and stride are multiples of 4.
//
// PlainRow is the source that reads n weights from memory. aligned: `row` is 16-byte aligned and n a multiple of 4.
struct PlainRow {
  const float* row;
  int n;
  bool aligned;

  __device__ __forceinline__ float operator()(int j) const { return row[j]; }
  template <int kVecs>
  __device__ __forceinline__ void Load(int j, int stride, float (&x)[kVecs][4]) const {
    if (aligned) {
#pragma unroll
      for (int i = 0; i < kVecs; ++i) LoadVec4<true>(row, j + i * stride, n, x[i]);
    } else {
#pragma unroll
      for (int i = 0; i < kVecs; ++i) LoadVec4<false>(row, j + i * stride, n, x[i]);
    }
  }
};

// Calls fn(j, x[4]) for every vector of 4 weights of the slice, from weight j on. What x holds past the slice's end is
// undefined.
template <class Source, class Fn>
__device__ __forceinline__ void ForEachVec4(const Source& source, Slice slice, const Fn& fn) {
  const int stride = 4 * blockDim.x;
  for (int first = slice.begin + 4 * threadIdx.x; first < slice.end; first += kAhead * stride) {
    float x[kAhead][4];
    source.Load(first, stride, x);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int j = first + i * stride;
      if (j < slice.end) fn(j, x[i]);
    }
  }
}

// The weights of a row as fixed-point integers, whose sums are exact in any order. The unit is 2^-shift times the value of the
// last mantissa bit of the row's largest weight; weights are rounded down to it. With counts_only every weight is 1.
struct FixedPoint {
  int exponent;  // biased exponent of the largest weight
  int shift;
  bool counts_only;

  __device__ __forceinline__ static int ExponentOf(uint32_t bits) {
    return max(static_cast<int>(bits >> 23), 1);
  }
  __device__ __forceinline__ static uint32_t MantissaOf(uint32_t bits) {
    return bits >> 23 == 0 ? bits : (bits & 0x7fffffu) | 0x800000u;
  }
  // The weight with these bits, in units.
  __device__ __forceinline__ uint64_t operator()(uint32_t bits) const {
    const uint64_t x =
        (static_cast<uint64_t>(MantissaOf(bits)) << shift) >> min(exponent - ExponentOf(bits), 63);
    return counts_only ? 1 : x;
  }
  // The sum of `number` weights of one octave, in units, rounded down once. The weights' bits are `first` plus amounts that
  // add up to `excess`.
  __device__ __forceinline__ uint64_t SumOfBin(uint32_t number, uint32_t first, uint32_t excess) const {
    const uint64_t sum = static_cast<uint64_t>(number) * MantissaOf(first) + excess;
    return (sum << shift) >> min(exponent - ExponentOf(first), 63);
  }
  // The value of one unit.
  __device__ __forceinline__ double UnitSize() const {
    return __hiloint2double((1023 + exponent - 150 - shift) << 20, 0);
  }
};

// Chooses the unit so that the sum of n weights is below 2^60 units.
__device__ __forceinline__ FixedPoint FixedPointFor(uint32_t largest, int n, bool counts_only) {
  const int bits = 32 - __clz(n - 1);  // bits of n - 1; 0 for n = 1
  return {FixedPoint::ExponentOf(largest), min(36 - bits, 26), counts_only};
}

// How a launch divides rows of weights among blocks, and the memory that a block needs.
struct NucleusPlan {
  int blocks;           // blocks for each row: 1, or kClusterBlocks
  int threads;          // threads of a block
  int64_t columns;      // FindCut's candidates in a block, in 32-bit words
  bool in_shared;       // whether these words are in shared memory, else in scratch memory
  size_t shared_bytes;  // dynamic shared memory of a block
  // The kernel for the row: 0 for FindCut, else the argument of BlockRow for FindBlockCut, which is kInShared or the number
  // of vectors of 4 weights in each thread's registers.
  int block_row = 0;

  // Scratch memory of a block.
  size_t scratch_bytes() const { return in_shared ? 0 : static_cast<size_t>(columns) * sizeof(uint32_t); }
};

// A plan for FindCut on rows of n weights.
//   clusters      whether the kernel for clusters can run (InClusters)
//   most_threads  most threads of the kernel with one block for each row; at least 512
//   other_shared  bytes of dynamic shared memory that the kernel needs besides
// Rows of up to kOneBlock weights are faster with one block than with a cluster.
inline NucleusPlan PlanNucleus(const CudaStream& stream, int64_t n, bool clusters, int most_threads,
                               size_t other_shared = 0) {
  constexpr int64_t kOneBlock = 16384;
  const size_t room = static_cast<size_t>(stream.shared_bytes_per_block());
  const auto plan = [&](int blocks, int threads) {
    const int64_t vecs = CeilDiv<int64_t>(CeilDiv<int64_t>(n, blocks), 4);
    const int64_t columns = CeilDiv<int64_t>(vecs, threads) * threads * 4;
    const size_t bytes = kNucleusShared + other_shared;
    const size_t all = bytes + static_cast<size_t>(columns) * sizeof(uint32_t);
    return NucleusPlan{blocks, threads, columns, all <= room, all <= room ? all : bytes};
  };
  if (clusters && n > kOneBlock) {
    const NucleusPlan shared = plan(kClusterBlocks, kClusterThreads);
    if (shared.in_shared) return shared;
  }
  return plan(1, n <= 1024 ? 128 : n <= 2048 ? 256 : n <= 8192 ? 512 : most_threads);
}

// A plan for FindBlockCut where one block can hold a row of n weights, else PlanNucleus's. The row is held in registers where
// it fits into register_vecs vectors of 4 weights in each of up to most_register_threads threads, else in shared memory.
inline NucleusPlan PlanBlockNucleus(const CudaStream& stream, int64_t n, bool clusters, int most_threads,
                                    int register_vecs, int most_register_threads, size_t other_shared = 0) {
  const int64_t vecs = CeilDiv<int64_t>(n, 4);
  int threads = 128;
  while (threads < most_register_threads && vecs > register_vecs * threads) threads *= 2;
  const bool in_registers = vecs <= register_vecs * threads;
  const int64_t columns = CeilDiv<int64_t>(vecs, threads) * threads * 4;
  const size_t before = kNucleusShared + other_shared, columns_bytes = columns * sizeof(uint32_t),
               bins = 2 * kBinsPerThread * threads * sizeof(uint32_t),
               all = before + (in_registers ? std::max(bins, columns_bytes) : bins + columns_bytes);
  const bool fits = n <= kLongestInShared && all <= static_cast<size_t>(stream.shared_bytes_per_block());
  if (!fits) return PlanNucleus(stream, n, clusters, most_threads, other_shared);
  return {1, threads, columns, true, all, in_registers ? register_vecs : kInShared};
}

}  // namespace gpu
}  // namespace specattn

// Rows of weights whose nucleus is looked for (nucleus.cuh): the threads that work on a row and their shared memory, how
// they read it and count what it weighs, and how a launch divides rows among them.
#pragma once
#include <algorithm>

#include "gpu/primitives/cluster.cuh"
#include "gpu/primitives/vec4.cuh"
#include "gpu/runtime/launch.cuh"
#include "gpu/runtime/stream.h"

namespace specattn {
namespace gpu {

constexpr int64_t kLongestRow = (1 << 21) - 1;  // three counts of candidates fit 64 bits
constexpr uint32_t kInfinityBits = 0x7f800000u;
constexpr int kMaxWarps = 32;
constexpr int kFew = 64;      // candidates that are compared with each other
constexpr int kPiece = 1024;  // weights that are sorted at once
constexpr int kAhead = 4;     // loads of four that a thread has in flight
constexpr int kClusterThreads = 512;
constexpr int kBinsPerThread = 4;
constexpr int kInShared = -1;            // what PlanBlockNucleus says of rows too long for registers
constexpr int kLongestInShared = 32768;  // weights: what a bin of 512 threads adds up fits 32 bits

// The elements x[j] > threshold, and those of x[j] == threshold with j < ties_end.
struct Cut {
  float threshold;
  int ties_end;

  __device__ __forceinline__ bool Keeps(float x, int j) const {
    return x > threshold || (x == threshold && j < ties_end);
  }
};

struct NucleusShared {
  uint64_t warp_sums[2][4][kMaxWarps];
  uint64_t block_sums[2][4][kClusterBlocks];
  uint64_t bin_sums[kMaxWarps];
  uint64_t rest;  // the mass below the bins
  uint32_t found_number[2];
  uint64_t found_above;
  uint32_t found_bits, found_equal;
  uint32_t listed;
  uint32_t list[kFew];
  uint32_t piece[kPiece];
};
constexpr size_t kNucleusShared = (sizeof(NucleusShared) + 127) / 128 * 128;

// The threads that work on one row: a block's or a cluster's. All of them call together.
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

  // Sums over all threads, for all threads; over those of this block alone with kAcross false.
  template <bool kAcross = kCluster>
  __device__ __forceinline__ void Sum(uint64_t (&x)[4]) {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
    const int which = lane / 8, part = lane % 8;
    turn_ ^= 1;
    // Each half of the warp goes on with two of the sums, each quarter with one.
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
  int turn_ = 0;  // two sets of sums in turn, so that one barrier a sum is enough
};

// The part of [0, n) that block `rank` of `blocks` has; a multiple of 4, save for the last one's.
struct Slice {
  int begin, end;
};
__host__ __device__ inline Slice SliceOf(int n, int rank, int blocks) {
  const int size = CeilDiv(CeilDiv(n, blocks), 4) * 4;
  const int begin = rank * size < n ? rank * size : n;
  return {begin, begin + size < n ? begin + size : n};
}

// A source is a row of weights: source(j) is weight j, source.Load(j, stride, x) sets x[i][c] to weight j + i * stride + c,
// or anything at or past its end. j and stride are multiples of 4.
struct PlainRow {
  const float* row;
  int n;
  bool aligned;  // for loads of four

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

// Calls fn(j, x[4]) for every fourth j of the slice; what is at or past its end in x is undefined.
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

// Positive floats as integers: multiples of 2^-shift of the largest one's last bit, rounded down. Or each as 1.
struct FixedPoint {
  int exponent;  // of the largest
  int shift;
  bool counts_only;

  __device__ __forceinline__ static int ExponentOf(uint32_t bits) {
    return max(static_cast<int>(bits >> 23), 1);
  }
  __device__ __forceinline__ static uint32_t MantissaOf(uint32_t bits) {
    return bits >> 23 == 0 ? bits : (bits & 0x7fffffu) | 0x800000u;
  }
  __device__ __forceinline__ uint64_t operator()(uint32_t bits) const {
    const uint64_t x =
        (static_cast<uint64_t>(MantissaOf(bits)) << shift) >> min(exponent - ExponentOf(bits), 63);
    return counts_only ? 1 : x;
  }
  // Of `number` weights of one octave: their bits are those of `first` plus parts that add up to `excess`.
  __device__ __forceinline__ uint64_t SumOfBin(uint32_t number, uint32_t first, uint32_t excess) const {
    const uint64_t sum = static_cast<uint64_t>(number) * MantissaOf(first) + excess;
    return (sum << shift) >> min(exponent - ExponentOf(first), 63);
  }
  // One unit.
  __device__ __forceinline__ double UnitSize() const {
    return __hiloint2double((1023 + exponent - 150 - shift) << 20, 0);
  }
};

// FixedPoint of which n largest weights are less than 2^60.
__device__ __forceinline__ FixedPoint FixedPointFor(uint32_t largest, int n, bool counts_only) {
  const int bits = 32 - __clz(n - 1);  // of n - 1: 0 for 1
  return {FixedPoint::ExponentOf(largest), min(36 - bits, 26), counts_only};
}

// How a launch divides rows of n weights among threads.
struct NucleusPlan {
  int blocks;       // a row's: 1 or kClusterBlocks
  int threads;      // a block's
  int64_t columns;  // words, a block's
  bool in_shared;   // the columns are in shared memory, else in scratch
  size_t shared_bytes;
  int block_row = 0;  // fours that a thread holds in registers, or kInShared, or 0 where the row is not held

  size_t scratch_bytes() const { return in_shared ? 0 : static_cast<size_t>(columns) * sizeof(uint32_t); }
};

// clusters: whether the kernel for them is to be had. Rows of up to 16384 are done sooner by one block. most_threads: of
// a block that is alone, 512 or more.
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

// The same where rows that a block can hold have kernels of their own: for register_vecs fours a thread and up to most_register_threads,
// and for kInShared.
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

// The nucleus of a row of weights, on the device: cpu/nucleus.h says what it is and why no sorting is needed.
//
// One block has a row, or a cluster of blocks has it in slices. Every thread keeps its candidates for itself, in a column of
// shared memory. A pass weighs them at three thresholds, adds up over the block and keeps the part in which the mass crosses p;
// once few are left they are compared with each other. Weights are counted as integers, in units of a small part of the
// largest one: exact, whatever the order, on however many threads. Where the part of a weight below the unit or the rounding of
// float64 could change the answer, the row is sorted after all, piece by piece.
#pragma once
#include <algorithm>

#include "cluster.cuh"
#include "four.cuh"
#include "launch.cuh"
#include "stream.h"

namespace specattn {
namespace gpu {

constexpr int64_t kLongestRow = (1 << 21) - 1;  // three counts of candidates fit 64 bits
constexpr uint32_t kInfinityBits = 0x7f800000u;
constexpr int kMaxWarps = 32;
constexpr int kFew = 64;      // candidates that are compared with each other
constexpr int kPiece = 1024;  // weights that are sorted at once
constexpr int kAhead = 4;     // loads of four that a thread has in flight
constexpr int kClusterThreads = 512;

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
  uint64_t found_above;
  uint32_t found_bits, found_equal;
  uint32_t listed;
  uint32_t list[kFew];
  uint32_t piece[kPiece];
};
constexpr size_t kNucleusShared = (sizeof(NucleusShared) + 127) / 128 * 128;

// The threads that work on one row: a block's or a cluster's. All of them call together.
template <bool kCluster>
class Team {
 public:
  __device__ explicit Team(NucleusShared* shared) : shared_(shared) {}

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
    sum = SumOfEight(sum);
    if (part == 0) shared_->warp_sums[turn_][which][warp] = sum;
    __syncthreads();
    if (!kAcross || warp == 0) {
      sum = 0;
      for (int w = part; w < warps; w += 8) sum += shared_->warp_sums[turn_][which][w];
      sum = SumOfEight(sum);
    }
    if constexpr (kAcross) {
      if (warp == 0) StoreIn(part, &shared_->block_sums[turn_][which][Rank()], sum);
      ClusterSync();
      sum = SumOfEight(shared_->block_sums[turn_][which][part]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = __shfl_sync(kAllLanes, sum, 8 * i);
  }

  __device__ __forceinline__ void Max(uint32_t (&x)[2]) {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
    turn_ ^= 1;
    uint64_t pair = MaxOfWarp(x[0], x[1]);
    if (lane == 0) shared_->warp_sums[turn_][0][warp] = pair;
    __syncthreads();
    if (!kCluster || warp == 0) {
      pair = lane < warps ? shared_->warp_sums[turn_][0][lane] : 0;
      pair = MaxOfWarp(static_cast<uint32_t>(pair), static_cast<uint32_t>(pair >> 32));
    }
    if constexpr (kCluster) {
      if (warp == 0 && lane < kBlocks) StoreIn(lane, &shared_->block_sums[turn_][0][Rank()], pair);
      ClusterSync();
      pair = lane < kBlocks ? shared_->block_sums[turn_][0][lane] : 0;
      pair = MaxOfWarp(static_cast<uint32_t>(pair), static_cast<uint32_t>(pair >> 32));
    }
    x[0] = static_cast<uint32_t>(pair);
    x[1] = static_cast<uint32_t>(pair >> 32);
  }

 private:
  static __device__ __forceinline__ uint64_t SumOfEight(uint64_t x) {
#pragma unroll
    for (int step = 4; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
    return x;
  }
  static __device__ __forceinline__ uint64_t MaxOfWarp(uint32_t a, uint32_t b) {
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
  __device__ __forceinline__ void Load(int j, int stride, float (&x)[kAhead][4]) const {
    if (aligned) {
#pragma unroll
      for (int i = 0; i < kAhead; ++i) LoadFour<true>(row, j + i * stride, n, x[i]);
    } else {
#pragma unroll
      for (int i = 0; i < kAhead; ++i) LoadFour<false>(row, j + i * stride, n, x[i]);
    }
  }
};

// Calls fn(j, x[4]) for every fourth j of the slice; what is at or past its end in x is undefined.
template <class Source, class Fn>
__device__ __forceinline__ void ForFours(const Source& source, Slice slice, const Fn& fn) {
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
struct Units {
  int exponent;  // of the largest
  int shift;
  bool count;

  __device__ __forceinline__ static int ExponentOf(uint32_t bits) {
    return max(static_cast<int>(bits >> 23), 1);
  }
  __device__ __forceinline__ uint64_t operator()(uint32_t bits) const {
    const uint32_t mantissa = bits >> 23 == 0 ? bits : (bits & 0x7fffffu) | 0x800000u;
    const uint64_t x = (static_cast<uint64_t>(mantissa) << shift) >> min(exponent - ExponentOf(bits), 63);
    return count ? 1 : x;
  }
  // One unit.
  __device__ __forceinline__ double Size() const {
    return __hiloint2double((1023 + exponent - 150 - shift) << 20, 0);
  }
};

// Units of which n largest weights are less than 2^60.
__device__ __forceinline__ Units UnitsOf(uint32_t largest, int n, bool count) {
  const int bits = 32 - __clz(n - 1);  // of n - 1: 0 for 1
  return {Units::ExponentOf(largest), min(36 - bits, 26), count};
}

// The index after the `ties`-th weight that equals the threshold. There are that many.
template <bool kCluster, class Source>
__device__ __noinline__ int EndOfTies(const Source& source, int n, float threshold, uint64_t ties,
                                      Team<kCluster>& team) {
  int low = 0, high = n;  // too few before low, enough before high
  while (high - low > 1) {
    const int span = high - low, x0 = low + span / 4, x1 = low + span / 2, x2 = x1 + span / 4;
    uint64_t counts[4] = {};
    for (int j = low + threadIdx.x; j < x2; j += blockDim.x) {
      if (source(j) != threshold) continue;
      counts[0] += j < x0;
      counts[1] += j < x1;
      counts[2] += 1;
    }
    team.template Sum<false>(counts);
    if (counts[0] >= ties) {
      high = x0;
    } else if (counts[1] >= ties) {
      low = x0, high = x1, ties -= counts[0];
    } else if (counts[2] >= ties) {
      low = x1, high = x2, ties -= counts[1];
    } else {
      low = x2, ties -= counts[2];
    }
  }
  return high;
}

// The definition, by sorting: the largest kPiece weights, then the next ones, each piece added up by one thread, once for
// the total and once up to p of it. Every block of a cluster does the same.
template <bool kCluster, class Source>
__device__ __noinline__ Cut NucleusBySorting(const Source& source, int n, double p, Team<kCluster>& team) {
  NucleusShared& s = team.shared();
  const int thread = threadIdx.x, threads = blockDim.x;
  // How many weights are in [x[i], end).
  const auto count = [&](const uint32_t(&x)[3], uint32_t end, uint64_t(&counts)[4]) {
    for (uint64_t& c : counts) c = 0;
    for (int j = thread; j < n; j += threads) {
      const float w = source(j);
      const uint32_t bits = __float_as_uint(w);
      if (!(w > 0) || bits >= end) continue;
#pragma unroll
      for (int i = 0; i < 3; ++i) counts[i] += bits >= x[i];
    }
    team.template Sum<false>(counts);
  };

  double total = 0;
  for (int run = 0; run < 2; ++run) {
    const double target = p * total;
    double sum = 0;                // thread 0's, as are these:
    uint32_t last = 0, ties = 0;   // the last weight added and how many equal to it
    uint32_t end = kInfinityBits;  // the pieces so far are the weights from here on
    for (;;) {
      uint32_t low = 0, high = end;  // more than a piece is in [low, end), not more in [high, end)
      uint64_t in_low = 0, in_high = 0;
      {
        uint64_t counts[4];
        count({1, 1, 1}, end, counts);
        if (counts[0] == 0) break;
        if (counts[0] <= kPiece) {
          high = 1, in_high = counts[0];
        } else {
          low = 1, in_low = counts[0];
        }
      }
      while (high - low > 1) {
        const uint32_t span = high - low, middle = low + span / 2;
        const uint32_t x[3] = {low + span / 4, middle, middle + span / 4};
        uint64_t counts[4];
        count(x, end, counts);
#pragma unroll
        for (int i = 2; i >= 0; --i)
          if (counts[i] <= kPiece) high = x[i], in_high = counts[i];
#pragma unroll
        for (int i = 0; i < 3; ++i)
          if (counts[i] > kPiece) low = x[i], in_low = counts[i];
      }
      // A piece, or too many of one value: then that is all there is to know of them.
      const bool equal = in_high == 0;
      const uint32_t from = equal ? low : high, in_piece = static_cast<uint32_t>(equal ? in_low : in_high);
      if (!equal) {
        for (int i = thread; i < kPiece; i += threads) s.piece[i] = 0;
        if (thread == 0) s.listed = 0;
        __syncthreads();
        for (int j = thread; j < n; j += threads) {
          const float w = source(j);
          const uint32_t bits = __float_as_uint(w);
          if (w > 0 && bits >= from && bits < end) s.piece[atomicAdd(&s.listed, 1u)] = bits;
        }
        for (int size = 2; size <= kPiece; size *= 2) {  // bitonic, descending
          for (int step = size / 2; step > 0; step /= 2) {
            __syncthreads();
            for (int i = thread; i < kPiece / 2; i += threads) {
              const int at = i / step * 2 * step + i % step;
              const uint32_t a = s.piece[at], b = s.piece[at + step];
              if ((a < b) == ((at & size) == 0)) s.piece[at] = b, s.piece[at + step] = a;
            }
          }
        }
        __syncthreads();
      }
      if (thread == 0) {
        for (uint32_t i = 0; i < in_piece; ++i) {
          const uint32_t bits = equal ? from : s.piece[i];
          if (run == 1 && last != 0 && sum >= target) break;
          sum += __uint_as_float(bits);
          ties = bits == last ? ties + 1 : 1;
          last = bits;
        }
        s.found_equal = run == 1 && sum >= target;
      }
      __syncthreads();
      const bool done = s.found_equal != 0;
      __syncthreads();
      if (done) break;
      end = from;
    }
    if (thread == 0) {
      s.found_bits = last;
      s.found_equal = ties;
      s.found_above = __double_as_longlong(sum);
    }
    __syncthreads();
    total = __longlong_as_double(s.found_above);
  }
  const float threshold = __uint_as_float(s.found_bits);
  return {threshold, EndOfTies(source, n, threshold, s.found_equal, team)};
}

// The nucleus of mass p, or the `largest` largest positive weights if that is not 0; n >= 1. columns: ColumnsOf words. All
// threads that work on the row call, and synchronise before they do so again.
template <bool kCluster, class Source>
__device__ Cut FindCut(const Source& source, int n, double p, int most, uint32_t* columns,
                       Team<kCluster>& team) {
  NucleusShared& s = team.shared();
  const int thread = threadIdx.x, threads = blockDim.x;
  uint32_t* column = columns + thread;
  int count = 0;  // of this thread's candidates

  if (thread == 0) s.listed = 0, s.found_equal = 0;
  uint32_t extremes[2] = {0, 0};  // the largest, the smallest's complement
  ForFours(source, SliceOf(n, team.Rank(), team.kBlocks), [&](int j, const float(&x)[4]) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      if (!(x[c] > 0 && j + c < n)) continue;
      const uint32_t bits = __float_as_uint(x[c]);
      column[count++ * threads] = bits;
      extremes[0] = max(extremes[0], bits);
      extremes[1] = max(extremes[1], ~bits);
    }
  });
  team.Max(extremes);
  const uint32_t largest = extremes[0], smallest = ~extremes[1];
  const bool counts_only = most > 0;
  if (largest == 0 || !(counts_only || p > 0)) return {__uint_as_float(kInfinityBits), 0};
  if (largest == kInfinityBits && !counts_only) {
    const float infinity = __uint_as_float(kInfinityBits);
    return {infinity, EndOfTies(source, n, infinity, 1, team)};
  }

  const Units units = UnitsOf(largest, n, counts_only);
  const auto below = [&](uint32_t octaves) {
    return largest > octaves << 23 ? largest - (octaves << 23) : 1u;
  };
  // Candidates are in [edges[0], edges[4]). The mass from edges[0] up reaches the target, that from edges[4] up, `above`,
  // does not.
  uint32_t edges[5] = {1, below(10), below(6), below(3), largest + 1};
  uint64_t above = 0, target = 0, total = 0, candidates = 0;
  for (int pass = 0;; ++pass) {
    uint64_t mass[4] = {};
    uint32_t number[3] = {};
    for (int i = 0; i < count; ++i) {
      const uint32_t bits = column[i * threads];
      const uint64_t weight = units(bits);
      mass[3] += weight;
#pragma unroll
      for (int k = 0; k < 3; ++k) {
        if (bits < edges[k + 1]) continue;
        mass[k] += weight;
        ++number[k];
      }
    }
    if (pass > 0)
      mass[3] = number[0] | static_cast<uint64_t>(number[1]) << 21 | static_cast<uint64_t>(number[2]) << 42;
    team.Sum(mass);
    if (pass == 0) {
      total = mass[3];
      if (counts_only && total <= static_cast<uint64_t>(most)) return {0, 0};
      const uint64_t part = __double2ull_ru(p * static_cast<double>(total));
      target = counts_only ? static_cast<uint64_t>(most) : min(part, total);
    }
    const uint64_t mask = (1 << 21) - 1;
    const uint64_t n0 = mass[3] & mask, n1 = mass[3] >> 21 & mask, n2 = mass[3] >> 42;
    uint32_t low, high;
    if (above + mass[2] >= target) {
      low = edges[3], high = edges[4], candidates = n2;
    } else if (above + mass[1] >= target) {
      low = edges[2], high = edges[3], candidates = n1 - n2, above += mass[2];
    } else if (above + mass[0] >= target) {
      low = edges[1], high = edges[2], candidates = n0 - n1, above += mass[1];
    } else {
      low = edges[0], high = edges[1], candidates -= n0, above += mass[0];
    }
    if (pass == 0 && !counts_only) {
      // Weights below (1 - p) of the mean cannot add up to 1 - p of the mass: they are outside.
      const double mean = static_cast<double>(total) * units.Size() / n;
      low = max(low, __float_as_uint(static_cast<float>((1 - p) * (1 - 1e-6) * mean)));
    }
    if (low >= high) return NucleusBySorting(source, n, p, team);
    const uint32_t span = high - low;
    if (pass > 0 && (candidates <= kFew || span == 1)) {
      edges[0] = low, edges[4] = high;
      break;
    }

    int kept = 0;
    for (int i = 0; i < count; ++i) {
      const uint32_t bits = column[i * threads];
      if (bits - low < span) column[kept++ * threads] = bits;
    }
    count = kept;
    // The first pass has not counted: the second one counts them all, at the lowest threshold.
    edges[0] = low;
    edges[1] = pass == 0 ? low : low + span / 4;
    edges[2] = pass == 0 ? low + span / 3 : low + span / 2;
    edges[3] = edges[2] + (pass == 0 ? span / 3 : span / 4);
    edges[4] = high;
  }

  uint32_t crossing = edges[0], equal = static_cast<uint32_t>(candidates);  // the value, and how many have it
  if (edges[4] - edges[0] > 1) {
    for (int i = 0; i < count; ++i) {
      const uint32_t bits = column[i * threads];
      if (bits - edges[0] >= edges[4] - edges[0]) continue;
      if constexpr (kCluster) {
        const uint32_t at = AddIn(0, &s.listed, 1);
        for (int rank = 0; rank < kClusterBlocks; ++rank) StoreIn(rank, &s.list[at], bits);
      } else {
        s.list[atomicAdd(&s.listed, 1u)] = bits;
      }
    }
    team.Sync();
    const int group = threads / kFew, which = thread / group, few = static_cast<int>(candidates);
    const uint32_t bits = which < few ? s.list[which] : 0;
    uint64_t before = 0;
    equal = 0;
    for (int i = thread % group; i < few; i += group) {
      const uint32_t other = s.list[i];
      before += other > bits ? units(other) : 0;
      equal += other == bits;
    }
    for (int step = group / 2; step > 0; step /= 2) {
      before += __shfl_xor_sync(kAllLanes, before, step);
      equal += __shfl_xor_sync(kAllLanes, equal, step);
    }
    before += above;
    if (which < few && before < target && before + equal * units(bits) >= target) {
      s.found_bits = bits;  // all that are here write the same
      s.found_above = before;
      s.found_equal = equal;
    }
    __syncthreads();
    crossing = s.found_bits;
    above = s.found_above;
    equal = s.found_equal;
  }

  // The fewest ties that reach the target.
  const uint64_t weight = units(crossing);
  if (equal == 0 || weight == 0) return NucleusBySorting(source, n, p, team);
  uint64_t ties = (target - above + weight - 1) / weight;
  ties = ties < equal ? ties : equal;
  // Every sum, on the CPU too, is a multiple of the smallest weight's last bit: exact while that fits 53 bits.
  const int last_bit = units.shift - (units.exponent - Units::ExponentOf(smallest));
  const bool exact = counts_only || (last_bit >= 10) || (last_bit >= 0 && total >> (53 + last_bit) == 0);
  const uint64_t margin =
      exact ? 0 : 2 * n + 2 + static_cast<uint64_t>(static_cast<double>(total) * n * 0x1p-50);
  const bool certain =
      above + ties * weight >= target + margin && above + (ties - 1) * weight + margin < target;
  if (!certain) return NucleusBySorting(source, n, p, team);
  const float threshold = __uint_as_float(crossing);
  return {threshold, ties == equal ? n : EndOfTies(source, n, threshold, ties, team)};
}

// How a launch divides rows of n weights among threads.
struct NucleusPlan {
  int blocks;       // a row's: 1 or kClusterBlocks
  int threads;      // a block's
  int64_t columns;  // words, a block's
  bool in_shared;   // the columns are in shared memory, else in scratch
  size_t shared_bytes;

  size_t scratch_bytes() const { return in_shared ? 0 : static_cast<size_t>(columns) * sizeof(uint32_t); }
};

// clusters: whether the kernel for them is to be had. Rows of up to 16384 are done sooner by one block. most_threads: of
// a block that is alone, 512 or more.
inline NucleusPlan PlanNucleus(const CudaStream& stream, int64_t n, bool clusters, int most_threads,
                               size_t other_shared = 0) {
  constexpr int64_t kOneBlock = 16384;
  const size_t room = static_cast<size_t>(stream.shared_bytes_per_block());
  const auto plan = [&](int blocks, int threads) {
    const int64_t fours = CeilDiv<int64_t>(CeilDiv<int64_t>(n, blocks), 4);
    const int64_t columns = CeilDiv<int64_t>(fours, threads) * threads * 4;
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

}  // namespace gpu
}  // namespace specattn

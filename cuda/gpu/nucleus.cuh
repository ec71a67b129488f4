// The nucleus of a row of weights, on the device: cpu/nucleus.h says what it is and why no sorting is needed.
//
// Weights are counted as integers, in units of a small part of the largest one: exact, whatever the order, on however many
// threads. Where the part of a weight below the unit or the rounding of float64 could change the answer, the row is sorted
// after all, piece by piece.
//
// CutOfHeld: a block holds a row in registers or shared memory. One pass drops the weights into bins of shared memory, by
// the leading bits of the float; a bin knows its mass from the number of its weights and the sum of their other bits. The
// bin in which the mass crosses p is divided again if it has many, until few are left that are compared with each other.
//
// FindCut: longer rows, and what CutOfHeld leaves over. One block has a row, or a cluster of blocks has it in slices. Every
// thread keeps its candidates for itself, in a column of shared memory. A pass weighs them at three thresholds, adds up over
// the block and keeps the part in which the mass crosses p.
#pragma once
#include <algorithm>

#include "cluster.cuh"
#include "four.cuh"
#include "launch.cuh"
#include "reduce.cuh"
#include "scan.cuh"
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
constexpr int kBinsAThread = 4;
constexpr int kOctaves = 32;             // that the bins cover, from the largest weight down
constexpr int kInShared = -1;            // what PlanHeldNucleus says of rows too long for registers
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
  template <int kFours>
  __device__ __forceinline__ void Load(int j, int stride, float (&x)[kFours][4]) const {
    if (aligned) {
#pragma unroll
      for (int i = 0; i < kFours; ++i) LoadFour<true>(row, j + i * stride, n, x[i]);
    } else {
#pragma unroll
      for (int i = 0; i < kFours; ++i) LoadFour<false>(row, j + i * stride, n, x[i]);
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
  __device__ __forceinline__ static uint32_t MantissaOf(uint32_t bits) {
    return bits >> 23 == 0 ? bits : (bits & 0x7fffffu) | 0x800000u;
  }
  __device__ __forceinline__ uint64_t operator()(uint32_t bits) const {
    const uint64_t x =
        (static_cast<uint64_t>(MantissaOf(bits)) << shift) >> min(exponent - ExponentOf(bits), 63);
    return count ? 1 : x;
  }
  // Of `number` weights of one octave: their bits are those of `first` plus parts that add up to `excess`.
  __device__ __forceinline__ uint64_t OfMany(uint32_t number, uint32_t first, uint32_t excess) const {
    const uint64_t sum = static_cast<uint64_t>(number) * MantissaOf(first) + excess;
    return (sum << shift) >> min(exponent - ExponentOf(first), 63);
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

// Which of the `few` weights listed the mass crosses the target at, after `above` from larger ones: s.found_bits, how many
// have that value, and the mass above it. s.found_equal stays 0 where it is none of them.
__device__ __forceinline__ void CompareFew(NucleusShared& s, int few, const Units& units, uint64_t above,
                                           uint64_t target) {
  const int group = blockDim.x / kFew, which = threadIdx.x / group;
  const uint32_t bits = which < few ? s.list[which] : 0;
  uint64_t before = 0;
  uint32_t equal = 0;
  for (int i = threadIdx.x % group; i < few; i += group) {
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
}

// Where the mass from the largest weight down crosses the target: among `equal` weights of the value `bits`.
struct Crossing {
  Units units;
  uint64_t total, target, above;
  uint32_t bits, equal, smallest;
};

// How many of the equal weights it takes, the fewest that reach the target. 0 where that hangs on rounding.
__device__ __forceinline__ uint64_t TiesAt(const Crossing& at, int n) {
  const uint64_t weight = at.units(at.bits);
  if (at.equal == 0 || weight == 0) return 0;
  uint64_t ties = (at.target - at.above + weight - 1) / weight;
  ties = ties < at.equal ? ties : at.equal;
  // Every sum, on the CPU too, is a multiple of the smallest weight's last bit: exact while that fits 53 bits.
  const int last_bit = at.units.shift - (at.units.exponent - Units::ExponentOf(at.smallest));
  const bool exact = at.units.count || last_bit >= 10 || (last_bit >= 0 && at.total >> (53 + last_bit) == 0);
  const uint64_t margin =
      exact ? 0 : 2 * n + 2 + static_cast<uint64_t>(static_cast<double>(at.total) * n * 0x1p-50);
  const bool certain =
      at.above + ties * weight >= at.target + margin && at.above + (ties - 1) * weight + margin < at.target;
  return certain ? ties : 0;
}

// The nucleus of mass p, or the `most` largest positive weights if that is not 0; n >= 1. columns: a block's words, in shared memory or scratch. All
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
    CompareFew(s, static_cast<int>(candidates), units, above, target);
    crossing = s.found_bits;
    above = s.found_above;
    equal = s.found_equal;
  }
  const uint64_t ties = TiesAt({units, total, target, above, crossing, equal, smallest}, n);
  if (ties == 0) return NucleusBySorting(source, n, p, team);
  const float threshold = __uint_as_float(crossing);
  return {threshold, ties == equal ? n : EndOfTies(source, n, threshold, ties, team)};
}

// A barrier and CutOfHeld come next.
__device__ __forceinline__ void ClearBins(uint32_t* bins) {
  auto* fours = reinterpret_cast<uint4*>(bins);
  fours[threadIdx.x] = make_uint4(0, 0, 0, 0);
  fours[threadIdx.x + blockDim.x] = make_uint4(0, 0, 0, 0);
}

// A cut, or what is left to do for it: no call is made while registers hold a row.
struct HeldCut {
  Cut cut;
  enum { kDone, kTies, kUnknown } state;
  int ties;  // of those equal to the threshold, the first so many
};

// The cut that CutOfHeld has left over. columns may be the bins' memory. All threads call.
template <class Source>
__device__ __noinline__ Cut FinishCut(const HeldCut& held, const Source& source, int n, double p,
                                      uint32_t* columns, Team<false>& team) {
  __syncthreads();
  const float threshold = held.cut.threshold;
  if (held.state == HeldCut::kTies) return {threshold, EndOfTies(source, n, threshold, held.ties, team)};
  return FindCut(source, n, p, 0, columns, team);
}

// A row that a block holds: the bits of its weights, 0 where a weight is not positive or not to be counted. A thread has
// the fours from 4 * (thread + i * threads) on. ForFours calls fn(j, bits[4]) for each of those before n.
template <int kFours>
struct InRegisters {
  uint32_t bits[kFours][4];

  template <class Fn>
  __device__ __forceinline__ void ForFours(int n, const Fn& fn) {
#pragma unroll
    for (int i = 0; i < kFours; ++i) {
      const int j = 4 * (threadIdx.x + i * blockDim.x);
      if (j < n) fn(j, bits[i]);
    }
  }
  // Takes n weights, of which the first get_visible() count, and returns that: asked for after the loads where it can be.
  template <class Source, class Visible>
  __device__ __forceinline__ int Fill(const Source& source, int, const Visible& get_visible) {
    const int begin = 4 * threadIdx.x, stride = 4 * blockDim.x;
    float x[kFours][4];
    source.Load(begin, stride, x);
    const int visible = get_visible();
#pragma unroll
    for (int i = 0; i < kFours; ++i) {
#pragma unroll
      for (int c = 0; c < 4; ++c)
        bits[i][c] = x[i][c] > 0 && begin + i * stride + c < visible ? __float_as_uint(x[i][c]) : 0;
    }
    return visible;
  }
};
struct InShared {
  uint4* fours;

  template <class Fn>
  __device__ __forceinline__ void ForFours(int n, const Fn& fn) {
#pragma unroll 2
    for (int i = threadIdx.x; 4 * i < n; i += blockDim.x) {
      const uint4 x = fours[i];
      const uint32_t bits[4] = {x.x, x.y, x.z, x.w};
      fn(4 * i, bits);
    }
  }
  template <class Source, class Visible>
  __device__ __forceinline__ int Fill(const Source& source, int n, const Visible& get_visible) {
    const int visible = get_visible();
    gpu::ForFours(source, Slice{0, n}, [&](int j, const float(&x)[4]) {
      uint32_t bits[4];
#pragma unroll
      for (int c = 0; c < 4; ++c) bits[c] = x[c] > 0 && j + c < visible ? __float_as_uint(x[c]) : 0;
      fours[j / 4] = make_uint4(bits[0], bits[1], bits[2], bits[3]);
    });
    return visible;
  }
};
template <int kFours>
struct HeldBy {
  using Type = InRegisters<kFours>;
  static __device__ __forceinline__ Type At(uint32_t*) { return {}; }
};
template <>
struct HeldBy<kInShared> {
  using Type = InShared;
  static __device__ __forceinline__ Type At(uint32_t* bins) {
    return {reinterpret_cast<uint4*>(bins + 2 * kBinsAThread * blockDim.x)};
  }
};

// The nucleus of mass p of the n weights that a block holds. Threads are a power of 2, from 128 to 1024. bins: 2 *
// kBinsAThread a thread, cleared. All threads call, and synchronise before they do so again.
template <class Held>
__device__ __forceinline__ HeldCut CutOfHeld(Held& held, int n, double p, uint32_t* bins, Team<false>& team) {
  NucleusShared& s = team.shared();
  const int thread = threadIdx.x, threads = blockDim.x, lane = thread % kWarp, warp = thread / kWarp,
            warps = threads / kWarp;
  if (thread == 0) s.rest = 0, s.listed = 0, s.found_equal = 0, s.found_number[0] = 0;
  uint32_t extremes[2] = {0, 0};  // the largest, and the smallest's negative
  held.ForFours(n, [&](int, const uint32_t(&bits)[4]) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      extremes[0] = max(extremes[0], bits[c]);
      extremes[1] = max(extremes[1], 0u - bits[c]);
    }
  });
  team.Max(extremes);
  const uint32_t largest = extremes[0], smallest = 0u - extremes[1];
  const Cut nothing = {__uint_as_float(kInfinityBits), 0};
  if (largest == 0 || !(p > 0)) return {nothing, HeldCut::kDone, 0};
  if (largest == kInfinityBits) return {nothing, HeldCut::kUnknown, 0};

  const Units units = UnitsOf(largest, n, false);
  const int log_bins = 31 - __clz(kBinsAThread * threads);
  uint32_t* const numbers = bins;
  uint32_t* const excesses = bins + (1 << log_bins);
  // Candidates are low and the span - 1 next values. Bin b has those with the leading bits top - b; an octave has
  // 1 / kOctaves of the bins, and all that a bin adds up fits 32 bits.
  int shift = 23 + 5 - log_bins;
  static_assert(kOctaves == 1 << 5, "");
  uint32_t low = 1, span = largest, top = largest >> shift, number = 0;
  uint64_t above = 0, total = 0, target = 0;
  for (int level = 0;; ++level) {
    const uint32_t others = (1u << shift) - 1;
    bool below = false;
    held.ForFours(n, [&](int, const uint32_t(&bits)[4]) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const uint32_t x = bits[c];
        if (x - low >= span) continue;
        const uint32_t b = top - (x >> shift);
        if (b >> log_bins == 0) {
          atomicAdd(numbers + b, 1u);
          atomicAdd(excesses + b, x & others);
        } else {
          below = true;
        }
      }
    });
    if (__any_sync(kAllLanes, below)) {
      uint64_t rest = 0;
      held.ForFours(n, [&](int, const uint32_t(&bits)[4]) {
#pragma unroll
        for (int c = 0; c < 4; ++c)
          if (bits[c] - low < span && (top - (bits[c] >> shift)) >> log_bins != 0) rest += units(bits[c]);
      });
      rest = WarpScan(rest, Plus());
      if (lane == kWarp - 1)
        atomicAdd(reinterpret_cast<unsigned long long*>(&s.rest), static_cast<unsigned long long>(rest));
    }
    __syncthreads();
    if (thread == 0) s.found_number[(level + 1) % 2] = 0;
    // Calls fn(number, first value, mass) for each of the thread's bins.
    const auto for_bins = [&](const auto& fn) {
      const uint4 number4 = reinterpret_cast<const uint4*>(numbers)[thread],
                  excess4 = reinterpret_cast<const uint4*>(excesses)[thread];
      const uint32_t in_bin[4] = {number4.x, number4.y, number4.z, number4.w},
                     excess[4] = {excess4.x, excess4.y, excess4.z, excess4.w};
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const uint32_t first = (top - (4 * thread + k)) << shift;
        fn(in_bin[k], first, in_bin[k] == 0 ? 0 : units.OfMany(in_bin[k], first, excess[k]));
      }
    };
    uint64_t sum = 0;
    for_bins([&](uint32_t, uint32_t, uint64_t mass) { sum += mass; });
    const uint64_t up_to_here = WarpScan(sum, Plus());
    if (lane == kWarp - 1) s.bin_sums[warp] = up_to_here;
    __syncthreads();
    const uint64_t up_to_warp = WarpScan(lane < warps ? s.bin_sums[lane] : 0, Plus());
    if (level == 0) {
      total = __shfl_sync(kAllLanes, up_to_warp, kWarp - 1) + s.rest;
      const uint64_t part = __double2ull_ru(p * static_cast<double>(total));
      target = min(part, total);
    }
    const uint64_t up_to_previous = __shfl_sync(kAllLanes, up_to_warp, warp > 0 ? warp - 1 : 0);
    uint64_t before = above + (up_to_here - sum) + (warp > 0 ? up_to_previous : 0);
    if (before < target && before + sum >= target) {
      bool found = false;
      for_bins([&](uint32_t in_bin, uint32_t first, uint64_t mass) {
        if (!found && before + mass >= target) {
          found = true;
          s.found_bits = first;
          s.found_above = before;
          s.found_number[level % 2] = in_bin;
        }
        before += mass;
      });
    }
    ClearBins(bins);
    __syncthreads();
    number = s.found_number[level % 2];
    // p so close to 1 that it is crossed below the bins, or what bins round at once came apart.
    if (number == 0) return {nothing, HeldCut::kUnknown, 0};
    // The lowest bin begins at 0, but the zeros among the held bits are no candidates.
    low = max(s.found_bits, 1u), span = s.found_bits + (1u << shift) - low, above = s.found_above;
    if (shift == 0 || number <= kFew) break;
    shift = max(shift - log_bins, 0);
    top = (low + span - 1) >> shift;
  }

  uint32_t crossing = low;
  if (span > 1) {
    held.ForFours(n, [&](int, const uint32_t(&bits)[4]) {
#pragma unroll
      for (int c = 0; c < 4; ++c)
        if (bits[c] - low < span) s.list[atomicAdd(&s.listed, 1u)] = bits[c];
    });
    __syncthreads();
    CompareFew(s, static_cast<int>(number), units, above, target);
    crossing = s.found_bits;
    above = s.found_above;
    number = s.found_equal;
  }
  const int ties = static_cast<int>(TiesAt({units, total, target, above, crossing, number, smallest}, n));
  const Cut cut = {__uint_as_float(crossing), n};
  return {cut,
          ties == 0                          ? HeldCut::kUnknown
          : ties == static_cast<int>(number) ? HeldCut::kDone
                                             : HeldCut::kTies,
          ties};
}

// How a launch divides rows of n weights among threads.
struct NucleusPlan {
  int blocks;       // a row's: 1 or kClusterBlocks
  int threads;      // a block's
  int64_t columns;  // words, a block's
  bool in_shared;   // the columns are in shared memory, else in scratch
  size_t shared_bytes;
  int held = 0;  // fours that a thread holds in registers, or kInShared, or 0 where the row is not held

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

// The same where rows that a block can hold have kernels of their own: for few_held fours a thread and up to few_threads,
// and for kInShared.
inline NucleusPlan PlanHeldNucleus(const CudaStream& stream, int64_t n, bool clusters, int most_threads,
                                   int few_held, int few_threads, size_t other_shared = 0) {
  const int64_t fours = CeilDiv<int64_t>(n, 4);
  int threads = 128;
  while (threads < few_threads && fours > few_held * threads) threads *= 2;
  const bool few = fours <= few_held * threads;
  const int64_t columns = CeilDiv<int64_t>(fours, threads) * threads * 4;
  const size_t before = kNucleusShared + other_shared, columns_bytes = columns * sizeof(uint32_t),
               bins = 2 * kBinsAThread * threads * sizeof(uint32_t),
               all = before + (few ? std::max(bins, columns_bytes) : bins + columns_bytes);
  const bool held = n <= kLongestInShared && all <= static_cast<size_t>(stream.shared_bytes_per_block());
  if (!held) return PlanNucleus(stream, n, clusters, most_threads, other_shared);
  return {1, threads, columns, true, all, few ? few_held : kInShared};
}

}  // namespace gpu
}  // namespace specattn

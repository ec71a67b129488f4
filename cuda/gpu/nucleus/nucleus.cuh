// The nucleus of a row of weights, on the device: cpu/nucleus.h says what it is and why no sorting is needed.
//
// Weights are counted as integers, in units of a small part of the largest one: exact, whatever the order, on however many
// threads. Where the part of a weight below the unit or the rounding of float64 could change the answer, the row is sorted
// after all, piece by piece.
//
// FindCut: rows of any length. One block has a row, or a cluster of blocks has it in slices. Every thread keeps its
// candidates for itself, in a column of shared memory. A pass weighs them at three thresholds, adds up over the block and
// keeps the part in which the mass crosses p. Rows that a block can hold are done sooner by block_nucleus.cuh.
#pragma once
#include "gpu/nucleus/nucleus_rows.cuh"

namespace specattn {
namespace gpu {

// The index after the `ties`-th weight that equals the threshold. There are that many.
template <bool kCluster, class Source>
__device__ __noinline__ int EndOfTies(const Source& source, int n, float threshold, uint64_t ties,
                                      ThreadGroup<kCluster>& group) {
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
    group.template Sum<false>(counts);
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
__device__ __noinline__ Cut NucleusBySorting(const Source& source, int n, double p,
                                             ThreadGroup<kCluster>& group) {
  NucleusShared& s = group.shared();
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
    group.template Sum<false>(counts);
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
  return {threshold, EndOfTies(source, n, threshold, s.found_equal, group)};
}

// Which of the `few` weights listed the mass crosses the target at, after `above` from larger ones: s.found_bits, how many
// have that value, and the mass above it. s.found_equal stays 0 where it is none of them.
__device__ __forceinline__ void CompareFew(NucleusShared& s, int few, const FixedPoint& fixed_point,
                                           uint64_t above, uint64_t target) {
  const int group = blockDim.x / kFew, which = threadIdx.x / group;
  const uint32_t bits = which < few ? s.list[which] : 0;
  uint64_t before = 0;
  uint32_t equal = 0;
  for (int i = threadIdx.x % group; i < few; i += group) {
    const uint32_t other = s.list[i];
    before += other > bits ? fixed_point(other) : 0;
    equal += other == bits;
  }
  for (int step = group / 2; step > 0; step /= 2) {
    before += __shfl_xor_sync(kAllLanes, before, step);
    equal += __shfl_xor_sync(kAllLanes, equal, step);
  }
  before += above;
  if (which < few && before < target && before + equal * fixed_point(bits) >= target) {
    s.found_bits = bits;  // all that are here write the same
    s.found_above = before;
    s.found_equal = equal;
  }
  __syncthreads();
}

// Where the mass from the largest weight down crosses the target: among `equal` weights of the value `bits`.
struct Crossing {
  FixedPoint fixed_point;
  uint64_t total, target, above;
  uint32_t bits, equal, smallest;
};

// How many of the equal weights it takes, the fewest that reach the target. 0 where that hangs on rounding.
__device__ __forceinline__ uint64_t TiesAt(const Crossing& at, int n) {
  const uint64_t weight = at.fixed_point(at.bits);
  if (at.equal == 0 || weight == 0) return 0;
  uint64_t ties = (at.target - at.above + weight - 1) / weight;
  ties = ties < at.equal ? ties : at.equal;
  // Every sum, on the CPU too, is a multiple of the smallest weight's last bit: exact while that fits 53 bits.
  const int last_bit = at.fixed_point.shift - (at.fixed_point.exponent - FixedPoint::ExponentOf(at.smallest));
  const bool exact =
      at.fixed_point.counts_only || last_bit >= 10 || (last_bit >= 0 && at.total >> (53 + last_bit) == 0);
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
                       ThreadGroup<kCluster>& group) {
  NucleusShared& s = group.shared();
  const int thread = threadIdx.x, threads = blockDim.x;
  uint32_t* column = columns + thread;
  int count = 0;  // of this thread's candidates

  if (thread == 0) s.listed = 0, s.found_equal = 0;
  uint32_t extremes[2] = {0, 0};  // the largest, the smallest's complement
  ForEachVec4(source, SliceOf(n, group.Rank(), group.kBlocks), [&](int j, const float(&x)[4]) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      if (!(x[c] > 0 && j + c < n)) continue;
      const uint32_t bits = __float_as_uint(x[c]);
      column[count++ * threads] = bits;
      extremes[0] = max(extremes[0], bits);
      extremes[1] = max(extremes[1], ~bits);
    }
  });
  group.Max(extremes);
  const uint32_t largest = extremes[0], smallest = ~extremes[1];
  const bool counts_only = most > 0;
  if (largest == 0 || !(counts_only || p > 0)) return {__uint_as_float(kInfinityBits), 0};
  if (largest == kInfinityBits && !counts_only) {
    const float infinity = __uint_as_float(kInfinityBits);
    return {infinity, EndOfTies(source, n, infinity, 1, group)};
  }

  const FixedPoint fixed_point = FixedPointFor(largest, n, counts_only);
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
      const uint64_t weight = fixed_point(bits);
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
    group.Sum(mass);
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
      const double mean = static_cast<double>(total) * fixed_point.UnitSize() / n;
      low = max(low, __float_as_uint(static_cast<float>((1 - p) * (1 - 1e-6) * mean)));
    }
    if (low >= high) return NucleusBySorting(source, n, p, group);
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
    group.Sync();
    CompareFew(s, static_cast<int>(candidates), fixed_point, above, target);
    crossing = s.found_bits;
    above = s.found_above;
    equal = s.found_equal;
  }
  const uint64_t ties = TiesAt({fixed_point, total, target, above, crossing, equal, smallest}, n);
  if (ties == 0) return NucleusBySorting(source, n, p, group);
  const float threshold = __uint_as_float(crossing);
  return {threshold, ties == equal ? n : EndOfTies(source, n, threshold, ties, group)};
}

}  // namespace gpu
}  // namespace specattn

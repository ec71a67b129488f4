// FindCut: the nucleus of a row of weights on the GPU. The nucleus is the smallest set of elements whose mass reaches p of the
// row's; it is found by a search for the smallest weight in it, without sorting. cpu/nucleus.h has the exact definition.
//
// Weights are added as fixed-point integers (FixedPoint), so that sums are exact in any order and on any number of threads.
// Where the part of the weights below the unit, or the rounding of the definition's float64 sums, could change the result,
// the row is sorted after all, piece by piece.
//
// FindCut takes rows of any length up to kLongestRow. One block searches a row, or a cluster of blocks does, a slice each.
// Every thread keeps its candidates in a column of its own. A pass computes the mass from each of three thresholds on and
// keeps the candidates between the two thresholds where the mass crosses p. Rows that fit into one block are faster with
// FindBlockCut (block_nucleus.cuh).
#pragma once
#include "gpu/nucleus/nucleus_rows.cuh"

namespace specattn {
namespace gpu {

// The index after the `ties`-th weight that equals the threshold. The row must have that many. Every block of a cluster
// searches the whole row.
template <bool kCluster, class Source>
__device__ __noinline__ int EndOfTies(const Source& source, int n, float threshold, uint64_t ties,
                                      ThreadGroup<kCluster>& group) {
  // The index is in (low, high]. `ties` is how many of the equal weights from low on are still needed.
  int low = 0, high = n;
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

// The nucleus by its definition: the weights in descending order, added up in float64 by one thread. The first run gives the
// total, the second ends where p of it is reached. Up to kPiece weights at a time are sorted in shared memory, the largest
// first. Every block of a cluster does the same work.
template <bool kCluster, class Source>
__device__ __noinline__ Cut NucleusBySorting(const Source& source, int n, double p,
                                             ThreadGroup<kCluster>& group) {
  NucleusShared& s = group.shared();
  const int thread = threadIdx.x, threads = blockDim.x;
  // Sets counts[i] to the number of weights whose bits are in [x[i], end).
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
    // Only thread 0 keeps these: the sum, the bits of the last weight in it, and how many weights in it equal that one.
    double sum = 0;
    uint32_t last = 0, ties = 0;
    uint32_t end = kInfinityBits;  // the pieces before had the weights from here on
    for (;;) {
      uint32_t low = 0, high = end;  // [low, end) has more than kPiece weights, [high, end) does not
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
      // Where [high, end) is empty, more than kPiece weights have the value `low`: they need no sorting.
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

// Finds the weight among the first `few` of s.list at which the mass, added up from the largest weight down, crosses the
// target; `above` is the mass of the weights larger than all of the list. Sets s.found_bits to its bits, s.found_above to the
// mass of all larger weights and s.found_equal to the number of listed weights that equal it. Where the mass crosses at none
// of them s.found_equal stays as it was, which callers make 0. All threads of the block call.
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
    s.found_bits = bits;  // all threads that get here write the same values
    s.found_above = before;
    s.found_equal = equal;
  }
  __syncthreads();
}

// Where the mass, added up from the largest weight down, crosses the target: among the `equal` weights of the value `bits`.
struct Crossing {
  FixedPoint fixed_point;
  // In units: mass of the row, mass to reach, mass of the weights larger than `bits`.
  uint64_t total, target, above;
  uint32_t bits, equal, smallest;  // smallest: bits of the row's smallest positive weight
};

// The fewest of the equal weights that reach the target, or 0 where that depends on rounding.
__device__ __forceinline__ uint64_t TiesAt(const Crossing& at, int n) {
  const uint64_t weight = at.fixed_point(at.bits);
  if (at.equal == 0 || weight == 0) return 0;
  uint64_t ties = (at.target - at.above + weight - 1) / weight;
  ties = ties < at.equal ? ties : at.equal;
  // Every sum is a multiple of the smallest weight's last bit. If that bit is at least a unit the integers are exact, and if
  // the total has at most 53 bits above it the definition's float64 sums are exact too.
  const int last_bit = at.fixed_point.shift - (at.fixed_point.exponent - FixedPoint::ExponentOf(at.smallest));
  const bool exact =
      at.fixed_point.counts_only || last_bit >= 10 || (last_bit >= 0 && at.total >> (53 + last_bit) == 0);
  const uint64_t margin =
      exact ? 0 : 2 * n + 2 + static_cast<uint64_t>(static_cast<double>(at.total) * n * 0x1p-50);
  const bool certain =
      at.above + ties * weight >= at.target + margin && at.above + (ties - 1) * weight + margin < at.target;
  return certain ? ties : 0;
}

// The nucleus of mass p of the first n weights, or their `most` largest positive weights where `most` is not 0; n >= 1. Ties go
// to the lower index, negative and NaN weights count as 0, and with p the first infinite weight alone is the nucleus.
// columns: NucleusPlan::columns words for this block, in shared or scratch memory. All threads of the group call, and
// synchronise before they call again; those of a cluster synchronise before the first call too, so that all blocks run.
template <bool kCluster, class Source>
__device__ Cut FindCut(const Source& source, int n, double p, int most, uint32_t* columns,
                       ThreadGroup<kCluster>& group) {
  NucleusShared& s = group.shared();
  const int thread = threadIdx.x, threads = blockDim.x;
  uint32_t* column = columns + thread;
  int count = 0;  // of this thread's candidates, which are in column[i * threads]

  if (thread == 0) s.listed = 0, s.found_equal = 0;
  uint32_t extremes[2] = {0, 0};  // bits of the largest weight, complement of those of the smallest
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
  // Candidates have bits in [edges[0], edges[4]). The mass of all weights from edges[0] on reaches the target; `above`, the
  // mass of those from edges[4] on, does not. The first thresholds are 10, 6 and 3 octaves below the largest weight.
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
      // Weights below (1 - p) times the mean add up to less than 1 - p of the mass, so none of them is in the nucleus.
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
    // The first pass has no counts, because its fourth sum is the total. So the second pass counts all candidates at its first
    // threshold, and splits them at the other two.
    edges[0] = low;
    edges[1] = pass == 0 ? low : low + span / 4;
    edges[2] = pass == 0 ? low + span / 3 : low + span / 2;
    edges[3] = edges[2] + (pass == 0 ? span / 3 : span / 4);
    edges[4] = high;
  }

  // Bits of the weight at which the mass crosses the target, and how many weights equal it.
  uint32_t crossing = edges[0], equal = static_cast<uint32_t>(candidates);
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

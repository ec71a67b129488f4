// FindBlockCut: the nucleus (nucleus.cuh) of a row of weights that one block holds in registers or shared memory.
//
// A pass counts the weights into bins in shared memory by the leading bits of the float. A bin's mass follows from the number
// of its weights and the sum of their other bits. The bin in which the mass crosses p is divided into bins again while it has
// more than kFew weights; the last candidates are compared with each other. FinishCut handles the rows for which this does
// not suffice.
#pragma once
#include "gpu/nucleus/nucleus.cuh"
#include "gpu/primitives/reduce.cuh"
#include "gpu/primitives/scan.cuh"

namespace specattn {
namespace gpu {

constexpr int kOctaves = 32;  // octaves that the first bins cover, from the largest weight down

// Zeroes the bins before FindBlockCut, which has a barrier before it uses them.
__device__ __forceinline__ void ClearBins(uint32_t* bins) {
  auto* vecs = reinterpret_cast<uint4*>(bins);
  vecs[threadIdx.x] = make_uint4(0, 0, 0, 0);
  vecs[threadIdx.x + blockDim.x] = make_uint4(0, 0, 0, 0);
}

// What FindBlockCut has found. It leaves rare cases to FinishCut, because a function call inside it would force the row out of
// the registers.
struct BlockCut {
  Cut cut;
  // kDone: `cut` is the nucleus. kTies: cut.threshold is right, but only the first `ties` of the weights that equal it are in
  // the nucleus. kUnknown: FindCut has to search.
  enum { kDone, kTies, kUnknown } state;
  int ties;
};

// The nucleus where FindBlockCut's state is not kDone. columns: as for FindCut; may be the bins' memory. All threads call.
template <class Source>
__device__ __noinline__ Cut FinishCut(const BlockCut& found, const Source& source, int n, double p,
                                      uint32_t* columns, ThreadGroup<false>& group) {
  __syncthreads();
  const float threshold = found.cut.threshold;
  if (found.state == BlockCut::kTies) return {threshold, EndOfTies(source, n, threshold, found.ties, group)};
  return FindCut(source, n, p, 0, columns, group);
}

// A row that a block holds in registers: the bits of its weights, 0 where a weight is not positive or not visible. Vector i of
// a thread has the 4 weights from 4 * (thread + i * threads) on.
template <int kVecs>
struct RegisterRow {
  uint32_t bits[kVecs][4];

  // Calls fn(j, bits[4]) for each of the thread's vectors whose first weight j is before n.
  template <class Fn>
  __device__ __forceinline__ void ForEachVec4(int n, const Fn& fn) {
#pragma unroll
    for (int i = 0; i < kVecs; ++i) {
      const int j = 4 * (threadIdx.x + i * blockDim.x);
      if (j < n) fn(j, bits[i]);
    }
  }
  // Reads the row's n weights and returns get_visible(), the number of weights that are visible. RegisterRow calls
  // get_visible after it has issued the loads, so that get_visible's own reads overlap with them.
  template <class Source, class Visible>
  __device__ __forceinline__ int Fill(const Source& source, int, const Visible& get_visible) {
    const int begin = 4 * threadIdx.x, stride = 4 * blockDim.x;
    float x[kVecs][4];
    source.Load(begin, stride, x);
    const int visible = get_visible();
#pragma unroll
    for (int i = 0; i < kVecs; ++i) {
#pragma unroll
      for (int c = 0; c < 4; ++c)
        bits[i][c] = x[i][c] > 0 && begin + i * stride + c < visible ? __float_as_uint(x[i][c]) : 0;
    }
    return visible;
  }
};
// RegisterRow's counterpart in shared memory, for longer rows.
struct SharedRow {
  uint4* vecs;

  template <class Fn>
  __device__ __forceinline__ void ForEachVec4(int n, const Fn& fn) {
#pragma unroll 2
    for (int i = threadIdx.x; 4 * i < n; i += blockDim.x) {
      const uint4 x = vecs[i];
      const uint32_t bits[4] = {x.x, x.y, x.z, x.w};
      fn(4 * i, bits);
    }
  }
  template <class Source, class Visible>
  __device__ __forceinline__ int Fill(const Source& source, int n, const Visible& get_visible) {
    const int visible = get_visible();
    gpu::ForEachVec4(source, Slice{0, n}, [&](int j, const float(&x)[4]) {
      uint32_t bits[4];
#pragma unroll
      for (int c = 0; c < 4; ++c) bits[c] = x[c] > 0 && j + c < visible ? __float_as_uint(x[c]) : 0;
      vecs[j / 4] = make_uint4(bits[0], bits[1], bits[2], bits[3]);
    });
    return visible;
  }
};
// The type of the row for NucleusPlan::block_row: RegisterRow<kVecs>, or SharedRow for kInShared. At(bins) makes the row; one in
// shared memory lies behind the bins.
template <int kVecs>
struct BlockRow {
  using Type = RegisterRow<kVecs>;
  static __device__ __forceinline__ Type At(uint32_t*) { return {}; }
};
template <>
struct BlockRow<kInShared> {
  using Type = SharedRow;
  static __device__ __forceinline__ Type At(uint32_t* bins) {
    return {reinterpret_cast<uint4*>(bins + 2 * kBinsPerThread * blockDim.x)};
  }
};

// The nucleus of mass p of the first n weights of a row that the block holds. The block has 2^i threads, from 128 to 1024.
// bins: 2 * kBinsPerThread words for each thread, zeroed by ClearBins. All threads call, and synchronise before they call
// again.
template <class Row>
__device__ __forceinline__ BlockCut FindBlockCut(Row& row, int n, double p, uint32_t* bins,
                                                 ThreadGroup<false>& group) {
  NucleusShared& s = group.shared();
  const int thread = threadIdx.x, threads = blockDim.x, lane = thread % kWarp, warp = thread / kWarp,
            warps = threads / kWarp;
  if (thread == 0) s.rest = 0, s.listed = 0, s.found_equal = 0, s.found_number[0] = 0;
  uint32_t extremes[2] = {0, 0};  // bits of the largest weight, negated bits of the smallest positive one
  row.ForEachVec4(n, [&](int, const uint32_t(&bits)[4]) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      extremes[0] = max(extremes[0], bits[c]);
      extremes[1] = max(extremes[1], 0u - bits[c]);
    }
  });
  group.Max(extremes);
  const uint32_t largest = extremes[0], smallest = 0u - extremes[1];
  const Cut nothing = {__uint_as_float(kInfinityBits), 0};
  if (largest == 0 || !(p > 0)) return {nothing, BlockCut::kDone, 0};
  if (largest == kInfinityBits) return {nothing, BlockCut::kUnknown, 0};

  const FixedPoint fixed_point = FixedPointFor(largest, n, false);
  const int log_bins = 31 - __clz(kBinsPerThread * threads);
  uint32_t* const numbers = bins;
  uint32_t* const excesses = bins + (1 << log_bins);
  // Candidates have bits in [low, low + span). Bin b has those whose bits without the last `shift` are top - b, so bin 0 has
  // the largest. On the first level each octave has 1 / kOctaves of the bins. Bin b's number of weights is numbers[b], and the
  // sum of their last `shift` bits is excesses[b], which fits 32 bits (kLongestInShared).
  int shift = 23 + 5 - log_bins;
  static_assert(kOctaves == 1 << 5, "");
  uint32_t low = 1, span = largest, top = largest >> shift, number = 0;
  uint64_t above = 0, total = 0, target = 0;
  for (int level = 0;; ++level) {
    const uint32_t others = (1u << shift) - 1;
    bool below = false;
    row.ForEachVec4(n, [&](int, const uint32_t(&bits)[4]) {
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
      row.ForEachVec4(n, [&](int, const uint32_t(&bits)[4]) {
#pragma unroll
        for (int c = 0; c < 4; ++c)
          if (bits[c] - low < span && (top - (bits[c] >> shift)) >> log_bins != 0)
            rest += fixed_point(bits[c]);
      });
      rest = WarpScan(rest, Plus());
      if (lane == kWarp - 1)
        atomicAdd(reinterpret_cast<unsigned long long*>(&s.rest), static_cast<unsigned long long>(rest));
    }
    __syncthreads();
    if (thread == 0) s.found_number[(level + 1) % 2] = 0;
    // Calls fn(number of weights, bits of the bin's smallest value, mass) for each of the thread's bins, larger values first.
    const auto for_bins = [&](const auto& fn) {
      const uint4 number4 = reinterpret_cast<const uint4*>(numbers)[thread],
                  excess4 = reinterpret_cast<const uint4*>(excesses)[thread];
      const uint32_t in_bin[4] = {number4.x, number4.y, number4.z, number4.w},
                     excess[4] = {excess4.x, excess4.y, excess4.z, excess4.w};
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const uint32_t first = (top - (4 * thread + k)) << shift;
        fn(in_bin[k], first, in_bin[k] == 0 ? 0 : fixed_point.SumOfBin(in_bin[k], first, excess[k]));
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
    // No bin was found where p is so close to 1 that the mass crosses it below the bins, or where rounding moved the crossing:
    // a bin's mass is rounded down once, but its parts on the next level one by one, so that they may add up to less.
    if (number == 0) return {nothing, BlockCut::kUnknown, 0};
    // The lowest bin begins at 0, but bits of 0 are not candidates: they stand for weights that do not count.
    low = max(s.found_bits, 1u), span = s.found_bits + (1u << shift) - low, above = s.found_above;
    if (shift == 0 || number <= kFew) break;
    shift = max(shift - log_bins, 0);
    top = (low + span - 1) >> shift;
  }

  uint32_t crossing = low;
  if (span > 1) {
    row.ForEachVec4(n, [&](int, const uint32_t(&bits)[4]) {
#pragma unroll
      for (int c = 0; c < 4; ++c)
        if (bits[c] - low < span) s.list[atomicAdd(&s.listed, 1u)] = bits[c];
    });
    __syncthreads();
    CompareFew(s, static_cast<int>(number), fixed_point, above, target);
    crossing = s.found_bits;
    above = s.found_above;
    number = s.found_equal;
  }
  const int ties =
      static_cast<int>(TiesAt({fixed_point, total, target, above, crossing, number, smallest}, n));
  const Cut cut = {__uint_as_float(crossing), n};
  return {cut,
          ties == 0                          ? BlockCut::kUnknown
          : ties == static_cast<int>(number) ? BlockCut::kDone
                                             : BlockCut::kTies,
          ties};
}

}  // namespace gpu
}  // namespace specattn

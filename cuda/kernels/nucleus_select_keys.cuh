// How NucleusSelect writes what it found: each nucleus as one bit per key (Mark, MarkHeld), and from these marks the lists
// of keys with their row masks (ListKeys).
#pragma once
#include "gpu/nucleus/block_nucleus.cuh"
#include "gpu/primitives/reduce.cuh"
#include "gpu/primitives/scan.cuh"
#include "kernels/nucleus_select.h"

namespace specattn {
namespace gpu {
namespace {

// Reads the row again and marks the keys < past that the cut keeps, or all of them. `blocks` blocks share the row; this one
// is `rank`.
template <class Source>
__device__ __forceinline__ void Mark(const Source& source, Cut cut, bool all, int past, int rank, int blocks,
                                     uint32_t* marks) {
  const int lane = threadIdx.x % kWarp, stride = 4 * blockDim.x;
  const Slice words = SliceOf(CeilDiv(past, kWarp), rank, blocks);
  const int end = words.end * kWarp;
  // All lanes of a warp stay in the loop together, since eight of them make up a word by shuffles.
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

// Marks the keys < past that the cut keeps, from a row that the block holds.
template <class Held>
__device__ __forceinline__ void MarkHeld(Held& held, Cut cut, int past, uint32_t* marks) {
  const int part = threadIdx.x % 8;
  // Eight neighbouring lanes have the keys of a word. They stay in the loop together, since its bound is whole words.
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

// row[j] = 0 for j in [begin, end). aligned: whether row can be stored four elements at a time.
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

// Word w of the marks of the keys in [begin, end).
__device__ __forceinline__ uint32_t Range(int w, int64_t begin, int64_t end) {
  const auto before = [w](int64_t key) {
    const int64_t bit = key - int64_t{w} * kWarp;
    return bit <= 0 ? 0 : bit >= kWarp ? ~0u : (1u << bit) - 1;
  };
  return before(end) & ~before(begin);
}

// Writes a set's outputs, except for the zeros from entry Visible(N) on. word(i, w) is word w of the marks of step i. All
// threads of a block call.
template <class Word>
__device__ __forceinline__ void ListKeys(const Selection& s, const Word& word, NucleusShared& shared,
                                         int32_t* keys, int32_t* bits, int32_t* count_out, int32_t* kept) {
  constexpr int kTile = kPiece / 2;  // words of marks that are joined at a time
  static_assert(kMaxSteps < kFew, "");
  const int thread = threadIdx.x, threads = blockDim.x, lane = thread % kWarp, warp = thread / kWarp,
            warps = threads / kWarp;
  const int tile = threads < kTile ? threads : kTile,
            words = static_cast<int>(CeilDiv<int64_t>(s.past, kWarp)), steps = static_cast<int>(s.steps);
  uint32_t* const seen = shared.piece;           // [tile] marks of the keys that any row sees
  uint32_t* const place = shared.piece + kTile;  // [tile] where the first of a word's keys is listed
  uint32_t* const tallies = shared.list;         // [N+1] how many keys each row sees
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

  // The verifier block's own keys.
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

}  // namespace
}  // namespace gpu
}  // namespace specattn

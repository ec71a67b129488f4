// How the matrix products BatchMatMul and Linear share work between threads: pieces of rows to reorder for the dot products
// (ForRows), and panels of columns to multiply (ForPanels).
#pragma once
#include "cpu/dot.h"
#include "cpu/parallel.h"

namespace specattn {
namespace {

// The least multiplications that are worth handing to a thread: about 2 us of work.
constexpr int64_t kGrainWork = 48 * 1024;
// Columns of weights that stay in the second-level cache while they are multiplied with all rows.
constexpr int64_t kPanelCols = 64;

// Calls fn(begin, end) for ranges of `rows` rows of `inner` numbers each.
template <class Fn>
inline void ForRows(Stream& stream, int64_t rows, int64_t inner, const Fn& fn) {
  ParallelFor(stream, rows, 1 + kGrainWork / (inner + 1), fn);
}

// Calls fn(batch, begin, end) for panels of the columns of all batches. A column takes `work` multiplications. A panel has at least
// `least` columns, save the last one of a batch.
template <class Fn>
inline void ForPanels(Stream& stream, int64_t batches, int64_t cols, int64_t least, int64_t work,
                      const Fn& fn) {
  if (work < 1) work = 1;
  int64_t panel = (kGrainWork / work + 7) / 8 * 8;
  panel = panel < least ? least : panel > cols ? cols : panel;
  if (panel == 0) return;
  const int64_t panels = (cols + panel - 1) / panel;
  const bool small = work * cols * batches <= kGrainWork;
  ParallelFor(stream, batches * panels, small ? batches * panels : 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t begin = i % panels * panel;
      fn(i / panels, begin, begin + panel < cols ? begin + panel : cols);
    }
  });
}

}  // namespace
}  // namespace specattn

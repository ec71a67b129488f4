// What BatchMatMul and Linear share: rows in the order that the dot products read, and panels of columns over
// threads.
#pragma once
#include "cpu/dot.h"
#include "cpu/parallel.h"

namespace specattn {
namespace {

// Multiplications that are worth a thread's while: about 2 us.
constexpr int64_t kGrainWork = 48 * 1024;
// Columns of weights that stay in the second-level cache while all rows pass by.
constexpr int64_t kPanelCols = 64;

// fn(begin, end) over pieces of `rows` rows, of `inner` numbers each, that are to be packed.
template <class Fn>
inline void ForRows(Stream& stream, int64_t rows, int64_t inner, const Fn& fn) {
  ParallelFor(stream, rows, 1 + kGrainWork / (inner + 1), fn);
}

// fn(batch, begin, end) over pieces of all batches' columns, where a column takes `work` multiplications; of `least`
// columns or more, where there are so many.
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

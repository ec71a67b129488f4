// StridedCopy on the CPU.
#include "kernels/strided_copy.h"

#include <cstring>

#include "cpu/strided.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kGrain = 16384;

template <class T>
void Rows(Stream& stream, const Loops<1>& loops, const T* x, T* y) {
  const int64_t stride = loops.strides[loops.rank - 1][0];
  ForRuns(stream, loops, kGrain, [=](int64_t out, const int64_t(&in)[1], int64_t n) {
    const T* __restrict from = x + in[0];
    T* __restrict to = y + out;
    if (stride == 1) {
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
    } else if (stride == 0) {
      for (int64_t i = 0; i < n; ++i) to[i] = *from;
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = from[i * stride];
    }
  });
}

// For views whose innermost loop strides through x while loop `unit` has stride 1, as in a transpose. Blocks of these two
// loops are transposed in a small buffer, so that each cache line is read once and written once.
template <class T>
void Blocks(Stream& stream, const Loops<1>& loops, int unit, const T* x, T* y) {
  constexpr int64_t kBlock = 16;
  const int last = loops.rank - 1;
  const int64_t rows = loops.dims[unit], columns = loops.dims[last], stride = loops.strides[last][0];
  int64_t row_step = 1;  // elements of y from one row to the next
  for (int i = unit + 1; i <= last; ++i) row_step *= loops.dims[i];
  const int64_t row_blocks = (rows + kBlock - 1) / kBlock;
  const int64_t planes = loops.outer() / rows;
  const int64_t grain = kGrain / (kBlock * columns) + 1;
  ParallelFor(stream, planes * row_blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      int64_t plane = task / row_blocks, in = 0, out = 0, step = columns;
      for (int i = last - 1; i >= 0; --i) {
        if (i != unit) {
          in += plane % loops.dims[i] * loops.strides[i][0];
          out += plane % loops.dims[i] * step;
          plane /= loops.dims[i];
        }
        step *= loops.dims[i];
      }
      const int64_t r0 = task % row_blocks * kBlock, r1 = r0 + kBlock < rows ? r0 + kBlock : rows;
      for (int64_t c0 = 0; c0 < columns; c0 += kBlock) {
        const int64_t c1 = c0 + kBlock < columns ? c0 + kBlock : columns;
        T block[kBlock][kBlock];
        for (int64_t c = c0; c < c1; ++c) {
          const T* from = x + in + c * stride;
          for (int64_t r = r0; r < r1; ++r) block[r - r0][c - c0] = from[r];
        }
        for (int64_t r = r0; r < r1; ++r)
          std::memcpy(y + out + r * row_step + c0, block[r - r0], static_cast<size_t>(c1 - c0) * sizeof(T));
      }
    }
  });
}

template <class T>
void Run(Stream& stream, const Loops<1>& loops, const Tensor& x, const Tensor& y, int64_t offset) {
  const int last = loops.rank - 1;
  const int64_t stride = loops.strides[last][0];
  int unit = -1;
  if (stride != 0 && stride != 1 && loops.inner() >= 4)
    for (int i = 0; i < last; ++i)
      if (loops.strides[i][0] == 1 && loops.dims[i] >= 4) unit = i;
  if (unit >= 0) return Blocks<T>(stream, loops, unit, x.as<T>() + offset, y.as<T>());
  Rows<T>(stream, loops, x.as<T>() + offset, y.as<T>());
}

}  // namespace

Status StridedCopy(Stream& stream, const Args& args) {
  StridedCopyCall call;
  SPECATTN_RETURN_IF_ERROR(CheckStridedCopy(args, &call));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  if (y.size() == 0) return Ok();
  const size_t bytes = SizeOf(x.dtype);
  if (bytes == 4) {
    Run<uint32_t>(stream, call.loops, x, y, call.offset);
  } else if (bytes == 2) {
    Run<uint16_t>(stream, call.loops, x, y, call.offset);
  } else {
    Run<uint8_t>(stream, call.loops, x, y, call.offset);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

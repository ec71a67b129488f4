// The index of the largest (or smallest) element along an axis, the lowest of equals.
//   input   x: float32 | int32 | bool
//   attrs   axis, 1 for the smallest
//   output  x's shape without the axis, int32
// NaN is never larger, unless it comes first: then the index is 0, as on tfjs-backend-cpu.
#include "../cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kColumns = 128;  // that one task follows side by side

template <class T, bool kSmallest>
inline bool Beats(T a, T b) {
  return kSmallest ? a < b : a > b;
}

template <class T, bool kSmallest>
int32_t OfRow(const T* x, int64_t n) {
  constexpr int kAccumulators = 16;
  T best[kAccumulators];
  for (int j = 0; j < kAccumulators; ++j) best[j] = x[0];
  int64_t i = 0;
  for (; i + kAccumulators <= n; i += kAccumulators)
    for (int j = 0; j < kAccumulators; ++j)
      best[j] = Beats<T, kSmallest>(x[i + j], best[j]) ? x[i + j] : best[j];
  for (; i < n; ++i) best[0] = Beats<T, kSmallest>(x[i], best[0]) ? x[i] : best[0];
  for (int j = 1; j < kAccumulators; ++j) best[0] = Beats<T, kSmallest>(best[j], best[0]) ? best[j] : best[0];
  for (i = 0; i < n; ++i)
    if (x[i] == best[0]) return static_cast<int32_t>(i);
  return 0;  // NaN came first
}

// `width` columns (at most kColumns) of n rows that lie `inner` apart, read row by row.
template <class T, bool kSmallest>
void OfColumns(const T* x, int32_t* out, int64_t n, int64_t inner, int64_t width) {
  T best[kColumns];
  for (int64_t c = 0; c < width; ++c) {
    best[c] = x[c];
    out[c] = 0;
  }
  for (int64_t j = 1; j < n; ++j) {
    const T* row = x + j * inner;
    for (int64_t c = 0; c < width; ++c) {
      const bool beats = Beats<T, kSmallest>(row[c], best[c]);
      best[c] = beats ? row[c] : best[c];
      out[c] = beats ? static_cast<int32_t>(j) : out[c];
    }
  }
}

template <class T, bool kSmallest>
void Run(Stream& stream, const Tensor& x, const Tensor& y, int64_t n, int64_t inner) {
  const T* in = x.as<T>();
  int32_t* out = y.as<int32_t>();
  if (y.size() == 0) return;
  if (inner == 1) {
    ParallelFor(stream, y.size(), 32768 / n + 1, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) out[i] = OfRow<T, kSmallest>(in + i * n, n);
    });
    return;
  }
  const int64_t blocks = (inner + kColumns - 1) / kColumns, outer = y.size() / inner;
  ParallelFor(stream, outer * blocks, 32768 / (n * kColumns) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t plane = task / blocks, c = task % blocks * kColumns;
      const int64_t width = inner - c < kColumns ? inner - c : kColumns;
      OfColumns<T, kSmallest>(in + plane * n * inner + c, out + plane * inner + c, n, inner, width);
    }
  });
}

template <class T>
void Run(Stream& stream, const Tensor& x, const Tensor& y, int64_t n, int64_t inner, bool smallest) {
  if (smallest) return Run<T, true>(stream, x, y, n, inner);
  Run<T, false>(stream, x, y, n, inner);
}

}  // namespace

Status ArgMax(Stream& stream, const Args& args) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1 && args.attr_count == 2,
                 "[ArgMax] expected 1 input, 1 output and 2 attributes but has %d, %d and %d",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  const int axis = static_cast<int>(args.attrs[0]);
  const bool smallest = args.attrs[1] != 0;
  SPECATTN_CHECK(axis >= 0 && axis < x.rank, "[ArgMax] axis %d of a tensor of rank %d", axis, x.rank);
  SPECATTN_CHECK(y.dtype == DType::kInt32, "[ArgMax] the output must be int32 but is of dtype %d",
                 static_cast<int>(y.dtype));
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= x.dims[i];
  for (int i = axis + 1; i < x.rank; ++i) inner *= x.dims[i];
  SPECATTN_CHECK(y.size() == outer * inner, "[ArgMax] the output must have %lld elements but has %lld",
                 static_cast<long long>(outer * inner), static_cast<long long>(y.size()));
  const int64_t n = x.dims[axis];
  if (n == 0) {
    for (int64_t i = 0; i < y.size(); ++i) y.as<int32_t>()[i] = 0;
  } else if (x.dtype == DType::kFloat32) {
    Run<float>(stream, x, y, n, inner, smallest);
  } else if (x.dtype == DType::kInt32) {
    Run<int32_t>(stream, x, y, n, inner, smallest);
  } else {
    Run<uint8_t>(stream, x, y, n, inner, smallest);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

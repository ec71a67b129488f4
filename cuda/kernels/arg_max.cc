// ArgMax on the CPU.
#include "kernels/arg_max.h"

#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kColumns = 128;  // columns that one task follows side by side

template <class T, bool kSmallest>
inline bool Beats(T a, T b) {
  return kSmallest ? a < b : a > b;
}

// Finds the best value first and then its index: both loops are simple enough to be vectorised.
template <class T, bool kSmallest>
int32_t BestOfRow(const T* x, int64_t n) {
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
  return 0;  // x[0] is NaN
}

// Writes the best row of each of `width` <= kColumns columns to out. x has n rows, `inner` elements apart, which are read
// one after the other.
template <class T, bool kSmallest>
void BestOfColumns(const T* x, int32_t* out, int64_t n, int64_t inner, int64_t width) {
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
      for (int64_t i = begin; i < end; ++i) out[i] = BestOfRow<T, kSmallest>(in + i * n, n);
    });
    return;
  }
  const int64_t blocks = (inner + kColumns - 1) / kColumns, outer = y.size() / inner;
  ParallelFor(stream, outer * blocks, 32768 / (n * kColumns) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t plane = task / blocks, c = task % blocks * kColumns;
      const int64_t width = inner - c < kColumns ? inner - c : kColumns;
      BestOfColumns<T, kSmallest>(in + plane * n * inner + c, out + plane * inner + c, n, inner, width);
    }
  });
}

template <class T>
void Run(Stream& stream, const Tensor& x, const Tensor& y, const ArgMaxCall& call) {
  if (call.smallest) return Run<T, true>(stream, x, y, call.n, call.inner);
  Run<T, false>(stream, x, y, call.n, call.inner);
}

}  // namespace

Status ArgMax(Stream& stream, const Args& args) {
  ArgMaxCall call;
  SPECATTN_RETURN_IF_ERROR(CheckArgMax(args, &call));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  if (call.n == 0) {
    for (int64_t i = 0; i < y.size(); ++i) y.as<int32_t>()[i] = 0;
  } else if (x.dtype == DType::kFloat32) {
    Run<float>(stream, x, y, call);
  } else if (x.dtype == DType::kInt32) {
    Run<int32_t>(stream, x, y, call);
  } else {
    Run<uint8_t>(stream, x, y, call);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// Linear on the CPU.
//
// The rows are normalised once, into scratch memory. Then threads take panels of columns. A panel's products, bias, gate
// and residual are done for a few rows at a time, while the results are in the first-level cache.
#include "kernels/linear.h"

#include "cpu/kernels.h"
#include "cpu/product.h"
#include "cpu/rms_norm.h"
#include "cpu/swiglu.h"
#include "cpu/with_float.h"

namespace specattn {
namespace {

// Rows that are finished at a time: whole tiles of Dots for every vector width.
constexpr int64_t kBlockRows = 24;
static_assert(kBlockRows % kTileRows == 0, "a block is made of whole tiles");

// y [rows,cols] += x, row by row; ldx 0 adds the same row of x to all. Not inlined: inlined, the addition may be fused
// with the product before it in one instantiation and not in another, and results would differ in their last bits.
__attribute__((noinline)) void AddTo(float* y, int64_t ldy, const float* x, int64_t ldx, int64_t rows,
                                     int64_t cols) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) y[r * ldy + c] += x[r * ldx + c];
}

// Computes columns [begin, end) of the output for all rows. x [T,K] is normalised already and, for weights in bfloat16, in
// the order of Pair (cpu/dot.h).
template <class W>
void Columns(const LinearCall& call, const float* x, int64_t begin, int64_t end) {
  const int64_t inner = call.inner, ldo = call.out_cols();
  const W* weight = call.weight->as<W>();
  const float* bias = call.bias ? call.bias->as<float>() : nullptr;
  const float* residual = call.residual ? call.residual->as<float>() : nullptr;
  float* out = call.out->as<float>();
  float gate[kBlockRows * kPanelCols / 2], up[kBlockRows * kPanelCols / 2];

  const int64_t step = call.gated ? kPanelCols / 2 : kPanelCols;
  for (int64_t c = begin; c < end; c += step) {
    const int64_t cols = end - c < step ? end - c : step;
    for (int64_t r = 0; r < call.rows; r += kBlockRows) {
      const int64_t rows = call.rows - r < kBlockRows ? call.rows - r : kBlockRows;
      const float* a = x + r * inner;
      float* y = out + r * ldo + c;
      if (call.gated) {
        Dots(a, rows, inner, weight + c * inner, cols, inner, inner, gate, cols);
        Dots(a, rows, inner, weight + (ldo + c) * inner, cols, inner, inner, up, cols);
        if (bias) AddTo(gate, cols, bias + c, 0, rows, cols);
        if (bias) AddTo(up, cols, bias + ldo + c, 0, rows, cols);
        for (int64_t i = 0; i < rows; ++i) GateRow(gate + i * cols, up + i * cols, y + i * ldo, cols);
      } else {
        Dots(a, rows, inner, weight + c * inner, cols, inner, inner, y, ldo);
        if (bias) AddTo(y, ldo, bias + c, 0, rows, cols);
      }
      if (residual) AddTo(y, ldo, residual + r * ldo + c, ldo, rows, cols);
    }
  }
}

}  // namespace

namespace SPECATTN_ISA {

Status Linear(Stream& stream, const Args& args) {
  LinearCall call;
  SPECATTN_RETURN_IF_ERROR(CheckLinear(args, &call));
  if (call.out->size() == 0) return Ok();

  const float* x = call.x->as<float>();
  const int64_t inner = call.inner;
  const bool paired = call.weight->dtype == DType::kBFloat16;
  if ((call.norm || paired) && inner > 0) {
    const float* gain = call.norm ? call.norm->as<float>() : nullptr;
    float* packed = static_cast<float*>(stream.Scratch(static_cast<size_t>(call.x->size()) * sizeof(float)));
    SPECATTN_CHECK(packed, "[Linear] no scratch memory for %lld elements",
                   static_cast<long long>(call.x->size()));
    ForRows(stream, call.rows, inner, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float* row = x + r * inner;
        if (gain) {
          PairScaled(row, RMSScale(row, inner, call.epsilon), gain, inner, paired, packed + r * inner);
        } else {
          Pair(row, 1.0f, inner, true, packed + r * inner);
        }
      }
    });
    x = packed;
  }

  const int64_t work = call.rows * inner * (call.gated ? 2 : 1);
  ForPanels(stream, 1, call.out_cols(), 16, work, [&](int64_t, int64_t begin, int64_t end) {
    WithFloat(call.weight->dtype, [&](auto element) { Columns<decltype(element)>(call, x, begin, end); });
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

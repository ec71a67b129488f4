// BatchMatMul on the CPU.
//
// It is tuned for a few rows of activations times a layer's weights as they are stored, [N,K] in bfloat16. Each weight is
// then read once, widened in registers and used for all rows, so that a block of five tokens costs little more than one.
// A row's results do not depend on M (see cpu/dot.h). Products of many rows with a matrix [K,N] of float32, and of a transposed a with
// one, are cut into blocks (cpu/block_product.h).
#include "kernels/batch_mat_mul.h"

#include "cpu/block_product.h"
#include "cpu/kernels.h"
#include "cpu/product.h"
#include "cpu/with_float.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

struct Product {
  const float* a;  // [M,K]
  const void* b;   // [N,K] or [K,N]
  float* out;      // [M,N]
  int64_t rows, cols, inner;
};

// Applies bias and activation to columns [begin, end) of a batch's out [rows,ldo].
void Apply(const MatMulEpilogue& e, float* out, int64_t batch, int64_t rows, int64_t ldo, int64_t begin,
           int64_t end) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* add = e.bias ? e.bias + batch * e.batch_stride + r * e.row_stride : nullptr;
    float* row = out + r * ldo;
    if (add)
      for (int64_t c = begin; c < end; ++c) row[c] += add[c * e.col_stride];
    switch (e.activation) {
      case 1:
        for (int64_t c = begin; c < end; ++c) row[c] = row[c] < 0 ? 0.0f : row[c];
        break;
      case 2:
        for (int64_t c = begin; c < end; ++c) row[c] = row[c] < 0 ? 0.0f : row[c] > 6 ? 6.0f : row[c];
        break;
      case 3:
        for (int64_t c = begin; c < end; ++c) row[c] = row[c] >= 0 ? row[c] : std::exp(row[c]) - 1.0f;
        break;
      case 4:
        for (int64_t c = begin; c < end; ++c) row[c] = 1.0f / (1.0f + std::exp(-row[c]));
        break;
      case 5:
        for (int64_t c = begin; c < end; ++c) row[c] = row[c] < 0 ? e.alpha * row[c] : row[c];
        break;
      default:
        break;
    }
  }
}

// Computes columns [begin, end) of all rows, in panels that stay in the cache while all rows pass by.
template <class W>
void Columns(const Product& p, bool transpose_b, int64_t begin, int64_t end) {
  const W* b = static_cast<const W*>(p.b);
  for (int64_t c = begin; c < end; c += kPanelCols) {
    const int64_t cols = end - c < kPanelCols ? end - c : kPanelCols;
    if (transpose_b) {
      Dots(p.a, p.rows, p.inner, b + c * p.inner, cols, p.inner, p.inner, p.out + c, p.cols);
    } else {
      for (int64_t r = 0; r < p.rows; ++r)
        std::memset(p.out + r * p.cols + c, 0, static_cast<size_t>(cols) * 4);
      Axpys(p.a, p.rows, p.inner, b + c, cols, p.cols, p.inner, p.out + c, p.cols);
    }
  }
}

void Multiply(const Product& p, DType storage, bool transpose_b, int64_t begin, int64_t end) {
  WithFloat(storage, [&](auto element) { Columns<decltype(element)>(p, transpose_b, begin, end); });
}

// Above this many rows a product [M,K] . [K,N] is cut into blocks.
constexpr int64_t kFewRows = 32;
// A product with a transposed a and a small output is summed in pieces of this many k, which threads share. The order of the sum depends
// on sizes alone.
constexpr int64_t kPieceInner = 1024, kPiecedOutputs = 1 << 16;

bool SuitsBlocks(const BatchMatMulCall& call) {
  return call.b->dtype == DType::kFloat32 && !call.transpose_b && (call.transpose_a || call.rows > kFewRows);
}

Status Blocks(Stream& stream, const BatchMatMulCall& call) {
  const int64_t rows = call.rows, cols = call.cols, inner = call.inner, size = rows * cols;
  const bool pieced = call.transpose_a && size <= kPiecedOutputs && inner > kPieceInner;
  const int64_t pieces = pieced ? (inner + kPieceInner - 1) / kPieceInner : 1;
  float *const out = call.out->as<float>(), *sums = out;
  if (pieces > 1) {
    const size_t numbers = static_cast<size_t>(call.batches * pieces * size);
    sums = static_cast<float*>(stream.Scratch(numbers * sizeof(float)));
    SPECATTN_CHECK(sums, "[BatchMatMul] no scratch memory for %zu elements", numbers);
  }
  const auto finish = [&](int64_t batch, int64_t row, int64_t count, int64_t begin, int64_t end) {
    if (!call.epilogue.any()) return;
    MatMulEpilogue e = call.epilogue;
    if (e.bias) e.bias += row * e.row_stride;
    Apply(e, out + batch * size + row * cols, batch, count, cols, begin, end);
  };

  const int64_t row_blocks = (rows + kBlockRows - 1) / kBlockRows;
  const int64_t col_blocks = (cols + kBlockCols - 1) / kBlockCols;
  const int64_t piece = pieces > 1 ? kPieceInner : inner;
  const int64_t work =
      (rows < kBlockRows ? rows : kBlockRows) * (cols < kBlockCols ? cols : kBlockCols) * piece;
  const int64_t grain = 4 * kGrainWork / (work + 1) + 1;
  ParallelFor(stream, call.batches * pieces * row_blocks * col_blocks, grain, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t c = i % col_blocks * kBlockCols, r = i / col_blocks % row_blocks * kBlockRows;
      const int64_t n = i / col_blocks / row_blocks, batch = n / pieces, k = n % pieces * piece;
      const int64_t count = rows - r < kBlockRows ? rows - r : kBlockRows;
      const int64_t width = cols - c < kBlockCols ? cols - c : kBlockCols;
      const float* a = call.a->as<float>() + (call.batch_a == 1 ? 0 : batch * rows * inner);
      const float* b = call.b->as<float>() + (call.batch_b == 1 ? 0 : batch * cols * inner);
      const RowsView view = call.transpose_a ? RowsView{a, 1, rows} : RowsView{a, inner, 1};
      BlockProduct(view.At(r, k), count, b + k * cols + c, width, cols, inner - k < piece ? inner - k : piece,
                   sums + n * size + r * cols + c, cols);
      if (pieces == 1) finish(batch, r, count, c, c + width);
    }
  });
  if (pieces == 1) return Ok();
  ParallelFor(stream, call.batches * rows, kGrainWork / (pieces * cols) + 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t batch = i / rows, row = i % rows;
      float* y = out + i * cols;
      const float* x = sums + batch * pieces * size + row * cols;
      std::memcpy(y, x, static_cast<size_t>(cols) * sizeof(float));
      for (int64_t p = 1; p < pieces; ++p)
        for (int64_t c = 0; c < cols; ++c) y[c] += x[p * size + c];
      finish(batch, row, 1, 0, cols);
    }
  });
  return Ok();
}

}  // namespace

Status BatchMatMul(Stream& stream, const Args& args) {
  BatchMatMulCall call;
  SPECATTN_RETURN_IF_ERROR(CheckBatchMatMul(args, &call));
  const int64_t rows = call.rows, cols = call.cols, inner = call.inner;
  if (call.out->size() == 0) return Ok();
  if (SuitsBlocks(call)) return Blocks(stream, call);

  const float* left = call.a->as<float>();
  const bool paired = call.transpose_b && call.b->dtype == DType::kBFloat16;
  if (call.transpose_a || paired) {
    // Copies a: its rows contiguous and, for weights in bfloat16, in the order of Pair (cpu/dot.h).
    const size_t numbers = static_cast<size_t>(call.batch_a * rows * inner);
    float* packed = static_cast<float*>(stream.Scratch(numbers * 4 * (call.transpose_a && paired ? 2 : 1)));
    SPECATTN_CHECK(packed, "[BatchMatMul] no scratch memory for %zu elements", numbers);
    if (call.transpose_a) {
      for (int64_t i = 0; i < call.batch_a; ++i)
        for (int64_t k = 0; k < inner; ++k)
          for (int64_t r = 0; r < rows; ++r)
            packed[(i * rows + r) * inner + k] = left[(i * inner + k) * rows + r];
      left = packed;
      packed += numbers;
    }
    if (paired) {
      ForRows(stream, call.batch_a * rows, inner, [&](int64_t from, int64_t to) {
        for (int64_t r = from; r < to; ++r) Pair(left + r * inner, 1.0f, inner, true, packed + r * inner);
      });
      left = packed;
    }
  }

  ForPanels(stream, call.batches, cols, 8, rows * inner, [&](int64_t batch, int64_t begin, int64_t end) {
    const size_t b_offset =
        static_cast<size_t>(call.batch_b == 1 ? 0 : batch * cols * inner) * SizeOf(call.b->dtype);
    const Product product{left + (call.batch_a == 1 ? 0 : batch * rows * inner),
                          static_cast<const char*>(call.b->data) + b_offset,
                          call.out->as<float>() + batch * rows * cols,
                          rows,
                          cols,
                          inner};
    Multiply(product, call.b->dtype, call.transpose_b, begin, end);
    if (call.epilogue.any()) Apply(call.epilogue, product.out, batch, rows, cols, begin, end);
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// BlockProduct: many rows times a matrix [K,N] of float32, as convolutions and gradients need it. The rows may be stored transposed.
//
// Each result is summed in order of k in one lane, so its bits do not depend on the tile in which it is computed.
#pragma once
#include "cpu/simd.h"

namespace specattn {
namespace {

constexpr int64_t kBlockRows = 128, kBlockCols = 64;  // the most rows and columns of a block

// Rows of a matrix: element k of row r is data[r * row + k * step].
struct RowsView {
  const float* data;
  int64_t row, step;

  RowsView At(int64_t r, int64_t k) const { return {data + r * row + k * step, row, step}; }
};

// out[r][c] = sum of x[r][k] * b[k][c] over k < n, for r < kRows and kVecs vectors of columns; kAdds adds it to what out holds.
template <bool kAdds, int kRows, int kVecs>
inline void ProductTile(const RowsView& x, const float* b, int64_t ldb, int64_t n, float* out, int64_t ldo) {
  Vec sum[kRows][kVecs];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = kAdds ? Load(out + r * ldo + v * kLanes) : Vec{};
  const float* weights = x.data;
  for (int64_t k = 0; k < n; ++k, b += ldb, weights += x.step) {
    Vec row[kVecs];
    for (int v = 0; v < kVecs; ++v) row[v] = Load(b + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Vec weight = Splat(weights[r * x.row]);
      for (int v = 0; v < kVecs; ++v) sum[r][v] += weight * row[v];
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVecs; ++v) Store(out + r * ldo + v * kLanes, sum[r][v]);
}

// ProductTile for all rows. Narrow tiles have more rows, so that there are enough sums to hide the latency of an addition.
template <bool kAdds, int kVecs>
inline void ProductRows(const RowsView& x, int64_t rows, const float* b, int64_t ldb, int64_t n, float* out,
                        int64_t ldo) {
  constexpr int kTall = (kLanes == 16 ? 16 : 8) / kVecs, kShort = kTall > 4 ? 4 : 1;
  int64_t r = 0;
  for (; r + kTall <= rows; r += kTall)
    ProductTile<kAdds, kTall, kVecs>(x.At(r, 0), b, ldb, n, out + r * ldo, ldo);
  for (; r + kShort <= rows; r += kShort)
    ProductTile<kAdds, kShort, kVecs>(x.At(r, 0), b, ldb, n, out + r * ldo, ldo);
  for (; r < rows; ++r) ProductTile<kAdds, 1, kVecs>(x.At(r, 0), b, ldb, n, out + r * ldo, ldo);
}

// The last columns, fewer than a vector: pieces of b are copied into full vectors.
inline void ProductTail(const RowsView& x, int64_t rows, const float* b, int64_t cols, int64_t ldb, int64_t n,
                        float* out, int64_t ldo) {
  constexpr int64_t kPiece = 128;
  float sums[kBlockRows * kLanes] = {}, piece[kPiece * kLanes] = {};
  const size_t bytes = static_cast<size_t>(cols) * sizeof(float);
  for (int64_t k = 0; k < n; k += kPiece) {
    const int64_t length = n - k < kPiece ? n - k : kPiece;
    for (int64_t i = 0; i < length; ++i) std::memcpy(piece + i * kLanes, b + (k + i) * ldb, bytes);
    ProductRows<true, 1>(x.At(0, k), rows, piece, kLanes, length, sums, kLanes);
  }
  for (int64_t r = 0; r < rows; ++r) std::memcpy(out + r * ldo, sums + r * kLanes, bytes);
}

// out[r][c] = sum of x[r][k] * b[k][c] over k < n, for r < rows and c < cols. A block has at most kBlockRows rows and kBlockCols
// columns. The rows of b and out are ldb and ldo elements apart.
inline void BlockProduct(const RowsView& x, int64_t rows, const float* b, int64_t cols, int64_t ldb,
                         int64_t n, float* out, int64_t ldo) {
  for (int64_t r = 0; r < rows; ++r) std::memset(out + r * ldo, 0, static_cast<size_t>(cols) * sizeof(float));
  int64_t c = 0;
  for (; c + 4 * kLanes <= cols; c += 4 * kLanes) ProductRows<false, 4>(x, rows, b + c, ldb, n, out + c, ldo);
  for (; c + 2 * kLanes <= cols; c += 2 * kLanes) ProductRows<false, 2>(x, rows, b + c, ldb, n, out + c, ldo);
  for (; c + kLanes <= cols; c += kLanes) ProductRows<false, 1>(x, rows, b + c, ldb, n, out + c, ldo);
  if (c < cols) ProductTail(x, rows, b + c, cols - c, ldb, n, out + c, ldo);
}

}  // namespace
}  // namespace specattn

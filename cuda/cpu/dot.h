// Dots, the dot products of rows with rows: attention scores, and matrix products with transposed weights. Axpys, weighted sums
// of rows: attention outputs, and other matrix products.
//
// Each result of Dots is summed in one vector accumulator, along the common axis in order, and folded at the end. Its bits do not
// depend on the tile in which it is computed, so the results of a row do not depend on how many rows are computed with it.
#pragma once
#include "cpu/simd.h"

namespace specattn {
namespace {

// Tile sizes of Dots: as many accumulators as the registers hold beside the operands.
constexpr int kTileRows = kLanes == 16 ? 6 : 4;
constexpr int kTileCols = kLanes == 16 ? 4 : 2;

// Whether rows of W are read as pairs: one load gives 2 * kLanes bfloat16 numbers, which LoadEven and LoadOdd widen. Rows that meet
// them are stored in the matching order, by Pair.
template <class W>
constexpr bool kPaired = false;
template <>
constexpr bool kPaired<BFloat16> = true;
constexpr int64_t kPair = 2 * kLanes;

// The elements with even indices, and with odd indices, of 2 * kLanes elements.
inline Vec LoadEven(const BFloat16* p) {
  return reinterpret_cast<Vec>(*reinterpret_cast<const UVecU*>(p) << 16);
}
inline Vec LoadOdd(const BFloat16* p) {
  return reinterpret_cast<Vec>(*reinterpret_cast<const UVecU*>(p) & 0xffff0000u);
}

// Writes scale * from to `to`. If `paired`, each full group of 2 * kLanes elements is reordered: first the elements with even
// indices, then the others. `from` and `to` may be the same only if not paired.
inline void Pair(const float* from, float scale, int64_t n, bool paired, float* to) {
  int64_t i = 0;
  for (; paired && i + kPair <= n; i += kPair)
    for (int lane = 0; lane < kLanes; ++lane) {
      to[i + lane] = from[i + 2 * lane] * scale;
      to[i + kLanes + lane] = from[i + 2 * lane + 1] * scale;
    }
  for (; i < n; ++i) to[i] = from[i] * scale;
}
// Pair for scale * from[i] * gain[i].
inline void PairScaled(const float* from, float scale, const float* gain, int64_t n, bool paired, float* to) {
  int64_t i = 0;
  for (; paired && i + kPair <= n; i += kPair)
    for (int lane = 0; lane < kLanes; ++lane) {
      to[i + lane] = from[i + 2 * lane] * scale * gain[i + 2 * lane];
      to[i + kLanes + lane] = from[i + 2 * lane + 1] * scale * gain[i + 2 * lane + 1];
    }
  for (; i < n; ++i) to[i] = from[i] * scale * gain[i];
}

// out[r][c] = a[r] . b[c] for r < kRows, c < kCols, over n elements. The rows of a, b and out are lda, ldb and ldo elements apart;
// a is in the order of Pair if kPaired<W>.
template <int kRows, int kCols, class W>
inline void DotTile(const float* a, int64_t lda, const W* b, int64_t ldb, int64_t n, float* out,
                    int64_t ldo) {
  Vec sum[kRows][kCols] = {};
  int64_t i = 0;
  if constexpr (kPaired<W>) {
    for (; i + kPair <= n; i += kPair) {
      // Even and odd elements in turn: beside the accumulators there are no registers for both.
      Vec weight[kCols];
      for (int c = 0; c < kCols; ++c) weight[c] = LoadEven(b + c * ldb + i);
      // Prefetches the next tile's weights: the rows are too short for the hardware's prefetcher.
      for (int c = 0; c < kCols; ++c) __builtin_prefetch(b + (c + kCols) * ldb + i);
      for (int r = 0; r < kRows; ++r)
        for (int c = 0; c < kCols; ++c) sum[r][c] += Load(a + r * lda + i) * weight[c];
      for (int c = 0; c < kCols; ++c) weight[c] = LoadOdd(b + c * ldb + i);
      for (int r = 0; r < kRows; ++r)
        for (int c = 0; c < kCols; ++c) sum[r][c] += Load(a + r * lda + i + kLanes) * weight[c];
    }
  }
  for (; i + kLanes <= n; i += kLanes) {
    Vec weight[kCols];
    for (int c = 0; c < kCols; ++c) weight[c] = Load(b + c * ldb + i);
    for (int r = 0; r < kRows; ++r) {
      const Vec x = Load(a + r * lda + i);
      for (int c = 0; c < kCols; ++c) sum[r][c] += x * weight[c];
    }
  }
  if (i < n) {
    for (int c = 0; c < kCols; ++c) {
      const Vec weight = LoadFirst(b + c * ldb + i, n - i);
      for (int r = 0; r < kRows; ++r) sum[r][c] += LoadFirst(a + r * lda + i, n - i) * weight;
    }
  }
  for (int r = 0; r < kRows; ++r) SumEach(sum[r], out + r * ldo);
}

// DotTile for all columns.
template <int kRows, class W>
inline void DotRows(const float* a, int64_t lda, const W* b, int64_t cols, int64_t ldb, int64_t n, float* out,
                    int64_t ldo) {
  // With few rows, registers are left for more columns, which hide the latency of the additions.
  constexpr int kWide = kRows == 1 ? 8 : kRows == 2 && kLanes == 16 ? 8 : kTileCols;
  int64_t c = 0;
  for (; c + kWide <= cols; c += kWide) DotTile<kRows, kWide>(a, lda, b + c * ldb, ldb, n, out + c, ldo);
  for (; c < cols; ++c) DotTile<kRows, 1>(a, lda, b + c * ldb, ldb, n, out + c, ldo);
}

// out[r][c] = a[r] . b[c] for all r < rows, c < cols.
template <class W>
inline void Dots(const float* a, int64_t rows, int64_t lda, const W* b, int64_t cols, int64_t ldb, int64_t n,
                 float* out, int64_t ldo) {
  int64_t r = 0;
  for (; r + kTileRows <= rows; r += kTileRows)
    DotRows<kTileRows>(a + r * lda, lda, b, cols, ldb, n, out + r * ldo, ldo);
  a += r * lda;
  out += r * ldo;
  switch (rows - r) {
    case 5:
      if constexpr (kTileRows > 5) DotRows<5>(a, lda, b, cols, ldb, n, out, ldo);
      break;
    case 4:
      if constexpr (kTileRows > 4) DotRows<4>(a, lda, b, cols, ldb, n, out, ldo);
      break;
    case 3:
      DotRows<3>(a, lda, b, cols, ldb, n, out, ldo);
      break;
    case 2:
      DotRows<2>(a, lda, b, cols, ldb, n, out, ldo);
      break;
    case 1:
      DotRows<1>(a, lda, b, cols, ldb, n, out, ldo);
      break;
    default:
      break;
  }
}

// out[r][c] += sum of x[r][j] * b[j][c] over j < n, in order of j, for r < kRows and kVecs vectors of columns. The rows of x, b and
// out are ldx, ldb and ldo elements apart.
template <int kRows, int kVecs, class W>
inline void AxpyTile(const float* x, int64_t ldx, const W* b, int64_t ldb, int64_t n, float* out,
                     int64_t ldo) {
  Vec sum[kRows][kVecs];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = Load(out + r * ldo + v * kLanes);
  for (int64_t j = 0; j < n; ++j) {
    Vec row[kVecs];
    for (int v = 0; v < kVecs; ++v) row[v] = Load(b + j * ldb + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Vec weight = Splat(x[r * ldx + j]);
      for (int v = 0; v < kVecs; ++v) sum[r][v] += weight * row[v];
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVecs; ++v) Store(out + r * ldo + v * kLanes, sum[r][v]);
}

// AxpyTile for kPairs groups of 2 * kLanes columns of bfloat16. Even and odd columns have sums of their own, which are interleaved
// at the end.
template <int kRows, int kPairs>
inline void AxpyPairs(const float* x, int64_t ldx, const BFloat16* b, int64_t ldb, int64_t n, float* out,
                      int64_t ldo) {
  Vec even[kRows][kPairs] = {}, odd[kRows][kPairs] = {};
  for (int64_t j = 0; j < n; ++j) {
    for (int v = 0; v < kPairs; ++v) {
      const Vec e = LoadEven(b + j * ldb + v * kPair), o = LoadOdd(b + j * ldb + v * kPair);
      for (int r = 0; r < kRows; ++r) {
        const Vec weight = Splat(x[r * ldx + j]);
        even[r][v] += weight * e;
        odd[r][v] += weight * o;
      }
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kPairs; ++v)
      for (int lane = 0; lane < kLanes; ++lane) {
        out[r * ldo + v * kPair + 2 * lane] += even[r][v][lane];
        out[r * ldo + v * kPair + 2 * lane + 1] += odd[r][v][lane];
      }
}

// AxpyTile for all columns.
template <int kRows, class W>
inline void AxpyRows(const float* x, int64_t ldx, const W* b, int64_t cols, int64_t ldb, int64_t n,
                     float* out, int64_t ldo) {
  int64_t c = 0;
  if constexpr (kPaired<W>) {
    for (; c + 2 * kPair <= cols; c += 2 * kPair) AxpyPairs<kRows, 2>(x, ldx, b + c, ldb, n, out + c, ldo);
    for (; c + kPair <= cols; c += kPair) AxpyPairs<kRows, 1>(x, ldx, b + c, ldb, n, out + c, ldo);
  }
  for (; c + 4 * kLanes <= cols; c += 4 * kLanes) AxpyTile<kRows, 4>(x, ldx, b + c, ldb, n, out + c, ldo);
  for (; c + kLanes <= cols; c += kLanes) AxpyTile<kRows, 1>(x, ldx, b + c, ldb, n, out + c, ldo);
  if (c < cols) {
    // Vectors here too: the compiler may fuse the multiply-adds of a scalar loop for one kRows and not for another.
    Vec sum[kRows];
    for (int r = 0; r < kRows; ++r) sum[r] = LoadFirst(out + r * ldo + c, cols - c);
    for (int64_t j = 0; j < n; ++j) {
      const Vec row = LoadFirst(b + j * ldb + c, cols - c);
      for (int r = 0; r < kRows; ++r) sum[r] += Splat(x[r * ldx + j]) * row;
    }
    for (int r = 0; r < kRows; ++r)
      std::memcpy(out + r * ldo + c, &sum[r], static_cast<size_t>(cols - c) * sizeof(float));
  }
}

// out[r][c] += sum of x[r][j] * b[j][c] over j < n, for all r < rows, c < cols. x is in its plain order, not in that of Pair.
template <class W>
inline void Axpys(const float* x, int64_t rows, int64_t ldx, const W* b, int64_t cols, int64_t ldb, int64_t n,
                  float* out, int64_t ldo) {
  constexpr int kRows = kLanes == 16 ? 4 : 2;
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows)
    AxpyRows<kRows>(x + r * ldx, ldx, b, cols, ldb, n, out + r * ldo, ldo);
  for (; r < rows; ++r) AxpyRows<1>(x + r * ldx, ldx, b, cols, ldb, n, out + r * ldo, ldo);
}

}  // namespace
}  // namespace specattn

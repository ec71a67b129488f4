// The nucleus of a row of weights: the smallest set of elements whose weights sum to at least p times the row's sum,
// ties to the lower index. NucleusMask, NucleusSelect and SampleToken use it. LargestOf, for SampleToken's top-k, searches in the
// same way for a number of elements.
//
// The search does not sort. It narrows down the bits of the threshold, the smallest weight in the set, since the bits of positive
// floats are ordered like the floats: each pass sums the candidates above three thresholds, keeps the quarter of the range in
// which the sum crosses the target, and drops the other candidates. A row of 4096 takes a few microseconds, about three times the
// work of summing it.
//
// The set always equals the one that sorting (descending, ties by index) and a running float64 sum give. Float64 sums of float32
// weights are exact in any order while the smallest weight is above about 2^-29 of the total. Otherwise the result is accepted
// only if no rounding can change it; if one can (p within about 1e-9 of 1), the row is sorted after all.
//
// Negative and NaN weights count as 0. If a weight is infinite, the first infinite one alone is the nucleus.
#pragma once
#include "cpu/compact.h"

namespace specattn {
namespace {

// A set of elements: those with v[j] > threshold, and those with v[j] == threshold and j < ties_end.
struct Cut {
  float threshold;
  int64_t ties_end;
};
constexpr Cut kNothing = {INFINITY, 0};

// A vector of doubles as long in bytes as Vec, and the floats that widen to it.
typedef double DVec __attribute__((vector_size(kLanes * 4)));
typedef float HalfVecU __attribute__((vector_size(kLanes * 2), aligned(4), may_alias));
constexpr int kDoubleLanes = kLanes / 2;

inline DVec LoadDouble(const float* p) {
  return __builtin_convertvector(*reinterpret_cast<const HalfVecU*>(p), DVec);
}
inline double Sum(DVec v) {
  double sum = 0;
  for (int i = 0; i < kDoubleLanes; ++i) sum += v[i];
  return sum;
}

inline uint32_t Bits(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return u;
}
inline float FloatOfBits(uint32_t u) {
  float x;
  std::memcpy(&x, &u, 4);
  return x;
}

// The scratch, in floats, that NucleusOf and LargestOf need for a row of n elements.
inline int64_t NucleusScratch(int64_t n) { return 2 * (n + kLanes); }

struct RowStats {
  double total = 0;           // sum of the positive elements
  float largest = 0;          // largest element; 0 if none is positive
  float smallest = INFINITY;  // smallest positive element
  int64_t positives = 0;      // number of positive elements
};

inline RowStats StatsOf(const float* row, int64_t n) {
  DVec total[2] = {};
  Vec largest = {}, smallest = Splat(INFINITY);
  IVec minus_positives = {};
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    const Vec v = Load(row + j);
    largest = v > largest ? v : largest;
    minus_positives += v > 0;
    const Vec positive = v > 0 ? v : Splat(INFINITY);
    smallest = positive < smallest ? positive : smallest;
    const DVec low = LoadDouble(row + j), high = LoadDouble(row + j + kDoubleLanes);
    total[0] += low > 0 ? low : DVec{};
    total[1] += high > 0 ? high : DVec{};
  }
  RowStats stats;
  stats.total = Sum(total[0] + total[1]);
  for (int i = 0; i < kLanes; ++i) {
    stats.largest = largest[i] > stats.largest ? largest[i] : stats.largest;
    stats.smallest = smallest[i] < stats.smallest ? smallest[i] : stats.smallest;
    stats.positives -= minus_positives[i];
  }
  for (; j < n; ++j) {
    if (!(row[j] > 0)) continue;
    stats.total += row[j];
    stats.largest = row[j] > stats.largest ? row[j] : stats.largest;
    stats.smallest = row[j] < stats.smallest ? row[j] : stats.smallest;
    ++stats.positives;
  }
  return stats;
}

// Copies the elements in [low, high], both positive, to `out`, in order, and returns how many they are. `out` may be `in`. It
// needs room for kLanes more elements, which may be overwritten. Elements are compared as integers: that is less work, and
// excludes negative numbers and NaN.
inline int64_t Compact(const float* in, int64_t n, float low, float high, float* out) {
  const uint32_t first = Bits(low), span = Bits(high) - first;
  int32_t* to = reinterpret_cast<int32_t*>(out);
  int64_t count = 0, j = 0;
#if defined(__AVX2__)
  const IVec below = IVec{} + static_cast<int32_t>(first) - 1,
             above = IVec{} + static_cast<int32_t>(first + span) + 1;
  for (; j + kLanes <= n; j += kLanes) {
    const IVec v = reinterpret_cast<IVec>(Load(in + j));
    count += StoreSelected(to + count, v, (v > below) & (v < above));
  }
#endif
  for (; j < n; ++j) {
    const uint32_t v = Bits(in[j]);
    std::memcpy(to + count, &v, 4);
    count += v - first <= span;
  }
  return count;
}

// mass[i] = the sum (with kCount, the number) of the elements that are at least thresholds[i]. After its n elements, x holds
// zeros up to a multiple of kLanes.
template <bool kCount>
inline void SumAbove(const float* x, int64_t n, const float (&thresholds)[3], double (&mass)[3]) {
  const DVec t0 = DVec{} + thresholds[0], t1 = DVec{} + thresholds[1], t2 = DVec{} + thresholds[2];
  const DVec one = DVec{} + 1.0;
  DVec m0 = {}, m1 = {}, m2 = {};
  for (int64_t j = 0; j < n; j += kDoubleLanes) {
    const DVec v = LoadDouble(x + j);
    const DVec w = kCount ? one : v;
    m0 += v >= t0 ? w : DVec{};
    m1 += v >= t1 ? w : DVec{};
    m2 += v >= t2 ? w : DVec{};
  }
  mass[0] = Sum(m0);
  mass[1] = Sum(m1);
  mass[2] = Sum(m2);
}

// Where the running sum of the elements in descending order reaches a target: among the `equal` elements of value `threshold`.
// `above` is the sum (or number) of all larger elements. `equal` is 0 if rounding made the search fail.
struct Crossing {
  float threshold;
  double above;
  int64_t equal;
};

// Searches the n candidates in x, all positive, for the place where their sum (with kCount, their number) reaches `target`. x is
// overwritten and needs room for kLanes more elements.
template <bool kCount>
inline Crossing FindCrossing(float* x, int64_t n, double target) {
  double above = 0;
  while (n > 0) {
    for (int i = 0; i < kLanes; ++i) x[n + i] = 0;
    // The least and the largest candidate, compared as integers. The zeros of the padding cannot be the maximum, and the minimum
    // skips them.
    IVec least = IVec{} + INT32_MAX, most = {};
    for (int64_t j = 0; j < n; j += kLanes) {
      const IVec v = reinterpret_cast<IVec>(Load(x + j));
      const IVec positive = v == 0 ? IVec{} + INT32_MAX : v;
      least = positive < least ? positive : least;
      most = v > most ? v : most;
    }
    int32_t low = INT32_MAX, high = 0;
    for (int i = 0; i < kLanes; ++i) {
      low = least[i] < low ? least[i] : low;
      high = most[i] > high ? most[i] : high;
    }
    if (low == high) return {x[0], above, n};

    // Quarters of [low, end). The elements from `low` up reach the target; those from `end` up do not.
    const uint32_t span = static_cast<uint32_t>(high - low) + 1, end = static_cast<uint32_t>(high) + 1;
    uint32_t edges[5] = {static_cast<uint32_t>(low), 0, 0, 0, end};
    float thresholds[3];
    for (uint32_t i = 0; i < 3; ++i) {
      edges[i + 1] = edges[0] + span / 4 * (i + 1) + span % 4 * (i + 1) / 4;
      thresholds[i] = FloatOfBits(edges[i + 1]);
    }
    double mass[3];
    SumAbove<kCount>(x, n, thresholds, mass);
    int quarter = 3;
    while (quarter > 0 && above + mass[quarter - 1] < target) --quarter;
    // Rounding may leave even the sum of all elements short of the target.
    if (edges[quarter] == edges[quarter + 1]) break;
    if (quarter < 3) above += mass[quarter];
    n = Compact(x, n, FloatOfBits(edges[quarter]), FloatOfBits(edges[quarter + 1] - 1), x);
  }
  return {0, above, 0};
}

// The cut that keeps all elements above the threshold and the first `ties` of the `equal` elements at it.
inline Cut KeepTies(const float* row, int64_t n, float threshold, int64_t ties, int64_t equal) {
  if (ties >= equal) return {threshold, n};
  int64_t j = 0;
  for (int64_t seen = 0; seen < ties; ++j) seen += row[j] == threshold;
  return {threshold, j};
}

// The nucleus by its definition, with a radix sort, for rows whose result depends on how float64 rounds.
inline Cut NucleusBySorting(const float* row, int64_t n, double p, float* scratch) {
  float* x = scratch;
  float* y = scratch + n + kLanes;
  const int64_t count = Compact(row, n, FloatOfBits(1), INFINITY, x);
  for (int shift = 0; shift < 32; shift += 8) {  // least significant byte first, descending
    int64_t start[256] = {};
    for (int64_t j = 0; j < count; ++j) ++start[Bits(x[j]) >> shift & 255];
    for (int64_t byte = 255, before = 0; byte >= 0; --byte) {
      const int64_t size = start[byte];
      start[byte] = before;
      before += size;
    }
    for (int64_t j = 0; j < count; ++j) y[start[Bits(x[j]) >> shift & 255]++] = x[j];
    float* const sorted = y;
    y = x;
    x = sorted;
  }
  double total = 0;
  for (int64_t j = 0; j < count; ++j) total += x[j];
  const double target = p * total;
  double mass = 0;
  int64_t kept = 0;
  while (kept < count && (kept == 0 || mass < target)) mass += x[kept++];
  int64_t ties = 0;
  for (int64_t j = kept - 1; j >= 0 && x[j] == x[kept - 1]; --j) ++ties;
  return KeepTies(row, n, x[kept - 1], ties, n + 1);
}

// The nucleus of a row of n elements, p in (0, 1]. `scratch` has NucleusScratch(n) floats.
inline Cut NucleusOf(const float* row, int64_t n, double p, float* scratch) {
  const RowStats stats = StatsOf(row, n);
  if (stats.positives == 0 || !(p > 0)) return kNothing;
  if (stats.largest == INFINITY) return KeepTies(row, n, INFINITY, 1, n + 1);
  const double target = p * stats.total;

  // Elements below 1 - p times the mean are outside: all of them together sum to less than 1 - p of the total.
  const float floor =
      static_cast<float>((1 - p) * (1 - 1e-6) * stats.total / static_cast<double>(stats.positives));
  const float low = floor > stats.smallest ? floor : stats.smallest;
  const int64_t candidates = Compact(row, n, low, stats.largest, scratch);
  const Crossing found = FindCrossing<false>(scratch, candidates, target);

  if (found.equal == 0) return NucleusBySorting(row, n, p, scratch);

  // The fewest elements at the threshold that make the sum reach the target are kept.
  const auto mass = [&](int64_t k) { return found.above + static_cast<double>(k) * found.threshold; };
  const double wanted = (target - found.above) / found.threshold;  // may exceed every int64_t
  int64_t ties = !(wanted >= 1)                               ? 1
                 : wanted >= static_cast<double>(found.equal) ? found.equal
                                                              : static_cast<int64_t>(wanted);
  while (ties > 1 && mass(ties - 1) >= target) --ties;
  while (ties < found.equal && mass(ties) < target) ++ties;

  // Every partial sum is a multiple of the smallest element's last bit, so sums are exact while the total fits 53 of such bits.
  const uint32_t exponent = Bits(stats.smallest) >> 23;
  const double last_bit = std::ldexp(1.0, static_cast<int>(exponent == 0 ? 1 : exponent) - 150);
  const double error = stats.total < last_bit * 0x1p53 ? 0 : stats.total * static_cast<double>(n) * 0x1p-51;
  const bool certain = error == 0 || (mass(ties) - error >= target && mass(ties - 1) + error < target);
  return certain ? KeepTies(row, n, found.threshold, ties, found.equal)
                 : NucleusBySorting(row, n, p, scratch);
}

// The k >= 1 largest positive elements (all positive elements if there are fewer), ties to the lower index. `scratch` has
// NucleusScratch(n) floats.
inline Cut LargestOf(const float* row, int64_t n, int64_t k, float* scratch) {
  const RowStats stats = StatsOf(row, n);
  if (stats.positives <= k) return {0, 0};
  const int64_t candidates = Compact(row, n, stats.smallest, stats.largest, scratch);
  const Crossing found = FindCrossing<true>(scratch, candidates, static_cast<double>(k));
  return KeepTies(row, n, found.threshold, k - static_cast<int64_t>(found.above), found.equal);
}

// Calls fn(begin, end, least) for the ranges of a row before and after ties_end. The elements of a range that are >= least are
// inside the cut: before ties_end `least` is the threshold, after it the next larger float (NaN after infinity, which no element
// reaches).
template <class Fn>
inline void ForCut(int64_t n, Cut cut, const Fn& fn) {
  const int64_t middle = cut.ties_end < n ? cut.ties_end : n;
  fn(static_cast<int64_t>(0), middle, cut.threshold);
  fn(middle, n, FloatOfBits(Bits(cut.threshold) + 1));
}

// kept[j] = whether row[j] is inside the cut.
inline void MarkKept(const float* row, int64_t n, Cut cut, uint8_t* kept) {
  ForCut(n, cut, [=](int64_t begin, int64_t end, float least) {
    int64_t j = begin;
    for (; j + kLanes <= end; j += kLanes) StoreBytes(kept + j, (Load(row + j) >= least) & 1);
    for (; j < end; ++j) kept[j] = row[j] >= least;
  });
}

// Sets the elements outside the cut to 0.
inline void ZeroOthers(float* row, int64_t n, Cut cut) {
  ForCut(n, cut, [=](int64_t begin, int64_t end, float least) {
    int64_t j = begin;
    for (; j + kLanes <= end; j += kLanes) {
      const Vec v = Load(row + j);
      Store(row + j, v >= least ? v : Vec{});
    }
    for (; j < end; ++j) row[j] = row[j] >= least ? row[j] : 0.0f;
  });
}

}  // namespace
}  // namespace specattn

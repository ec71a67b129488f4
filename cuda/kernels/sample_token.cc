// SampleToken on the CPU. Threads share the rows. A row's weights stay in the output `probabilities` from the first
// exponential to the last scaling.
#include "kernels/sample_token.h"

#include "cpu/kernels.h"
#include "cpu/nucleus.h"
#include "cpu/parallel.h"
#include "cpu/random.h"

namespace specattn {
namespace {

// The largest logit; NaN counts as -inf.
float LargestLogit(const float* x, int64_t n) {
  Vec most[4] = {Splat(-INFINITY), Splat(-INFINITY), Splat(-INFINITY), Splat(-INFINITY)};
  int64_t j = 0;
  for (; j + 4 * kLanes <= n; j += 4 * kLanes)
    for (int i = 0; i < 4; ++i) most[i] = Max(Load(x + j + i * kLanes), most[i]);
  float largest = Max(Max(Max(most[0], most[1]), Max(most[2], most[3])));
  for (; j < n; ++j) largest = x[j] > largest ? x[j] : largest;
  return largest;
}

// The first index of the largest logit. Whole blocks are compared first, since a loop that may stop at any element
// can't be vectorised.
int64_t FirstOf(const float* x, float largest, int64_t n) {
  int64_t j = 0;
  for (; j + 4 * kLanes <= n; j += 4 * kLanes) {
    IVec equal = {};
    for (int i = 0; i < 4; ++i) equal |= Load(x + j + i * kLanes) == largest;
    if (Max(reinterpret_cast<Vec>(equal & 0x3f800000)) > 0) break;
  }
  while (j < n && x[j] != largest) ++j;
  return j;
}

int32_t Greedy(const float* logits, float largest, int64_t n, float* probabilities) {
  std::memset(probabilities, 0, static_cast<size_t>(n) * sizeof(float));
  if (largest == -INFINITY) return -1;
  const int64_t token = FirstOf(logits, largest, n);
  probabilities[token] = 1.0f;
  return static_cast<int32_t>(token);
}

// exp((x - largest) * inverse). It is exactly 1 for the largest logit, even if that is infinite, and 0 for NaN.
inline Vec Weight(Vec x, float largest, float inverse) {
  const Vec w = Exp((x - largest) * inverse);
  return x == largest ? Splat(1.0f) : x == x ? w : Vec{};
}

void Weights(const float* logits, float largest, float inverse, int64_t n, float* weights) {
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) Store(weights + j, Weight(Load(logits + j), largest, inverse));
  for (; j < n; ++j) weights[j] = Weight(Splat(logits[j]), largest, inverse)[0];
}

// Writes the distribution after the filters to weights [n]. scratch: NucleusScratch(n) floats if top-k or top-p is on.
void Distribution(const float* logits, float largest, const Filters& filters, int64_t n, float* scratch,
                  float* weights) {
  Weights(logits, largest, 1.0f / filters.temperature, n, weights);
  if (filters.top_k > 0 && filters.top_k < n)
    ZeroOthers(weights, n, LargestOf(weights, n, filters.top_k, scratch));
  if (filters.top_p < 1) ZeroOthers(weights, n, NucleusOf(weights, n, filters.top_p, scratch));
  if (filters.min_p > 0) ZeroOthers(weights, n, {filters.min_p, n});  // the largest weight is 1
  const float scale = static_cast<float>(1 / SumOf(0, n, [&](int64_t j) { return weights[j]; }));
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) Store(weights + j, Load(weights + j) * scale);
  for (; j < n; ++j) weights[j] *= scale;
}

}  // namespace

namespace SPECATTN_ISA {

Status SampleToken(Stream& stream, const Args& args) {
  SampleTokenCall call = {};
  SPECATTN_RETURN_IF_ERROR(CheckSampleToken(args, &call));
  const int64_t rows = call.rows, size = call.size;
  const Filters filters = call.settings ? FiltersOf(call.settings) : call.filters;
  if (rows == 0) return Ok();

  const int64_t room = NucleusScratch(size);
  const bool searches = filters.Search();
  float* scratch = nullptr;
  if (searches) {
    scratch = static_cast<float*>(stream.Scratch(static_cast<size_t>(rows * room) * sizeof(float)));
    SPECATTN_CHECK(scratch != nullptr, "[SampleToken] no memory for %lld candidates",
                   static_cast<long long>(rows * room));
  }

  const int64_t grain = 1 + (filters.temperature > 0 ? 8192 : 65536) / size;
  ParallelFor(stream, rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* x = call.logits->as<float>() + t * size;
      float* y = call.probabilities->as<float>() + t * size;
      int32_t* drawn = call.token->as<int32_t>() + t;
      const float largest = LargestLogit(x, size);
      if (filters.temperature == 0 || largest == -INFINITY) {
        *drawn = Greedy(x, largest, size, y);
        continue;
      }
      Distribution(x, largest, filters, size, searches ? scratch + t * room : nullptr, y);
      const double u = Uniform(call.seed->as<int32_t>(), call.position->as<int32_t>()[0] + t, call.stream);
      *drawn = static_cast<int32_t>(Draw(size, u, [&](int64_t j) { return y[j]; }));
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

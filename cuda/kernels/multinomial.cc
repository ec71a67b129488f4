// Draws with replacement from every row of a matrix of logits or probabilities.
//   input   logits [B, V], float32
//   attrs   seed (any number; its 64 bits are used), 1 if the rows are probabilities
//   output  [B, S], int32
// Sample s of row b is drawn by inversion with a hash of (seed, b, s), so that a seed reproduces on every
// device.
#include "../cpu/parallel.h"
#include "../cpu/random.h"
#include "../cpu/simd.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

inline double Uniform(const uint32_t (&seed)[2], int64_t row, int64_t sample) {
  const uint32_t h = Mix32(
      seed[0] ^ Mix32(seed[1] ^ Mix32(static_cast<uint32_t>(row) ^ Mix32(static_cast<uint32_t>(sample)))));
  return static_cast<double>(h >> 8) * 0x1p-24;
}

// Running sums of the weights of one row.
void Accumulate(const float* x, double* sums, int64_t n, bool normalized) {
  float max = x[0];
  for (int64_t i = 1; i < n; ++i) max = x[i] > max ? x[i] : max;
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum +=
        normalized ? static_cast<double>(x[i]) : ::exp(static_cast<double>(x[i]) - static_cast<double>(max));
    sums[i] = sum;
  }
}

// The first event whose running sum exceeds u; the last if none does.
inline int32_t Find(const double* sums, int64_t n, double u) {
  int64_t low = 0, high = n - 1;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (u < sums[middle]) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return static_cast<int32_t>(low);
}

}  // namespace

Status Multinomial(Stream& stream, const Args& args) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1 && args.attr_count == 2,
                 "[Multinomial] expected 1 input, 1 output and 2 attributes but has %d, %d and %d",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  SPECATTN_CHECK(x.dtype == DType::kFloat32 && y.dtype == DType::kInt32,
                 "[Multinomial] logits must be float32 and the output int32 but are of dtypes %d and %d",
                 static_cast<int>(x.dtype), static_cast<int>(y.dtype));
  SPECATTN_CHECK(x.rank == 2 && y.rank == 2 && x.dims[0] == y.dims[0],
                 "[Multinomial] logits and the output must be matrices of as many rows");
  const int64_t rows = x.dims[0], n = x.dims[1], samples = y.dims[1];
  if (y.size() == 0) return Ok();
  SPECATTN_CHECK(n > 0, "[Multinomial] logits have no columns");
  const bool normalized = args.attrs[1] != 0;
  uint32_t seed[2];
  std::memcpy(seed, &args.attrs[0], sizeof seed);
  double* sums = static_cast<double*>(stream.Scratch(static_cast<size_t>(x.size()) * sizeof(double)));
  SPECATTN_CHECK(sums != nullptr, "[Multinomial] no memory for %lld running sums",
                 static_cast<long long>(x.size()));
  ParallelFor(stream, rows, 4096 / (n + samples) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      double* row = sums + r * n;
      Accumulate(x.as<float>() + r * n, row, n, normalized);
      const double total = normalized ? 1.0 : row[n - 1];
      for (int64_t s = 0; s < samples; ++s)
        y.as<int32_t>()[r * samples + s] = Find(row, n, Uniform(seed, r, s) * total);
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

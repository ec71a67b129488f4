// Cast on the CPU.
#include "kernels/cast.h"

#include "core/convert.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kGrain = 16384;

// An element as float32 or int32.
inline float Value(float x) { return x; }
inline float Value(BFloat16 x) { return ToFloat(x); }
inline float Value(Float16 x) { return ToFloat(x); }
inline int32_t Value(int32_t x) { return x; }
inline int32_t Value(uint8_t x) { return x; }

// Converts block by block. If all values of a block are in int32's range, the compiler's vectorised conversion does;
// otherwise each of them takes ToInt32.
template <class In>
void ToInt32s(const In* __restrict in, int32_t* __restrict out, int64_t n) {
  constexpr int64_t kBlock = 64;
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    int misfits = 0;
    for (int64_t j = i; j < i + kBlock; ++j) {
      const float x = Value(in[j]);
      misfits += !(x > -2147483648.0f && x < 2147483648.0f);
    }
    if (misfits == 0) {
      for (int64_t j = i; j < i + kBlock; ++j) out[j] = static_cast<int32_t>(Value(in[j]));
    } else {
      for (int64_t j = i; j < i + kBlock; ++j) out[j] = ToInt32(Value(in[j]));
    }
  }
  for (; i < n; ++i) out[i] = ToInt32(Value(in[i]));
}
inline void ToInt32s(const int32_t* in, int32_t* out, int64_t n) {
  std::memcpy(out, in, static_cast<size_t>(n) * sizeof(int32_t));
}
inline void ToInt32s(const uint8_t* __restrict in, int32_t* __restrict out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = in[i];
}

template <class In>
void From(Stream& stream, const Tensor& x, const Tensor& y) {
  const In* __restrict in = x.as<In>();
  ParallelFor(stream, x.size(), kGrain, [&](int64_t begin, int64_t end) {
    if (y.dtype == DType::kFloat32) {
      float* __restrict out = y.as<float>();
      for (int64_t i = begin; i < end; ++i) out[i] = static_cast<float>(Value(in[i]));
    } else if (y.dtype == DType::kInt32) {
      ToInt32s(in + begin, y.as<int32_t>() + begin, end - begin);
    } else {
      uint8_t* __restrict out = y.as<uint8_t>();
      for (int64_t i = begin; i < end; ++i) out[i] = Value(in[i]) != 0;
    }
  });
}

}  // namespace

Status Cast(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCast(args));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  switch (x.dtype) {
    case DType::kFloat32:
      From<float>(stream, x, y);
      break;
    case DType::kBFloat16:
      From<BFloat16>(stream, x, y);
      break;
    case DType::kFloat16:
      From<Float16>(stream, x, y);
      break;
    case DType::kInt32:
      From<int32_t>(stream, x, y);
      break;
    case DType::kBool:
      From<uint8_t>(stream, x, y);
      break;
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

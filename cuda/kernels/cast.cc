// Conversion between dtypes.
//   input   x: any storage (float32, bfloat16, float16, int32, bool)
//   output  y, as many elements: float32 | int32 | bool
// To int32 as a JavaScript Int32Array converts (towards zero, modulo 2^32, NaN is 0); to bool: x != 0.
#include "../cpu/convert.h"
#include "../cpu/parallel.h"
#include "../cpu/simd.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kGrain = 16384;

inline float Value(float x) { return x; }
inline float Value(BFloat16 x) { return ToFloat(x); }
inline float Value(Float16 x) { return ToFloat(x); }
inline int32_t Value(int32_t x) { return x; }
inline int32_t Value(uint8_t x) { return x; }

template <class In>
void From(Stream& stream, const Tensor& x, const Tensor& y) {
  const In* __restrict in = x.as<In>();
  ParallelFor(stream, x.size(), kGrain, [&](int64_t begin, int64_t end) {
    if (y.dtype == DType::kFloat32) {
      float* __restrict out = y.as<float>();
      for (int64_t i = begin; i < end; ++i) out[i] = static_cast<float>(Value(in[i]));
    } else if (y.dtype == DType::kInt32) {
      int32_t* __restrict out = y.as<int32_t>();
      for (int64_t i = begin; i < end; ++i) out[i] = ToInt32(Value(in[i]));
    } else {
      uint8_t* __restrict out = y.as<uint8_t>();
      for (int64_t i = begin; i < end; ++i) out[i] = Value(in[i]) != 0;
    }
  });
}

}  // namespace

Status Cast(Stream& stream, const Args& args) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1,
                 "[Cast] expected 1 input and 1 output but has %d and %d", args.input_count,
                 args.output_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  SPECATTN_CHECK(x.size() == y.size(), "[Cast] y must have %lld elements but has %lld",
                 static_cast<long long>(x.size()), static_cast<long long>(y.size()));
  SPECATTN_CHECK(SizeOf(y.dtype) != 2, "[Cast] y must be float32, int32 or bool; Copy writes the half types");
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

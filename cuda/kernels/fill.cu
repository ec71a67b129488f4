// Fill on CUDA. One kernel serves every storage: a thread writes 16 bytes, in which the element is repeated.
#include <cstring>

#include "core/convert.h"
#include "gpu/primitives/element.cuh"
#include "gpu/primitives/elementwise.cuh"
#include "kernels/fill.h"

namespace specattn {
namespace gpu {
namespace {

struct alignas(16) Pattern {
  uint8_t byte[16];
};

__global__ void Bytes(uint8_t* out, int64_t vectors, int64_t rest, const __grid_constant__ Pattern pattern) {
  WaitForPrevious();
  LetNextStart();
  const int64_t i = ElementIndex();
  if (i < vectors) {
    reinterpret_cast<Pattern*>(out)[i] = pattern;
  } else if (i < vectors + rest) {
    const int64_t k = i - vectors;
    out[vectors * 16 + k] = pattern.byte[k % 16];
  }
}

template <class T>
void Repeat(T element, Pattern* pattern) {
  for (size_t i = 0; i < sizeof pattern->byte; i += sizeof element)
    std::memcpy(pattern->byte + i, &element, sizeof element);
}

Pattern Make(DType dtype, double value) {
  Pattern pattern;
  const float as_float = static_cast<float>(value);
  uint8_t as_bool;
  Convert(value, &as_bool);
  switch (dtype) {
    case DType::kFloat32:
      Repeat(as_float, &pattern);
      break;
    case DType::kBFloat16:
      Repeat(__float2bfloat16_rn(as_float), &pattern);
      break;
    case DType::kFloat16:
      Repeat(__float2half_rn(as_float), &pattern);
      break;
    case DType::kInt32:
      Repeat(ToInt32(value), &pattern);
      break;
    case DType::kBool:
      Repeat(as_bool, &pattern);
      break;
  }
  return pattern;
}

}  // namespace

Status Fill(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckFill(args));
  const Tensor& out = args.outputs[0];
  const int64_t bytes = static_cast<int64_t>(out.bytes());
  if (bytes == 0) return Ok();
  const int64_t vectors = IsAligned(out.data, 16) ? bytes / 16 : 0, rest = bytes - vectors * 16;
  return LaunchKernel(static_cast<CudaStream&>(stream), "Fill", Start::kEarly, Bytes,
                      ElementGrid(vectors + rest), kElementThreads, 0, out.as<uint8_t>(), vectors, rest,
                      Make(out.dtype, args.attrs[0]));
}

}  // namespace gpu
}  // namespace specattn

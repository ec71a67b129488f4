// Copy on CUDA. Within one storage a thread copies 16 bytes; between float storages it converts four elements. The rest at
// the end, or everything if a buffer is not aligned, is left to further threads with one byte or element each.
#include "gpu/primitives/element.cuh"
#include "gpu/primitives/elementwise.cuh"
#include "kernels/copy.h"

namespace specattn {
namespace gpu {
namespace {

__global__ void Bytes(const char* x, char* y, int64_t vectors, int64_t rest) {
  WaitForPrevious();
  LetNextStart();
  const int64_t i = ElementIndex();
  if (i < vectors) {
    reinterpret_cast<uint4*>(y)[i] = reinterpret_cast<const uint4*>(x)[i];
  } else if (i < vectors + rest) {
    const int64_t at = vectors * 16 + (i - vectors);
    y[at] = x[at];
  }
}

constexpr int kPack = 4;
template <class T>
struct alignas(kPack * sizeof(T)) Pack {
  T element[kPack];
};

template <class In, class Out>
__global__ void Floats(const In* x, Out* y, int64_t packs, int64_t rest) {
  WaitForPrevious();
  LetNextStart();
  const int64_t i = ElementIndex();
  if (i < packs) {
    const Pack<In> in = reinterpret_cast<const Pack<In>*>(x)[i];
    Pack<Out> out;
#pragma unroll
    for (int k = 0; k < kPack; ++k) FromFloat(ToFloat(in.element[k]), &out.element[k]);
    reinterpret_cast<Pack<Out>*>(y)[i] = out;
  } else if (i < packs + rest) {
    const int64_t at = packs * kPack + (i - packs);
    FromFloat(ToFloat(x[at]), y + at);
  }
}

template <class In, class Out>
Status To(CudaStream& stream, const Tensor& x, const Tensor& y) {
  const bool aligned = IsAligned(x.data, sizeof(Pack<In>)) && IsAligned(y.data, sizeof(Pack<Out>));
  const int64_t n = x.size(), packs = aligned ? n / kPack : 0, rest = n - packs * kPack;
  return LaunchKernel(stream, "Copy", Start::kEarly, Floats<In, Out>, ElementGrid(packs + rest),
                      kElementThreads, 0, x.as<In>(), y.as<Out>(), packs, rest);
}

template <class In>
Status From(CudaStream& stream, const Tensor& x, const Tensor& y) {
  return WithFloat(y.dtype, [&](auto out) { return To<In, decltype(out)>(stream, x, y); });
}

}  // namespace

Status Copy(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCopy(args));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  if (x.size() == 0) return Ok();
  auto& cuda = static_cast<CudaStream&>(stream);
  if (x.dtype != y.dtype) return WithFloat(x.dtype, [&](auto in) { return From<decltype(in)>(cuda, x, y); });
  const int64_t bytes = static_cast<int64_t>(x.bytes());
  const int64_t vectors = IsAligned(x.data, 16) && IsAligned(y.data, 16) ? bytes / 16 : 0;
  const int64_t rest = bytes - vectors * 16;
  return LaunchKernel(cuda, "Copy", Start::kEarly, Bytes, ElementGrid(vectors + rest), kElementThreads, 0,
                      x.as<char>(), y.as<char>(), vectors, rest);
}

}  // namespace gpu
}  // namespace specattn

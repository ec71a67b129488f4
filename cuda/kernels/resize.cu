// Resize on CUDA: one thread per element of the output.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/resize.h"

namespace specattn {
namespace gpu {
namespace {

struct Place {
  int64_t image, row, column, channel;
};

__device__ __forceinline__ Place PlaceOf(const ResizeCall& call, int64_t i) {
  Place place;
  i = Divide(i, call.channels, &place.channel);
  i = Divide(i, call.columns.out, &place.column);
  place.image = Divide(i, call.rows.out, &place.row);
  return place;
}

__global__ void Bilinear(const __grid_constant__ ResizeCall call, const float* x, float* y, int64_t n) {
  const int64_t i = ElementIndex();
  if (i >= n) return;
  const Place place = PlaceOf(call, i);
  int64_t top, bottom, left, right;
  float share, across;
  call.rows.Around(place.row, &top, &bottom, &share);
  call.columns.Around(place.column, &left, &right, &across);
  const auto pixel = [&](int64_t row, int64_t column) {
    return x[((place.image * call.rows.in + row) * call.columns.in + column) * call.channels + place.channel];
  };
  const float a = pixel(top, left), b = pixel(top, right), c = pixel(bottom, left), d = pixel(bottom, right);
  const float above = a + (b - a) * across, below = c + (d - c) * across;
  y[i] = above + (below - above) * share;
}

__global__ void Nearest(const __grid_constant__ ResizeCall call, const uint32_t* x, uint32_t* y, int64_t n) {
  const int64_t i = ElementIndex();
  if (i >= n) return;
  const Place place = PlaceOf(call, i);
  const int64_t row = place.image * call.rows.in + call.rows.Nearest(place.row);
  y[i] = x[(row * call.columns.in + call.columns.Nearest(place.column)) * call.channels + place.channel];
}

}  // namespace

Status Resize(Stream& stream, const Args& args) {
  ResizeCall call;
  SPECATTN_RETURN_IF_ERROR(CheckResize(args, &call));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  if (y.size() == 0) return Ok();
  auto& cuda = static_cast<CudaStream&>(stream);
  const dim3 grid = ElementGrid(y.size());
  if (call.bilinear)
    return LaunchKernel(cuda, "Resize", Start::kInOrder, Bilinear, grid, kElementThreads, 0, call,
                        x.as<float>(), y.as<float>(), y.size());
  return LaunchKernel(cuda, "Resize", Start::kInOrder, Nearest, grid, kElementThreads, 0, call,
                      x.as<uint32_t>(), y.as<uint32_t>(), y.size());
}

}  // namespace gpu
}  // namespace specattn

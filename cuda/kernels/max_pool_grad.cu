// MaxPoolGrad on CUDA: first the largest element of each window is found, then one thread per element of dx adds what comes
// from the windows of which it is the largest, in their order.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/max_pool_grad.h"

namespace specattn {
namespace gpu {
namespace {

// pixels[b, i, j, c] = the pixel in its image of the window's largest element, or -1.
__global__ void Largest(const __grid_constant__ Windows windows, const float* x, int32_t* pixels, int64_t n) {
  const int64_t index = ElementIndex();
  if (index >= n) return;
  const WindowAxis &rows = windows.rows, &columns = windows.columns;
  int64_t channel, i, j, rest = Divide(index, windows.channels, &channel);
  rest = Divide(rest, columns.out, &j);
  const int64_t image = Divide(rest, rows.out, &i);
  x += image * rows.in * columns.in * windows.channels + channel;
  int64_t top, bottom, left, right;
  rows.Inside(i, &top, &bottom);
  columns.Inside(j, &left, &right);
  float largest = -INFINITY;
  int32_t found = -1;
  for (int64_t down = top; down < bottom; ++down) {
    const int64_t row = rows.Start(i) + down * rows.dilation;
    for (int64_t across = left; across < right; ++across) {
      const int64_t pixel = row * columns.in + columns.Start(j) + across * columns.dilation;
      const float number = x[pixel * windows.channels];
      if (number > largest) {
        largest = number;
        found = static_cast<int32_t>(pixel);
      }
    }
  }
  pixels[index] = found;
}

__global__ void Sums(const __grid_constant__ Windows windows, const float* dy, const int32_t* pixels,
                     float* dx, int64_t n) {
  const int64_t index = ElementIndex();
  if (index >= n) return;
  const WindowAxis &rows = windows.rows, &columns = windows.columns;
  int64_t channel, row, column, rest = Divide(index, windows.channels, &channel);
  rest = Divide(rest, columns.in, &column);
  const int64_t image = Divide(rest, rows.in, &row);
  const int64_t pixel = row * columns.in + column;
  int64_t top, bottom, left, right;
  rows.Covering(row, &top, &bottom);
  columns.Covering(column, &left, &right);
  float sum = 0;
  for (int64_t i = top; i < bottom; ++i)
    for (int64_t j = left; j < right; ++j) {
      const int64_t window = ((image * rows.out + i) * columns.out + j) * windows.channels + channel;
      if (pixels[window] == pixel) sum += dy[window];
    }
  dx[index] = sum;
}

}  // namespace

Status MaxPoolGrad(Stream& stream, const Args& args) {
  Windows windows;
  SPECATTN_RETURN_IF_ERROR(CheckMaxPoolGrad(args, &windows));
  const Tensor &dy = args.inputs[0], &dx = args.outputs[0];
  if (dx.size() == 0) return Ok();
  auto& cuda = static_cast<CudaStream&>(stream);
  int32_t* pixels = nullptr;
  if (dy.size() > 0) {
    pixels = static_cast<int32_t*>(stream.Scratch(static_cast<size_t>(dy.size()) * sizeof(int32_t)));
    SPECATTN_CHECK(pixels, "[MaxPoolGrad] no memory for the pixels of %lld windows",
                   static_cast<long long>(dy.size()));
    SPECATTN_RETURN_IF_ERROR(LaunchKernel(cuda, "MaxPoolGrad", Start::kInOrder, Largest,
                                          ElementGrid(dy.size()), kElementThreads, 0, windows,
                                          args.inputs[1].as<float>(), pixels, dy.size()));
  }
  return LaunchKernel(cuda, "MaxPoolGrad", Start::kInOrder, Sums, ElementGrid(dx.size()), kElementThreads, 0,
                      windows, dy.as<float>(), pixels, dx.as<float>(), dx.size());
}

}  // namespace gpu
}  // namespace specattn

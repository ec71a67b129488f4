// Depthwise on CUDA, with three kernels: one thread per element of y, one per element of x, and one block for kLanes channels of
// a filter's place, whose threads share the windows.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/depthwise.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kLanes = 32;

__global__ void Results(const __grid_constant__ DepthwiseCall call, int64_t n) {
  const int64_t index = ElementIndex();
  if (index >= n) return;
  const WindowAxis &rows = call.windows.rows, &columns = call.windows.columns;
  const int64_t channels = call.windows.channels, outputs = channels * call.multiplier;
  int64_t output, i, j, m, rest = Divide(index, outputs, &output);
  rest = Divide(rest, columns.out, &j);
  const int64_t image = Divide(rest, rows.out, &i), channel = Divide(output, call.multiplier, &m);
  int64_t top, bottom, left, right;
  rows.Inside(i, &top, &bottom);
  columns.Inside(j, &left, &right);
  float sum = 0;
  for (int64_t down = top; down < bottom; ++down) {
    const int64_t row = image * rows.in + rows.Start(i) + down * rows.dilation;
    for (int64_t across = left; across < right; ++across) {
      const int64_t pixel = row * columns.in + columns.Start(j) + across * columns.dilation;
      sum = fmaf(call.x[pixel * channels + channel],
                 call.filter[(down * columns.places + across) * outputs + output], sum);
    }
  }
  call.y[index] = sum;
}

__global__ void ImageGradient(const __grid_constant__ DepthwiseCall call, int64_t n) {
  const int64_t index = ElementIndex();
  if (index >= n) return;
  const WindowAxis &rows = call.windows.rows, &columns = call.windows.columns;
  const int64_t outputs = call.windows.channels * call.multiplier;
  int64_t channel, row, column, rest = Divide(index, call.windows.channels, &channel);
  rest = Divide(rest, columns.in, &column);
  const int64_t image = Divide(rest, rows.in, &row);
  int64_t top, bottom, left, right;
  rows.Covering(row, &top, &bottom);
  columns.Covering(column, &left, &right);
  float sum = 0;
  for (int64_t i = top; i < bottom; ++i) {
    const int64_t down = rows.PlaceOf(i, row);
    if (down < 0) continue;
    for (int64_t j = left; j < right; ++j) {
      const int64_t across = columns.PlaceOf(j, column);
      if (across < 0) continue;
      const float* y =
          call.y + ((image * rows.out + i) * columns.out + j) * outputs + channel * call.multiplier;
      const float* filter =
          call.filter + (down * columns.places + across) * outputs + channel * call.multiplier;
      for (int64_t m = 0; m < call.multiplier; ++m) sum = fmaf(y[m], filter[m], sum);
    }
  }
  call.x[index] = sum;
}

// Thread (lane, k) sums windows k, k + kLanes, ... for one channel of y.
__global__ void FilterGradient(const __grid_constant__ DepthwiseCall call, int64_t groups) {
  __shared__ float sums[kLanes][kLanes];
  const WindowAxis &rows = call.windows.rows, &columns = call.windows.columns;
  const int64_t channels = call.windows.channels, outputs = channels * call.multiplier;
  int64_t group, across;
  const int64_t place = Divide(blockIdx.x, groups, &group), down = Divide(place, columns.places, &across);
  const int64_t output = group * kLanes + threadIdx.x;
  float sum = 0;
  if (output < outputs) {
    const int64_t channel = output / call.multiplier, windows = call.windows.batch * rows.out * columns.out;
    for (int64_t window = threadIdx.y; window < windows; window += kLanes) {
      int64_t i, j;
      const int64_t image = Divide(Divide(window, columns.out, &j), rows.out, &i);
      const int64_t row = rows.Start(i) + down * rows.dilation;
      const int64_t column = columns.Start(j) + across * columns.dilation;
      if (row < 0 || row >= rows.in || column < 0 || column >= columns.in) continue;
      sum = fmaf(call.x[((image * rows.in + row) * columns.in + column) * channels + channel],
                 call.y[window * outputs + output], sum);
    }
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  for (int half = kLanes / 2; half > 0; half /= 2) {
    if (threadIdx.y < half) sums[threadIdx.y][threadIdx.x] += sums[threadIdx.y + half][threadIdx.x];
    __syncthreads();
  }
  if (threadIdx.y == 0 && output < outputs) call.filter[place * outputs + output] = sums[0][threadIdx.x];
}

}  // namespace

Status Depthwise(Stream& stream, const Args& args) {
  DepthwiseCall call;
  SPECATTN_RETURN_IF_ERROR(CheckDepthwise(args, &call));
  const int64_t n = args.outputs[0].size();
  if (n == 0) return Ok();
  auto& cuda = static_cast<CudaStream&>(stream);
  if (call.output == kDepthwiseY)
    return LaunchKernel(cuda, "Depthwise", Start::kInOrder, Results, ElementGrid(n), kElementThreads, 0, call,
                        n);
  if (call.output == kDepthwiseX)
    return LaunchKernel(cuda, "Depthwise", Start::kInOrder, ImageGradient, ElementGrid(n), kElementThreads, 0,
                        call, n);
  const int64_t groups = CeilDiv<int64_t>(call.outputs(), kLanes);
  const int64_t blocks = groups * call.windows.rows.places * call.windows.columns.places;
  return LaunchKernel(cuda, "Depthwise", Start::kInOrder, FilterGradient, static_cast<unsigned>(blocks),
                      dim3(kLanes, kLanes), 0, call, groups);
}

}  // namespace gpu
}  // namespace specattn

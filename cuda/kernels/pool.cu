// Pool on CUDA: one thread per element of y.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/pool.h"

namespace specattn {
namespace gpu {
namespace {

template <bool kMean, class T>
__global__ void Elements(const __grid_constant__ Windows windows, const T* x, T* y, int64_t n) {
  const int64_t index = ElementIndex();
  if (index >= n) return;
  const WindowAxis &rows = windows.rows, &columns = windows.columns;
  int64_t channel, i, j, rest = Divide(index, windows.channels, &channel);
  rest = Divide(rest, columns.out, &j);
  const int64_t image = Divide(rest, rows.out, &i);
  int64_t top, bottom, left, right, count = 0;
  rows.Inside(i, &top, &bottom);
  columns.Inside(j, &left, &right);
  T largest = Lowest<T>();
  double sum = 0;
  for (int64_t down = top; down < bottom; ++down) {
    const int64_t row = image * rows.in + rows.Start(i) + down * rows.dilation;
    for (int64_t across = left; across < right; ++across, ++count) {
      const int64_t pixel = row * columns.in + columns.Start(j) + across * columns.dilation;
      const T number = x[pixel * windows.channels + channel];
      if (kMean) {
        sum += static_cast<double>(number);
      } else if (number > largest) {
        largest = number;
      }
    }
  }
  y[index] = kMean ? static_cast<T>(sum / static_cast<double>(count)) : largest;
}

template <bool kMean, class T>
Status Run(Stream& stream, const Windows& windows, const Tensor& x, const Tensor& y) {
  return LaunchKernel(static_cast<CudaStream&>(stream), "Pool", Start::kInOrder, Elements<kMean, T>,
                      ElementGrid(y.size()), kElementThreads, 0, windows, x.as<T>(), y.as<T>(), y.size());
}

}  // namespace

Status Pool(Stream& stream, const Args& args) {
  bool mean;
  Windows windows;
  SPECATTN_RETURN_IF_ERROR(CheckPool(args, &mean, &windows));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  if (y.size() == 0) return Ok();
  if (mean) return Run<true, float>(stream, windows, x, y);
  if (x.dtype == DType::kInt32) return Run<false, int32_t>(stream, windows, x, y);
  return Run<false, float>(stream, windows, x, y);
}

}  // namespace gpu
}  // namespace specattn

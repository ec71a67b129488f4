// Fold on CUDA: one thread per element of x adds what the windows that cover its pixel hold for it.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/fold.h"

namespace specattn {
namespace gpu {
namespace {

__global__ void Elements(const __grid_constant__ FoldCall call, const float* windows, float* x, int64_t n) {
  const int64_t index = ElementIndex();
  if (index >= n) return;
  const WindowAxis &rows = call.windows.rows, &columns = call.windows.columns;
  int64_t channel, column, row, rest = Divide(index, call.windows.channels, &channel);
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
      if (across >= 0) sum += windows[call.Offset(image, i, j, down, across) + channel];
    }
  }
  x[index] = sum;
}

}  // namespace

Status Fold(Stream& stream, const Args& args) {
  FoldCall call;
  SPECATTN_RETURN_IF_ERROR(CheckFold(args, &call));
  const Tensor& x = args.outputs[0];
  if (x.size() == 0) return Ok();
  return LaunchKernel(static_cast<CudaStream&>(stream), "Fold", Start::kInOrder, Elements,
                      ElementGrid(x.size()), kElementThreads, 0, call, args.inputs[0].as<float>(),
                      x.as<float>(), x.size());
}

}  // namespace gpu
}  // namespace specattn

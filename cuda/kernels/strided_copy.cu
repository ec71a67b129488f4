// StridedCopy on CUDA, with two kernels.
//   Units  a thread copies one unit of the output: an element, or up to 16 bytes if all runs consist of such units.
//   Tiles  for views whose innermost loop strides through x while another has stride 1, as in a transpose. Blocks of these
//          two loops are transposed in shared memory, so that reads and writes are both coalesced.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/strided_copy.h"

namespace specattn {
namespace gpu {
namespace {

template <class Unit>
__global__ void Units(const __grid_constant__ Loops<1> loops, const Unit* x, Unit* y, int64_t n) {
  WaitForPrevious();
  LetNextStart();
  const int64_t i = ElementIndex();
  if (i >= n) return;
  int64_t at[1];
  Offsets(loops, i, at);
  y[i] = x[at[0]];
}

constexpr int kTile = 32, kTileRows = 8;

// Rows run over loop `unit`, columns over the innermost loop, and planes over all other loops. Rows are `row_step` elements
// apart in y.
template <class T>
__global__ void Tiles(const __grid_constant__ Loops<1> loops, const T* x, T* y, int unit, int64_t row_step,
                      int64_t row_tiles, int64_t column_tiles) {
  __shared__ T tile[kTile][kTile + 1];
  WaitForPrevious();
  LetNextStart();
  const int last = loops.rank - 1;
  const int64_t rows = loops.dims[unit], columns = loops.dims[last], stride = loops.strides[last][0];
  int64_t row_tile, column_tile;
  int64_t plane = Divide(blockIdx.x, column_tiles, &column_tile);
  plane = Divide(plane, row_tiles, &row_tile);
  int64_t in = 0, out = 0, step = columns;
  for (int loop = last - 1; loop >= 0; --loop) {
    if (loop != unit) {
      int64_t place;
      plane = Divide(plane, loops.dims[loop], &place);
      in += place * loops.strides[loop][0];
      out += place * step;
    }
    step *= loops.dims[loop];
  }
  const int64_t r0 = row_tile * kTile, c0 = column_tile * kTile;
  for (int c = threadIdx.y; c < kTile; c += kTileRows)
    if (r0 + threadIdx.x < rows && c0 + c < columns)
      tile[threadIdx.x][c] = x[in + (c0 + c) * stride + r0 + threadIdx.x];
  __syncthreads();
  for (int r = threadIdx.y; r < kTile; r += kTileRows)
    if (r0 + r < rows && c0 + threadIdx.x < columns)
      y[out + (r0 + r) * row_step + c0 + threadIdx.x] = tile[r][threadIdx.x];
}

template <class Unit>
Status RunUnits(CudaStream& stream, const Loops<1>& loops, const char* x, const Tensor& y) {
  const int64_t n = loops.outer() * loops.inner();
  return LaunchKernel(stream, "StridedCopy", Start::kEarly, Units<Unit>, ElementGrid(n), kElementThreads, 0,
                      loops, reinterpret_cast<const Unit*>(x), y.as<Unit>(), n);
}

template <class T>
Status RunTiles(CudaStream& stream, const Loops<1>& loops, const char* x, const Tensor& y, int unit,
                int64_t row_step) {
  const int64_t rows = loops.dims[unit], row_tiles = CeilDiv<int64_t>(rows, kTile);
  const int64_t column_tiles = CeilDiv<int64_t>(loops.inner(), kTile);
  const int64_t blocks = loops.outer() / rows * row_tiles * column_tiles;
  return LaunchKernel(stream, "StridedCopy", Start::kEarly, Tiles<T>, static_cast<unsigned>(blocks),
                      dim3(kTile, kTileRows), 0, loops, reinterpret_cast<const T*>(x), y.as<T>(), unit,
                      row_step, row_tiles, column_tiles);
}

// Whether the loops can run over units of twice the size: runs are contiguous and sizes and strides even.
bool Doubles(const Loops<1>& loops) {
  const int last = loops.rank - 1;
  bool doubles = loops.strides[last][0] == 1 && loops.dims[last] % 2 == 0;
  for (int i = 0; i < last; ++i) doubles = doubles && loops.strides[i][0] % 2 == 0;
  return doubles;
}

}  // namespace

Status StridedCopy(Stream& stream, const Args& args) {
  StridedCopyCall call;
  SPECATTN_RETURN_IF_ERROR(CheckStridedCopy(args, &call));
  const Tensor& y = args.outputs[0];
  if (y.size() == 0) return Ok();
  auto& cuda = static_cast<CudaStream&>(stream);
  Loops<1>& loops = call.loops;
  size_t unit = SizeOf(y.dtype);
  const char* x = args.inputs[0].as<char>() + call.offset * static_cast<int64_t>(unit);
  const int last = loops.rank - 1;
  if (loops.strides[last][0] != 0 && loops.strides[last][0] != 1 && loops.inner() >= 8) {
    int64_t row_step = loops.inner();
    for (int i = last - 1; i >= 0; row_step *= loops.dims[i--]) {
      if (loops.strides[i][0] != 1 || loops.dims[i] < 8) continue;
      if (unit == 4) return RunTiles<uint32_t>(cuda, loops, x, y, i, row_step);
      if (unit == 2) return RunTiles<uint16_t>(cuda, loops, x, y, i, row_step);
      return RunTiles<uint8_t>(cuda, loops, x, y, i, row_step);
    }
  }
  while (unit < 16 && Doubles(loops) && IsAligned(x, 2 * unit) && IsAligned(y.data, 2 * unit)) {
    unit *= 2;
    loops.dims[last] /= 2;
    for (int i = 0; i < last; ++i) loops.strides[i][0] /= 2;
  }
  if (unit == 16) return RunUnits<uint4>(cuda, loops, x, y);
  if (unit == 8) return RunUnits<uint64_t>(cuda, loops, x, y);
  if (unit == 4) return RunUnits<uint32_t>(cuda, loops, x, y);
  if (unit == 2) return RunUnits<uint16_t>(cuda, loops, x, y);
  return RunUnits<uint8_t>(cuda, loops, x, y);
}

}  // namespace gpu
}  // namespace specattn

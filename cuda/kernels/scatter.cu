// Scatter on CUDA. To add, y becomes the base, then each thread adds one element of the updates atomically. To replace,
// the last update of each slice is found first, so that the result does not depend on which thread comes last.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/scatter.h"

namespace specattn {
namespace gpu {
namespace {

template <class T>
__global__ void Base(const T* base, T* y, int64_t n, bool one_base) {
  const int64_t i = ElementIndex();
  if (i < n) y[i] = base[one_base ? 0 : i];
}

template <class T>
__global__ void Sums(const int32_t* indices, const T* updates, T* y, int64_t n,
                     const __grid_constant__ ScatterCall call) {
  const NdIndex& places = call.places;
  const int64_t i = ElementIndex();
  if (i >= n) return;
  int64_t j;
  const int64_t place = Divide(i, places.inner, &j);
  const int64_t slice = places.SliceOf(indices + place * places.depth);
  if (slice >= 0) atomicAdd(y + slice * places.inner + j, updates[call.one_update ? 0 : i]);
}

// last[slice] = -1: no update so far.
__global__ void NoUpdates(int32_t* last, int64_t slices) {
  const int64_t i = ElementIndex();
  if (i < slices) last[i] = -1;
}

// last[slice] = the number of the slice's last update.
__global__ void LastUpdates(const int32_t* indices, int32_t* last, const __grid_constant__ NdIndex places) {
  const int64_t i = ElementIndex();
  if (i >= places.count) return;
  const int64_t slice = places.SliceOf(indices + i * places.depth);
  if (slice >= 0) atomicMax(last + slice, static_cast<int32_t>(i));
}

template <class T>
__global__ void Replace(const int32_t* last, const T* updates, const T* base, T* y, int64_t n,
                        const __grid_constant__ ScatterCall call) {
  const int64_t i = ElementIndex();
  if (i >= n) return;
  int64_t j;
  const int64_t update = last[Divide(i, call.places.inner, &j)];
  if (update < 0) {
    y[i] = base[call.one_base ? 0 : i];
  } else {
    y[i] = updates[call.one_update ? 0 : update * call.places.inner + j];
  }
}

template <class T>
Status RunSums(CudaStream& stream, const Args& args, const ScatterCall& call) {
  const Tensor& y = args.outputs[0];
  SPECATTN_RETURN_IF_ERROR(LaunchKernel(stream, "Scatter", Start::kInOrder, Base<T>, ElementGrid(y.size()),
                                        kElementThreads, 0, args.inputs[2].as<T>(), y.as<T>(), y.size(),
                                        call.one_base));
  const int64_t n = call.places.count * call.places.inner;
  if (n == 0) return Ok();
  return LaunchKernel(stream, "Scatter", Start::kInOrder, Sums<T>, ElementGrid(n), kElementThreads, 0,
                      args.inputs[0].as<int32_t>(), args.inputs[1].as<T>(), y.as<T>(), n, call);
}

template <class T>
Status RunReplace(CudaStream& stream, const Args& args, const ScatterCall& call) {
  const Tensor& y = args.outputs[0];
  const int32_t* indices = args.inputs[0].as<int32_t>();
  const int64_t slices = call.places.slices();
  auto* last = static_cast<int32_t*>(stream.Scratch(static_cast<size_t>(slices) * sizeof(int32_t)));
  SPECATTN_CHECK(last, "[Scatter] no memory for the last updates of %lld slices",
                 static_cast<long long>(slices));
  SPECATTN_RETURN_IF_ERROR(LaunchKernel(stream, "Scatter", Start::kInOrder, NoUpdates, ElementGrid(slices),
                                        kElementThreads, 0, last, slices));
  if (call.places.count > 0)
    SPECATTN_RETURN_IF_ERROR(LaunchKernel(stream, "Scatter", Start::kInOrder, LastUpdates,
                                          ElementGrid(call.places.count), kElementThreads, 0, indices, last,
                                          call.places));
  return LaunchKernel(stream, "Scatter", Start::kInOrder, Replace<T>, ElementGrid(y.size()), kElementThreads,
                      0, last, args.inputs[1].as<T>(), args.inputs[2].as<T>(), y.as<T>(), y.size(), call);
}

}  // namespace

Status Scatter(Stream& stream, const Args& args) {
  ScatterCall call;
  SPECATTN_RETURN_IF_ERROR(CheckScatter(args, &call));
  const Tensor& y = args.outputs[0];
  if (y.size() == 0) return Ok();
  auto& cuda = static_cast<CudaStream&>(stream);
  if (!call.adds) {
    if (SizeOf(y.dtype) == 4) return RunReplace<uint32_t>(cuda, args, call);
    return RunReplace<uint8_t>(cuda, args, call);
  }
  if (y.dtype == DType::kInt32) return RunSums<int32_t>(cuda, args, call);
  return RunSums<float>(cuda, args, call);
}

}  // namespace gpu
}  // namespace specattn

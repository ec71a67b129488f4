// TopK on the CPU. Threads share the rows. A row's k best elements so far are in a heap with the worst on top, so that one
// comparison refuses most elements.
#include "kernels/top_k.h"

#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

// A binary heap in which no element is better than its children.
template <class T>
struct Heap {
  T* values;
  int32_t* indices;
  int64_t size;

  static bool Better(T a, int32_t i, T b, int32_t j) {
    if (a > b) return true;
    if (a < b) return false;
    const bool a_is_nan = a != a, b_is_nan = b != b;
    return a_is_nan != b_is_nan ? b_is_nan : i < j;
  }

  // Puts (value, index) into the empty node `hole` and restores the heap's order below it.
  void Sink(int64_t hole, T value, int32_t index) {
    for (int64_t child = 2 * hole + 1; child < size; child = 2 * hole + 1) {
      if (child + 1 < size && Better(values[child], indices[child], values[child + 1], indices[child + 1]))
        ++child;
      if (!Better(value, index, values[child], indices[child])) break;
      values[hole] = values[child];
      indices[hole] = indices[child];
      hole = child;
    }
    values[hole] = value;
    indices[hole] = index;
  }
};

template <class T>
void Row(const T* x, int64_t n, T* values, int32_t* indices, int64_t k) {
  Heap<T> heap{values, indices, k};
  for (int64_t i = 0; i < k; ++i) {
    values[i] = x[i];
    indices[i] = static_cast<int32_t>(i);
  }
  for (int64_t i = k / 2 - 1; i >= 0; --i) heap.Sink(i, values[i], indices[i]);
  for (int64_t i = k; i < n; ++i) {
    // The index i is above all in the heap, so that only a larger element is better than the worst.
    if (x[i] > values[0] || (values[0] != values[0] && x[i] == x[i]))
      heap.Sink(0, x[i], static_cast<int32_t>(i));
  }
  while (heap.size > 1) {  // moves the worst to the end
    const T value = values[0];
    const int32_t index = indices[0];
    --heap.size;
    heap.Sink(0, values[heap.size], indices[heap.size]);
    values[heap.size] = value;
    indices[heap.size] = index;
  }
}

template <class T>
void Run(Stream& stream, const Args& args, const TopKSizes& sizes) {
  const int64_t n = sizes.n, k = sizes.k;
  const T* x = args.inputs[0].as<T>();
  T* values = args.outputs[0].as<T>();
  int32_t* indices = args.outputs[1].as<int32_t>();
  ParallelFor(stream, sizes.rows, 8192 / n + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) Row(x + r * n, n, values + r * k, indices + r * k, k);
  });
}

}  // namespace

Status TopK(Stream& stream, const Args& args) {
  TopKSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckTopK(args, &sizes));
  if (sizes.rows * sizes.k == 0) return Ok();
  if (args.inputs[0].dtype == DType::kFloat32) {
    Run<float>(stream, args, sizes);
  } else if (args.inputs[0].dtype == DType::kInt32) {
    Run<int32_t>(stream, args, sizes);
  } else {
    Run<uint8_t>(stream, args, sizes);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// TopK on CUDA, one block per row. An element's key has its value, mapped so that smaller is better, in the upper 32 bits
// and its index in the lower 32. So all keys differ, and their ascending order is the order of the results.
// A radix search, eight bits at a time from the top, finds a threshold that exactly k keys do not exceed. These keys are
// collected, in shared memory if they fit, and sorted by a bitonic network. Blocks loop over the rows, so that scratch
// memory is needed only for the rows that run at once.
#include <algorithm>

#include "gpu/primitives/reduce.cuh"
#include "gpu/primitives/scan.cuh"
#include "kernels/top_k.h"

namespace specattn {
namespace gpu {
namespace {

using Key = unsigned long long;

constexpr int kMostThreads = 1024, kDigits = 256;  // kDigits: values of eight bits
constexpr int64_t kMostInShared = 4096;            // keys: 32 KiB

// Maps x to an integer that is smaller the larger x is; equal for both zeros.
__device__ __forceinline__ unsigned Descending(float x) {
  if (x != x) return 0xffffffffu;  // NaN comes after -inf
  const unsigned bits = x == 0 ? 0u : __float_as_uint(x);
  return bits >> 31 ? bits : ~(bits | 0x80000000u);
}
__device__ __forceinline__ unsigned Descending(int32_t x) {
  return ~(static_cast<unsigned>(x) ^ 0x80000000u);
}
__device__ __forceinline__ unsigned Descending(uint8_t x) { return ~static_cast<unsigned>(x); }

template <class T>
__device__ __forceinline__ Key KeyOf(const T* x, int64_t i) {
  return static_cast<Key>(Descending(x[i])) << 32 | static_cast<unsigned>(i);
}

// The state of the search for the k-th smallest key.
struct Selection {
  Key prefix;         // the leading bits of that key
  int64_t remaining;  // how many of the k smallest keys have this prefix
  bool done;          // whether all keys with this prefix are among the k smallest
};

// A threshold that exactly the k smallest keys do not exceed. All threads of the block call.
template <class T>
__device__ Key Threshold(const T* x, int64_t n, int64_t k) {
  __shared__ unsigned counts[kDigits];
  __shared__ unsigned shared[kWarp];
  __shared__ Selection selection;
  const int t = threadIdx.x;
  if (t == 0) selection = {0, k, false};
  for (int shift = 56;; shift -= 8) {
    if (t < kDigits) counts[t] = 0;
    __syncthreads();
    const Key prefix = selection.prefix;
    for (int64_t i = t; i < n; i += blockDim.x) {
      const Key key = KeyOf(x, i);
      // Shifted in two steps, because a shift by 64 bits is undefined.
      if ((key ^ prefix) >> shift >> 8 == 0) atomicAdd(&counts[key >> shift & (kDigits - 1)], 1u);
    }
    __syncthreads();
    const int64_t remaining = selection.remaining;
    const unsigned count = t < kDigits ? counts[t] : 0;
    unsigned total;
    const unsigned before = BlockScan(count, Plus{}, 0u, shared, &total);
    if (before < remaining && remaining <= static_cast<int64_t>(before) + count)
      selection = {prefix | static_cast<Key>(t) << shift, remaining - before, remaining == before + count};
    __syncthreads();
    if (selection.done) return selection.prefix | ((static_cast<Key>(1) << shift) - 1);
  }
}

// Sorts keys in ascending order; `size` is a power of two. All threads of the block call.
__device__ void Sort(Key* keys, int64_t size) {
  for (int64_t run = 2; run <= size; run *= 2) {
    for (int64_t step = run / 2; step > 0; step /= 2) {
      for (int64_t i = threadIdx.x; i < size / 2; i += blockDim.x) {
        const int64_t low = 2 * (i & ~(step - 1)) + (i & (step - 1)), high = low + step;
        const Key a = keys[low], b = keys[high];
        if ((a > b) == ((low & run) == 0)) {
          keys[low] = b;
          keys[high] = a;
        }
      }
      __syncthreads();
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kMostThreads)
    Rows(const T* input, T* values, int32_t* indices, const TopKSizes sizes, Key* scratch, int64_t padded) {
  extern __shared__ Key shared_keys[];
  __shared__ unsigned listed;
  Key* keys = scratch ? scratch + blockIdx.x * padded : shared_keys;
  const int64_t n = sizes.n, k = sizes.k;
  for (int64_t row = blockIdx.x; row < sizes.rows; row += gridDim.x) {
    const T* x = input + row * n;
    if (k == n) {
      for (int64_t i = threadIdx.x; i < n; i += blockDim.x) keys[i] = KeyOf(x, i);
    } else {
      if (threadIdx.x == 0) listed = 0;
      const Key threshold = Threshold(x, n, k);
      for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const Key key = KeyOf(x, i);
        if (key <= threshold) keys[atomicAdd(&listed, 1u)] = key;
      }
    }
    for (int64_t i = k + threadIdx.x; i < padded; i += blockDim.x) keys[i] = ~static_cast<Key>(0);
    __syncthreads();
    Sort(keys, padded);
    for (int64_t i = threadIdx.x; i < k; i += blockDim.x) {
      const int64_t index = keys[i] & 0xffffffffu;
      indices[row * k + i] = static_cast<int32_t>(index);
      values[row * k + i] = x[index];
    }
    __syncthreads();  // the next row overwrites the keys
  }
}

template <class T>
Status Run(Stream& stream, const TopKSizes& sizes, const Args& args) {
  auto& cuda = static_cast<CudaStream&>(stream);
  int64_t padded = 1;
  while (padded < sizes.k) padded *= 2;
  const bool in_shared = padded <= kMostInShared;
  const int64_t blocks = std::min<int64_t>(sizes.rows, (in_shared ? 8 : 2) * cuda.processors());
  const size_t bytes = static_cast<size_t>(padded) * sizeof(Key);
  Key* scratch = nullptr;
  if (!in_shared) {
    scratch = static_cast<Key*>(stream.Scratch(static_cast<size_t>(blocks) * bytes));
    SPECATTN_CHECK(scratch != nullptr, "[TopK] no memory for %lld keys",
                   static_cast<long long>(blocks * padded));
  }
  return LaunchKernel(cuda, "TopK", Start::kInOrder, Rows<T>, static_cast<unsigned>(blocks),
                      sizes.n <= 4 * kDigits ? kDigits : kMostThreads, in_shared ? bytes : 0,
                      args.inputs[0].as<T>(), args.outputs[0].as<T>(), args.outputs[1].as<int32_t>(), sizes,
                      scratch, padded);
}

}  // namespace

Status TopK(Stream& stream, const Args& args) {
  TopKSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckTopK(args, &sizes));
  if (sizes.rows * sizes.k == 0) return Ok();
  if (args.inputs[0].dtype == DType::kFloat32) return Run<float>(stream, sizes, args);
  if (args.inputs[0].dtype == DType::kInt32) return Run<int32_t>(stream, sizes, args);
  return Run<uint8_t>(stream, sizes, args);
}

}  // namespace gpu
}  // namespace specattn

// What kernels on the tensor cores are made of: asynchronous copies to shared memory, loads of matrix fragments, and the product
// left . right^T of a [16,16] and an [8,16] fragment of 16-bit floats, which gives [16,8] float32 sums.
//
// A fragment's elements are spread over a warp's lanes. With g = lane / 4 and c = lane % 4 * 2 a lane has:
//   fragment       register   (row, column) of its elements
//   left [16,16]   0          (g, c)          (g, c + 1)
//                  1          (g + 8, c)      (g + 8, c + 1)
//                  2          (g, c + 8)      (g, c + 9)
//                  3          (g + 8, c + 8)  (g + 8, c + 9)
//   right [8,16]   0          (g, c)          (g, c + 1)
//                  1          (g, c + 8)      (g, c + 9)
//   sum [16,8]     0, 1       (g, c)          (g, c + 1)
//                  2, 3       (g + 8, c)      (g + 8, c + 1)
#pragma once
#include "gpu/primitives/element.cuh"

namespace specattn {
namespace gpu {

__device__ __forceinline__ uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Starts the copy of 16 bytes to shared memory, or of 16 zero bytes where `inside` is false; `global` is not read then. Both
// addresses are multiples of 16.
__device__ __forceinline__ void CopyAsync(uint32_t shared, const void* global, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(inside ? 16 : 0)
               : "memory");
}
// Closes this thread's current group of copies, which may be empty.
__device__ __forceinline__ void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most the last kPending of this thread's groups are still under way.
template <int kPending>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Loads four 8 x 8 matrices of 16-bit numbers from shared memory. Lane l gives the address of row l % 8 of matrix l / 8.
// Register i receives elements (g, c) and (g, c + 1) of matrix i.
__device__ __forceinline__ void LoadMatrices(uint32_t address, uint32_t (&r)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
// LoadMatrices with each matrix transposed.
__device__ __forceinline__ void LoadTransposed(uint32_t address, uint32_t (&r)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// sum += left . right^T; right0 and right1 are the right fragment's registers, the last argument selects the element type.
__device__ __forceinline__ void MultiplyAdd(float (&sum)[4], const uint32_t (&left)[4], uint32_t right0,
                                            uint32_t right1, BFloat16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right0), "r"(right1));
}
__device__ __forceinline__ void MultiplyAdd(float (&sum)[4], const uint32_t (&left)[4], uint32_t right0,
                                            uint32_t right1, Float16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right0), "r"(right1));
}

// Two numbers rounded to nearest in one register, the first in the lower half.
__device__ __forceinline__ uint32_t PackPair(float first, float second, BFloat16) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
__device__ __forceinline__ uint32_t PackPair(float first, float second, Float16) {
  const __half2 pair = __floats2half2_rn(first, second);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

}  // namespace gpu
}  // namespace specattn

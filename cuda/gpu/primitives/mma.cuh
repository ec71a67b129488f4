// What kernels on the tensor cores are made of: asynchronous copies to shared memory, loads of matrix fragments,
// and the product of 16 x 16 and 16 x 8 fragments.
//
// A fragment's places, with g = lane / 4 and c = lane % 4 * 2:
//   left [16,16]   register 0: (g, c) and (g, c + 1); 1: row + 8; 2: column + 8; 3: both
//   right [8,16]   register 0: (g, c) and (g, c + 1); 1: column + 8. Stored by its columns' rows: b of a . b^T.
//   sum [16,8]     0, 1: (g, c) and (g, c + 1); 2, 3: row + 8
#pragma once
#include "gpu/primitives/element.cuh"

namespace specattn {
namespace gpu {

__device__ __forceinline__ uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// 16 bytes, or as many zeros: `global` is not read then.
__device__ __forceinline__ void CopyAsync(uint32_t shared, const void* global, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(inside ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most kPending of this thread's groups are under way.
template <int kPending>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Four 8 x 8 matrices of 16-bit numbers: lane l gives the address of row l % 8 of matrix l / 8; register i gets matrix
// i, each lane row g, numbers c and c + 1.
__device__ __forceinline__ void LoadMatrices(uint32_t address, uint32_t (&r)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
// Each matrix transposed.
__device__ __forceinline__ void LoadTransposed(uint32_t address, uint32_t (&r)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// sum += left . right^T
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

// Two numbers rounded to nearest, the first in the lower half.
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

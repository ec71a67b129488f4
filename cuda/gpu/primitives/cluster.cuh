// Thread block clusters (compute capability 9.0 and later): kClusterBlocks blocks of a launch that run together and can write
// to each other's shared memory. SPECATTN_CLUSTER in a kernel's declaration compiles it for clusters. It has no effect below
// 9.0: there InClusters returns false, and the launcher must use another kernel.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace specattn {
namespace gpu {

constexpr int kClusterBlocks = 8;

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define SPECATTN_CLUSTER __cluster_dims__(8, 1, 1)
#else
#define SPECATTN_CLUSTER
#endif

// Whether the kernel's code for the current device runs in clusters.
template <class... Params>
bool InClusters(void (*kernel)(Params...)) {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)) == cudaSuccess &&
         attributes.requiredClusterWidth == kClusterBlocks;
}

// This block's rank in its cluster. The grid must be one-dimensional.
__device__ __forceinline__ int ClusterRank() { return static_cast<int>(blockIdx.x % kClusterBlocks); }

// ClusterArrive and ClusterWait together are a barrier for all threads of the cluster: what a thread has written to any memory
// before ClusterArrive is visible to all of them after ClusterWait.
__device__ __forceinline__ void ClusterArrive() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}
__device__ __forceinline__ void ClusterWait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}
__device__ __forceinline__ void ClusterSync() {
  ClusterArrive();
  ClusterWait();
}

// The address, for PTX, of block `rank`'s copy of the shared variable that `shared` points to in this block.
__device__ __forceinline__ uint32_t AddressIn(int rank, const void* shared) {
  uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(address), "r"(rank));
#else
  (void)rank;
#endif
  return address;
}
// Stores x in block `rank`'s copy of *shared.
__device__ __forceinline__ void StoreIn(int rank, uint64_t* shared, uint64_t x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("st.shared::cluster.u64 [%0], %1;" ::"r"(AddressIn(rank, shared)), "l"(x) : "memory");
#else
  (void)rank, *shared = x;
#endif
}
__device__ __forceinline__ void StoreIn(int rank, uint32_t* shared, uint32_t x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(AddressIn(rank, shared)), "r"(x) : "memory");
#else
  (void)rank, *shared = x;
#endif
}
// Adds x atomically to block `rank`'s copy of *shared and returns the value before.
__device__ __forceinline__ uint32_t AddIn(int rank, uint32_t* shared, uint32_t x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  uint32_t before;
  asm volatile("atom.shared::cluster.add.u32 %0, [%1], %2;"
               : "=r"(before)
               : "r"(AddressIn(rank, shared)), "r"(x)
               : "memory");
  return before;
#else
  (void)rank;
  return atomicAdd(shared, x);
#endif
}

}  // namespace gpu
}  // namespace specattn

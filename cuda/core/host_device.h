// SPECATTN_HOST_DEVICE marks functions that nvcc compiles for the host and the GPU; other compilers see nothing.
#pragma once

#if defined(__CUDACC__)
#define SPECATTN_HOST_DEVICE __host__ __device__
#else
#define SPECATTN_HOST_DEVICE
#endif

// SPECATTN_HOST_DEVICE: before functions that every device computes with.
#pragma once

#if defined(__CUDACC__)
#define SPECATTN_HOST_DEVICE __host__ __device__
#else
#define SPECATTN_HOST_DEVICE
#endif

// Declares the CUDA launcher of each kernel in kernels.def.
#pragma once
#include "core/tensor.h"

namespace specattn {
namespace gpu {
#define KERNEL(name, half) Status name(Stream& stream, const Args& args);
#include "kernels.def"
#undef KERNEL
}  // namespace gpu
}  // namespace specattn

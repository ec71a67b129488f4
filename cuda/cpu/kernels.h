// The CPU launchers of kernels.def, in the namespace of the instruction set that this file is compiled for.
#pragma once
#include "core/tensor.h"

#ifndef SPECATTN_ISA
#error "SPECATTN_ISA is set by CMakeLists.txt"
#endif

namespace specattn {
namespace SPECATTN_ISA {
#define KERNEL(name, half) Status name(Stream& stream, const Args& args);
#include "kernels.def"
#undef KERNEL
}  // namespace SPECATTN_ISA
}  // namespace specattn

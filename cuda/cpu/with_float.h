// WithFloat: turns a float dtype into a C++ type, so that one template serves the three storage types of floats.
#pragma once
#include "cpu/simd.h"

namespace specattn {
namespace {

// Calls fn with a value of the element type T. The launcher must have checked that dtype is a float type.
//   WithFloat(x.dtype, [&](auto t) { Kernel(x.as<decltype(t)>()); });
template <class Fn>
inline void WithFloat(DType dtype, const Fn& fn) {
  if (dtype == DType::kBFloat16) {
    fn(BFloat16{});
  } else if (dtype == DType::kFloat16) {
    fn(Float16{});
  } else {
    fn(float{});
  }
}

}  // namespace
}  // namespace specattn

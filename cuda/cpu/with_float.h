// WithFloat: one template for the three ways that floats are stored.
#pragma once
#include "cpu/simd.h"

namespace specattn {
namespace {

// Calls fn(T{}) with the element type of a float dtype, which the launcher has checked: WithFloat(x.dtype,
// [&](auto t) { Kernel(x.as<decltype(t)>()); }).
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

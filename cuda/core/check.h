// Checks of a launch's arguments, which launchers share. Every message names the op, the tensor, what was expected and what
// came: "[RMSNorm] weight must have shape [320] but has [319]".
#pragma once
#include <cstdio>

#include "core/tensor.h"

namespace specattn {
namespace {

constexpr int64_t kAnySize = -1;

// A shape in words: "[5,?,64]", where ? stands for kAnySize.
struct ShapeText {
  char text[24 * kMaxRank];
  ShapeText(const int64_t* dims, int rank) {
    int at = std::snprintf(text, sizeof text, "[");
    for (int i = 0; i < rank; ++i) {
      const char* comma = i == 0 ? "" : ",";
      const size_t room = sizeof text - static_cast<size_t>(at);
      at += dims[i] == kAnySize
                ? std::snprintf(text + at, room, "%s?", comma)
                : std::snprintf(text + at, room, "%s%lld", comma, static_cast<long long>(dims[i]));
    }
    std::snprintf(text + at, sizeof text - static_cast<size_t>(at), "]");
  }
};

inline Status CheckCounts(const char* op, const Args& args, int inputs, int outputs, int attrs) {
  SPECATTN_CHECK(args.input_count == inputs, "[%s] takes %d inputs but got %d", op, inputs, args.input_count);
  SPECATTN_CHECK(args.output_count == outputs, "[%s] has %d outputs but got %d", op, outputs,
                 args.output_count);
  SPECATTN_CHECK(args.attr_count == attrs, "[%s] takes %d attributes but got %d", op, attrs, args.attr_count);
  return Ok();
}

inline Status CheckDType(const char* op, const char* name, const Tensor& x, DType dtype) {
  SPECATTN_CHECK(x.dtype == dtype, "[%s] %s must be %s but is %s", op, name, NameOf(dtype), NameOf(x.dtype));
  return Ok();
}

// Accepts every storage type of a float32 tensor.
inline Status CheckFloat(const char* op, const char* name, const Tensor& x) {
  SPECATTN_CHECK(IsFloat(x.dtype), "[%s] %s must be float32, bfloat16 or float16 but is %s", op, name,
                 NameOf(x.dtype));
  return Ok();
}

// A dimension kAnySize of `shape` matches every size.
template <int kRank>
inline Status CheckShape(const char* op, const char* name, const Tensor& x, const int64_t (&shape)[kRank]) {
  bool same = x.rank == kRank;
  for (int i = 0; same && i < kRank; ++i) same = shape[i] == kAnySize || x.dims[i] == shape[i];
  SPECATTN_CHECK(same, "[%s] %s must have shape %s but has %s", op, name, ShapeText(shape, kRank).text,
                 ShapeText(x.dims, x.rank).text);
  return Ok();
}

template <int kRank>
inline Status CheckTensor(const char* op, const char* name, const Tensor& x, DType dtype,
                          const int64_t (&shape)[kRank]) {
  SPECATTN_RETURN_IF_ERROR(CheckDType(op, name, x, dtype));
  return CheckShape(op, name, x, shape);
}

}  // namespace
}  // namespace specattn

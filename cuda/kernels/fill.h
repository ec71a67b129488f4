// Fill: sets all elements of a tensor to one value.
//
// inputs   none
// attrs    value: converted as JavaScript's typed arrays convert numbers (core/convert.h)
// outputs  out: any shape and storage
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

inline Status CheckFill(const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Fill", args, 0, 1, 1));
  return Ok();
}

}  // namespace
}  // namespace specattn

// One value everywhere.
//   attrs   value
//   output  any storage
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

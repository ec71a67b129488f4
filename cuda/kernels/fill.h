// One value everywhere.
//   attrs   value
//   output  any storage
#pragma once
#include "../tensor.h"

namespace specattn {
namespace {

inline Status CheckFill(const Args& args) {
  SPECATTN_CHECK(args.input_count == 0 && args.output_count == 1 && args.attr_count == 1,
                 "[Fill] expected 1 output and a value but has %d inputs, %d outputs, %d attributes",
                 args.input_count, args.output_count, args.attr_count);
  return Ok();
}

}  // namespace
}  // namespace specattn

// Error writes the text of an error into a buffer that each thread has.
#include "core/status.h"

#include <cstdarg>
#include <cstdio>

namespace specattn {

Status Error(const char* format, ...) {
  static thread_local char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return {text};
}

}  // namespace specattn

// Status: the result of every native function that can fail. Native code never aborts, exits or prints, and throws only what
// the standard library throws, which stops at the addon's border (Guarded in addon/napi_values.h).
#pragma once

namespace specattn {

// An error's text lives in a buffer of the thread that called Error(), until that thread calls Error() again.
struct [[nodiscard]] Status {
  const char* message = nullptr;  // null: no error
  bool ok() const { return message == nullptr; }
};

inline Status Ok() { return {}; }

// Formats like printf: Error("[RMSNorm] weight must have %lld elements but has %lld", e, n).
Status Error(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace specattn

#define SPECATTN_RETURN_IF_ERROR(expression)   \
  do {                                         \
    ::specattn::Status status_ = (expression); \
    if (!status_.ok()) return status_;         \
  } while (0)

// Returns an error unless the condition holds:
//   SPECATTN_CHECK(x.rank == 2, "[RMSNorm] x must have rank 2 but has %d", x.rank)
#define SPECATTN_CHECK(condition, ...)                       \
  do {                                                       \
    if (!(condition)) return ::specattn::Error(__VA_ARGS__); \
  } while (0)

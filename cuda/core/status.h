// Status: what every native function that can fail returns. Native code never aborts, exits, prints or
// throws.
#pragma once

namespace specattn {

// An error's text lives in a buffer of the calling thread until the next Error() there.
struct [[nodiscard]] Status {
  const char* message = nullptr;  // null: fine
  bool ok() const { return message == nullptr; }
};

inline Status Ok() { return {}; }

// Error("[RMSNorm] weight must have %lld elements but has %lld", e, n)
Status Error(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace specattn

#define SPECATTN_RETURN_IF_ERROR(expression)   \
  do {                                         \
    ::specattn::Status status_ = (expression); \
    if (!status_.ok()) return status_;         \
  } while (0)

// Launchers validate with this: SPECATTN_CHECK(x.rank == 2, "[RMSNorm] x must have rank 2 but has %d",
// x.rank)
#define SPECATTN_CHECK(condition, ...)                       \
  do {                                                       \
    if (!(condition)) return ::specattn::Error(__VA_ARGS__); \
  } while (0)

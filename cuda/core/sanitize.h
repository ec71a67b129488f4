// kExactMemory: whether this is a build with the address sanitizer (SPECATTN_SANITIZE in CMakeLists.txt).
#pragma once

#if !defined(__has_feature)  // clang has this; g++ defines __SANITIZE_ADDRESS__ instead
#define __has_feature(feature) 0
#endif

namespace specattn {

// With the sanitizer, allocations are neither rounded up nor reused, so that it sees an access one byte past the end.
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
constexpr bool kExactMemory = true;
#else
constexpr bool kExactMemory = false;
#endif

}  // namespace specattn

// What differs in a build with the address sanitizer (CMakeLists.txt: SPECATTN_SANITIZE).
#pragma once

#if !defined(__has_feature)  // clang's; g++ defines __SANITIZE_ADDRESS__
#define __has_feature(feature) 0
#endif

namespace specattn {

// Memory is handed out as it was asked for, neither rounded up nor used again: then one byte too many is seen.
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
constexpr bool kExactMemory = true;
#else
constexpr bool kExactMemory = false;
#endif

}  // namespace specattn

// Functions that make JavaScript values, and that turn errors into JavaScript exceptions. The addon and the TensorFlow adapter
// share them.
#pragma once
#include <node_api.h>

#include <exception>

#include "core/status.h"

namespace specattn {

inline napi_value Throw(napi_env env, const char* message) {
  napi_throw_error(env, nullptr, message);
  return nullptr;
}
inline napi_value Throw(napi_env env, Status status) { return Throw(env, status.message); }

inline napi_value String(napi_env env, const char* text) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  return value;
}
inline napi_value Number(napi_env env, double number) {
  napi_value value = nullptr;
  napi_create_double(env, number, &value);
  return value;
}
inline napi_value Boolean(napi_env env, bool flag) {
  napi_value value = nullptr;
  napi_get_boolean(env, flag, &value);
  return value;
}

// Wraps a callback: a C++ exception (no memory for a list, no thread) becomes a JavaScript one, since Node would abort on it.
template <napi_callback kCallback>
napi_value Guarded(napi_env env, napi_callback_info info) {
  try {
    return kCallback(env, info);
  } catch (const std::exception& error) {
    return Throw(env, Error("[native] %s", error.what()));
  }
}

}  // namespace specattn

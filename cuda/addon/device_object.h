// DeviceObject, the C++ state behind a JavaScript object of the addon's class Device, and Call, which reads the arguments of a
// call of its methods.
#pragma once
#include <node_api.h>

#include <cmath>
#include <map>
#include <memory>
#include <vector>

#include "addon/napi_values.h"
#include "core/launch_descriptor.h"
#include "cpu/thread_pool.h"

namespace specattn {

// A capture and its outputs. Of every output, the values after the last two replays are kept on the host.
struct CaptureEntry {
  struct Output {
    int handle = -1;
    // The handle's buffer when the output was added. replay() compares it to see whether the buffer was freed since.
    const void* data = nullptr;
    size_t bytes = 0;
    unsigned since = 0;  // replays before the output was added
    std::unique_ptr<Readback> values[2];
  };
  std::unique_ptr<Capture> capture;
  std::vector<Output> outputs;
  unsigned replays = 0;  // the values after the last replay are in values[replays % 2]
};

struct DeviceObject {
  std::unique_ptr<Device> device;
  std::unique_ptr<Allocator> allocator;
  std::map<int, CaptureEntry> captures;
  int next_capture = 1;
  int recording = 0;             // the number of the capture that is being recorded, else 0
  double* descriptor = nullptr;  // memory of an ArrayBuffer that `descriptor_buffer` keeps alive
  napi_ref descriptor_buffer = nullptr;
  std::shared_ptr<ThreadPool> readers;  // threads that read files; null until a file is read
  LaunchReader reader;

  ~DeviceObject() {
    captures.clear();
    allocator.reset();
    device.reset();
  }
};

// The arguments of a call, also as numbers: NaN where an argument is missing or no number. `self` is the object behind `this`.
struct Call {
  DeviceObject* self = nullptr;
  size_t count = 5;
  napi_value values[5] = {};
  double numbers[5] = {NAN, NAN, NAN, NAN, NAN};

  // Argument i as the number of a buffer, a capture or a file; -1 if it is no such number.
  int Id(int i) const {
    const int64_t id = Whole(numbers[i]);
    return id >= 0 && id <= INT32_MAX ? static_cast<int>(id) : -1;
  }

  // Reads the arguments. If `this` is no Device, throws a JavaScript exception and returns false.
  bool Parse(napi_env env, napi_callback_info info) {
    napi_value receiver = nullptr;
    if (napi_get_cb_info(env, info, &count, values, &receiver, nullptr) != napi_ok ||
        napi_unwrap(env, receiver, reinterpret_cast<void**>(&self)) != napi_ok || !self || !self->device) {
      Throw(env, "[device] not an open Device");
      return false;
    }
    for (size_t i = 0; i < 5; ++i) napi_get_value_double(env, values[i], &numbers[i]);
    return true;
  }
};

// The memory of a typed array; false if the value is none.
inline bool Bytes(napi_env env, napi_value value, void** data, size_t* bytes) {
  bool is = false;
  if (napi_is_typedarray(env, value, &is) == napi_ok && is) {
    napi_typedarray_type type;
    size_t length = 0;
    if (napi_get_typedarray_info(env, value, &type, &length, data, nullptr, nullptr) != napi_ok) return false;
    const size_t width =
        type == napi_float64_array || type == napi_bigint64_array || type == napi_biguint64_array ? 8
        : type == napi_float32_array || type == napi_int32_array || type == napi_uint32_array     ? 4
        : type == napi_int16_array || type == napi_uint16_array                                   ? 2
                                                                                                  : 1;
    *bytes = length * width;
    return true;
  }
  return false;
}

}  // namespace specattn

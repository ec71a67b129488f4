// The TensorFlow adapter makes this project's kernels custom ops of the TensorFlow that @tensorflow/tfjs-node has loaded into this
// process. It is a Node-API addon of its own, whose failures are JavaScript exceptions. Its functions:
//   open(devices)                    takes the main addon's `devices` and returns {version, gpuReason}
//   define(kernel, inputs, outputs)  defines an op and returns its name (DefineOp in op.h)
//   copies()                         how many donated buffers were copied so far (Copies in op_kernel.h)
#include <node_api.h>

#include <exception>

#include "addon/napi_values.h"
#include "tensorflow/op.h"
#include "tensorflow/op_kernel.h"

namespace specattn {
namespace tensorflow {
namespace {

napi_value Open(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = nullptr;
  void* devices = nullptr;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  if (napi_get_value_external(env, argument, &devices) != napi_ok)
    return Throw(env, "[tensorflow] open expects the addon's devices");
  CApi api;
  Status status = FindCApi(&api);
  if (status.ok()) status = OpenDevices(api, *static_cast<const Devices*>(devices));
  if (!status.ok()) return Throw(env, status);
  napi_value found = nullptr;
  napi_create_object(env, &found);
  napi_set_named_property(env, found, "version", String(env, api.TF_Version()));
  napi_set_named_property(env, found, "gpuReason", String(env, GpuReason()));
  return found;
}

napi_value Define(napi_env env, napi_callback_info info) {
  constexpr size_t kTexts = 3;
  size_t count = kTexts;
  napi_value arguments[kTexts] = {};
  char texts[kTexts][64] = {};  // the longest text has a letter for each of NucleusSelect's 34 inputs
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  for (size_t i = 0; i < kTexts; ++i) {
    size_t length = 0;
    if (napi_get_value_string_utf8(env, arguments[i], nullptr, 0, &length) != napi_ok ||
        length >= sizeof texts[i])
      return Throw(env, "[tensorflow] define expects a kernel's name, its inputs' dtypes and its outputs'");
    napi_get_value_string_utf8(env, arguments[i], texts[i], sizeof texts[i], nullptr);
  }
  std::string name;
  const Status status = DefineOp(texts[0], texts[1], texts[2], &name);
  return status.ok() ? String(env, name.c_str()) : Throw(env, status);
}

napi_value CountCopies(napi_env env, napi_callback_info) {
  return Number(env, static_cast<double>(Copies()));
}

napi_value Init(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"open", nullptr, Guarded<Open>, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"define", nullptr, Guarded<Define>, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"copies", nullptr, Guarded<CountCopies>, nullptr, nullptr, nullptr, napi_default, nullptr},
  };
  napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
  return exports;
}

}  // namespace
}  // namespace tensorflow
}  // namespace specattn

NAPI_MODULE_INIT() { return specattn::tensorflow::Init(env, exports); }

#include "tensorflow/c_api.h"

#include <dlfcn.h>

namespace specattn {
namespace tensorflow {
namespace {

// The libraries of libtensorflow and of the Python wheels. In which of them a function lies differs between versions.
#if defined(__APPLE__)
constexpr const char* kLibraries[] = {"libtensorflow_framework.2.dylib", "libtensorflow.2.dylib",
                                      "libtensorflow_cc.2.dylib"};
#else
constexpr const char* kLibraries[] = {"libtensorflow_framework.so.2", "libtensorflow.so.2",
                                      "libtensorflow_cc.so.2"};
#endif
constexpr int kLibraryCount = sizeof kLibraries / sizeof *kLibraries;

}  // namespace

Status FindCApi(CApi* api) {
  void* libraries[kLibraryCount] = {};
  bool loaded = false;
  for (int i = 0; i < kLibraryCount; ++i) {
    // tfjs-node loads the libraries with local symbols, so dlsym needs a handle. RTLD_NOLOAD gives one to a loaded library
    // only; the handle keeps the library loaded.
    libraries[i] = dlopen(kLibraries[i], RTLD_NOW | RTLD_NOLOAD);
    loaded = loaded || libraries[i];
  }
  SPECATTN_CHECK(loaded,
                 "[tensorflow] no TensorFlow is loaded (%s, %s or %s): load @tensorflow/tfjs-node first",
                 kLibraries[0], kLibraries[1], kLibraries[2]);
  const auto find = [&](const char* name) {
    void* symbol = nullptr;
    for (int i = 0; i < kLibraryCount && !symbol; ++i)
      if (libraries[i]) symbol = dlsym(libraries[i], name);
    return symbol;
  };
  const auto version = reinterpret_cast<const char* (*)()>(find("TF_Version"));
#define FUNCTION(result, name, parameters)                                                               \
  api->name = reinterpret_cast<result(*) parameters>(find(#name));                                       \
  SPECATTN_CHECK(api->name, "[tensorflow] TensorFlow %s has no %s, which custom ops need (2.21 has it)", \
                 version ? version() : "(of unknown version)", #name);
#include "tensorflow/c_api.def"
#undef FUNCTION
  return Ok();
}

}  // namespace tensorflow
}  // namespace specattn

// CApi: pointers to functions of TensorFlow's C API. TensorFlow's headers need not be present when this is built, so the types are
// declared here; the functions are looked up at run time in the libraries that tfjs-node has loaded.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/status.h"

namespace specattn {
namespace tensorflow {

struct TF_Status;
struct TF_Tensor;
struct TF_OpDefinitionBuilder;
struct TF_ShapeInferenceContext;
struct TF_KernelBuilder;
struct TF_OpKernelConstruction;
struct TF_OpKernelContext;
struct TF_Buffer {
  const void* data;
  size_t length;
  void (*destroy)(void* data, size_t length);
};

enum TF_Code : int { TF_OK = 0, TF_INVALID_ARGUMENT = 3 };
enum TF_DataType : int { TF_FLOAT = 1, TF_INT32 = 3, TF_BOOL = 10 };

struct CApi {
#define FUNCTION(result, name, parameters) result(*name) parameters;
#include "tensorflow/c_api.def"
#undef FUNCTION
};

// Finds every function in the TensorFlow that this process has loaded. The error names the first function that is missing and
// TensorFlow's version.
Status FindCApi(CApi* api);

}  // namespace tensorflow
}  // namespace specattn

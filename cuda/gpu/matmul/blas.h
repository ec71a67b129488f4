// Blas: matrix products by cuBLASLt. The library is loaded at run time, because it is large and is missing on many machines
// that have a CUDA driver.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>

#include "core/tensor.h"

namespace specattn {
namespace gpu {

class Blas {
 public:
  // Loads cuBLASLt. Returns null where it cannot be loaded or the environment has SPECATTN_CUBLAS=0, and then writes why to
  // `reason`, a buffer of `size` bytes.
  static std::unique_ptr<Blas> Open(char* reason, size_t size);
  ~Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  // Queues c [rows,cols] = a [rows,inner] . b [cols,inner]^T + beta * c on `stream`, which may be capturing. c is float32; a
  // and b are stored as `storage`, bfloat16 or float16. cuBLASLt chooses the algorithm, once for each shape. Returns an
  // error where it has none for the shape.
  Status Multiply(cudaStream_t stream, DType storage, int64_t rows, int64_t cols, int64_t inner,
                  const void* a, const void* b, float beta, float* c, void* workspace,
                  size_t workspace_bytes);

 private:
  struct Library;
  explicit Blas(std::unique_ptr<Library> library);
  std::unique_ptr<Library> library_;
};

}  // namespace gpu
}  // namespace specattn

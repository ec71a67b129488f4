// Blas: matrix products by cuBLASLt, loaded at run time: it is large, and not on every machine that has a driver.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>

#include "core/tensor.h"

namespace specattn {
namespace gpu {

class Blas {
 public:
  // Null: it can't be had, and `reason` says why. SPECATTN_CUBLAS=0 does without it.
  static std::unique_ptr<Blas> Open(char* reason, size_t size);
  ~Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  // c [rows,cols] float32 = a [rows,inner] . b [cols,inner]^T + beta * c; a and b are stored as `storage`, bfloat16 or
  // float16. Queued on `stream`, which may be recording. The algorithm is cuBLASLt's choice, made once a shape.
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

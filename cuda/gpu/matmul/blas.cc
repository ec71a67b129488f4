// Blas: row-major products a . b^T of 16-bit floats by cuBLASLt, accumulated and stored in float32.
//
// The few declarations of cuBLASLt that these products need are repeated here, so that the build needs neither its headers
// nor the library. The values belong to cuBLASLt's binary interface, which has not changed since version 11.
#include "gpu/matmul/blas.h"

#include <dlfcn.h>
#include <library_types.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <tuple>
#include <utility>

namespace specattn {
namespace gpu {
namespace {

using LtStatus = int;  // cublasStatus_t; 0: success
using Handle = struct HandleOpaque*;
using MatmulDesc = struct MatmulDescOpaque*;
using MatrixLayout = struct MatrixLayoutOpaque*;
using Preference = struct PreferenceOpaque*;

struct Algorithm {  // cublasLtMatmulAlgo_t
  uint64_t data[8];
};
struct Heuristic {  // cublasLtMatmulHeuristicResult_t
  Algorithm algorithm;
  size_t workspace_bytes;
  LtStatus state;
  float waves;
  int reserved[4];
};

constexpr int kCompute32F = 68;             // CUBLAS_COMPUTE_32F
constexpr int kDescTransposeA = 3;          // CUBLASLT_MATMUL_DESC_TRANSA
constexpr int32_t kTranspose = 1;           // CUBLAS_OP_T
constexpr int kPreferenceMaxWorkspace = 1;  // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
// CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES; the attributes of b, c and d follow it.
constexpr int kPreferenceMinAlignmentA = 5;

constexpr uint32_t kMostAlignment = 256;  // bytes; cuBLASLt's algorithms ask for no more

// Most shapes with a remembered plan. There is a limit because every length of a prompt is a shape of its own.
constexpr size_t kMaxPlans = 1024;

}  // namespace

struct Blas::Library {
  LtStatus (*Create)(Handle*);
  LtStatus (*Destroy)(Handle);
  LtStatus (*MatmulDescCreate)(MatmulDesc*, int compute, int scale_type);
  LtStatus (*MatmulDescDestroy)(MatmulDesc);
  LtStatus (*MatmulDescSetAttribute)(MatmulDesc, int attribute, const void* value, size_t bytes);
  LtStatus (*MatrixLayoutCreate)(MatrixLayout*, int type, uint64_t rows, uint64_t cols, int64_t stride);
  LtStatus (*MatrixLayoutDestroy)(MatrixLayout);
  LtStatus (*MatmulPreferenceCreate)(Preference*);
  LtStatus (*MatmulPreferenceDestroy)(Preference);
  LtStatus (*MatmulPreferenceSetAttribute)(Preference, int attribute, const void* value, size_t bytes);
  LtStatus (*MatmulAlgoGetHeuristic)(Handle, MatmulDesc, MatrixLayout a, MatrixLayout b, MatrixLayout c,
                                     MatrixLayout d, Preference, int wanted, Heuristic*, int* found);
  LtStatus (*Matmul)(Handle, MatmulDesc, const void* alpha, const void* a, MatrixLayout, const void* b,
                     MatrixLayout, const void* beta, const void* c, MatrixLayout, void* d, MatrixLayout,
                     const Algorithm*, void* workspace, size_t workspace_bytes, cudaStream_t);

  Handle handle = nullptr;
  MatmulDesc product = nullptr;

  // The layouts and the algorithm for one shape. cuBLASLt's matrices are column-major, so it computes c^T = b . a^T: its
  // first operand is b, read as [inner,cols] and transposed, and its second operand is a, read as [inner,rows].
  struct Plan {
    MatrixLayout b = nullptr, a = nullptr, c = nullptr;
    Algorithm algorithm;
    LtStatus status = 0;  // not 0: there is no algorithm for this shape
  };
  // rows, cols, inner, type of a and b, whether beta is not 0, bytes of workspace, alignment of the addresses in bytes
  using Shape = std::tuple<int64_t, int64_t, int64_t, int, bool, size_t, uint32_t>;
  std::map<Shape, Plan> plans;

  ~Library() {
    Forget();
    if (product) MatmulDescDestroy(product);
    if (handle) Destroy(handle);
  }

  void Forget() {
    for (auto& entry : plans)
      for (MatrixLayout layout : {entry.second.b, entry.second.a, entry.second.c})
        if (layout) MatrixLayoutDestroy(layout);
    plans.clear();
  }

  // Finds the library's functions. Returns null, or the name of the first function that is missing.
  const char* Load(void* library) {
    const char* missing = nullptr;
    const auto find = [&](auto* function, const char* name) {
      *reinterpret_cast<void**>(function) = dlsym(library, name);
      if (!*reinterpret_cast<void**>(function) && !missing) missing = name;
    };
    find(&Create, "cublasLtCreate");
    find(&Destroy, "cublasLtDestroy");
    find(&MatmulDescCreate, "cublasLtMatmulDescCreate");
    find(&MatmulDescDestroy, "cublasLtMatmulDescDestroy");
    find(&MatmulDescSetAttribute, "cublasLtMatmulDescSetAttribute");
    find(&MatrixLayoutCreate, "cublasLtMatrixLayoutCreate");
    find(&MatrixLayoutDestroy, "cublasLtMatrixLayoutDestroy");
    find(&MatmulPreferenceCreate, "cublasLtMatmulPreferenceCreate");
    find(&MatmulPreferenceDestroy, "cublasLtMatmulPreferenceDestroy");
    find(&MatmulPreferenceSetAttribute, "cublasLtMatmulPreferenceSetAttribute");
    find(&MatmulAlgoGetHeuristic, "cublasLtMatmulAlgoGetHeuristic");
    find(&Matmul, "cublasLtMatmul");
    return missing;
  }

  // Creates the handle and the description of the product. Returns 0, or the status of the call that failed.
  LtStatus Start() {
    if (const LtStatus status = Create(&handle)) return status;
    if (const LtStatus status = MatmulDescCreate(&product, kCompute32F, CUDA_R_32F)) return status;
    return MatmulDescSetAttribute(product, kDescTransposeA, &kTranspose, sizeof kTranspose);
  }

  const Plan& PlanOf(const Shape& shape) {
    const auto known = plans.find(shape);
    if (known != plans.end()) return known->second;
    if (plans.size() >= kMaxPlans) Forget();
    Plan& plan = plans[shape];
    plan.status = Choose(shape, &plan);
    return plan;
  }

  // Makes a shape's layouts and asks cuBLASLt for its best algorithm.
  LtStatus Choose(const Shape& shape, Plan* plan) {
    const auto [rows, cols, inner, type, adds, workspace_bytes, alignment] = shape;
    const auto layout = [&](MatrixLayout* out, int of, int64_t r, int64_t c) {
      return MatrixLayoutCreate(out, of, static_cast<uint64_t>(r), static_cast<uint64_t>(c), r);
    };
    if (const LtStatus status = layout(&plan->b, type, inner, cols)) return status;
    if (const LtStatus status = layout(&plan->a, type, inner, rows)) return status;
    if (const LtStatus status = layout(&plan->c, CUDA_R_32F, cols, rows)) return status;
    Preference preference = nullptr;
    if (const LtStatus status = MatmulPreferenceCreate(&preference)) return status;
    const uint64_t most = workspace_bytes;
    Heuristic best{};
    int found = 0;
    LtStatus status = MatmulPreferenceSetAttribute(preference, kPreferenceMaxWorkspace, &most, sizeof most);
    for (int matrix = 0; matrix < 4 && !status; ++matrix)
      status = MatmulPreferenceSetAttribute(preference, kPreferenceMinAlignmentA + matrix, &alignment,
                                            sizeof alignment);
    if (!status)
      status = MatmulAlgoGetHeuristic(handle, product, plan->b, plan->a, plan->c, plan->c, preference, 1,
                                      &best, &found);
    MatmulPreferenceDestroy(preference);
    constexpr LtStatus kNotSupported = 15;
    if (!status && !found) status = kNotSupported;
    if (!status) status = best.state;
    plan->algorithm = best.algorithm;
    return status;
  }
};

Blas::Blas(std::unique_ptr<Library> library) : library_(std::move(library)) {}
Blas::~Blas() = default;

std::unique_ptr<Blas> Blas::Open(char* reason, size_t size) {
  const char* wanted = std::getenv("SPECATTN_CUBLAS");
  if (wanted && *wanted == '0') {
    std::snprintf(reason, size, "SPECATTN_CUBLAS=0");
    return nullptr;
  }
  std::snprintf(reason, size, "libcublasLt.so.13, .12 or .11 was not found");
  for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"}) {
    void* file = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!file) continue;
    std::unique_ptr<Library> library(new (std::nothrow) Library);
    if (!library) return nullptr;
    if (const char* missing = library->Load(file)) {
      std::snprintf(reason, size, "%s has no %s", name, missing);
      dlclose(file);
    } else if (const LtStatus status = library->Start()) {
      // The library is not closed: it may have initialised itself in part.
      std::snprintf(reason, size, "%s failed with status %d", name, status);
    } else {
      *reason = '\0';
      return std::unique_ptr<Blas>(new (std::nothrow) Blas(std::move(library)));
    }
  }
  return nullptr;
}

Status Blas::Multiply(cudaStream_t stream, DType storage, int64_t rows, int64_t cols, int64_t inner,
                      const void* a, const void* b, float beta, float* c, void* workspace,
                      size_t workspace_bytes) {
  const int type = storage == DType::kBFloat16 ? CUDA_R_16BF : CUDA_R_16F;
  const auto addresses = reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b) |
                         reinterpret_cast<uintptr_t>(c) | kMostAlignment;
  const auto alignment = static_cast<uint32_t>(addresses & ~(addresses - 1));  // lowest set bit
  const Library::Plan& plan =
      library_->PlanOf({rows, cols, inner, type, beta != 0, workspace_bytes, alignment});
  const float alpha = 1;
  LtStatus status = plan.status;
  if (!status)
    status = library_->Matmul(library_->handle, library_->product, &alpha, b, plan.b, a, plan.a, &beta, c,
                              plan.c, c, plan.c, &plan.algorithm, workspace, workspace_bytes, stream);
  SPECATTN_CHECK(!status, "[cuda] cuBLASLt's product of [%lld,%lld] and [%lld,%lld] failed with status %d",
                 static_cast<long long>(rows), static_cast<long long>(inner), static_cast<long long>(cols),
                 static_cast<long long>(inner), status);
  return Ok();
}

}  // namespace gpu
}  // namespace specattn

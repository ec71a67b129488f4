#include "tensorflow/op_kernel.h"

#include <atomic>
#include <cfenv>
#include <charconv>
#include <cstring>
#include <utility>

namespace specattn {
namespace tensorflow {

const char* const kNames[kKernelCount] = {
#define KERNEL(name, half) #name,
#include "kernels.def"
#undef KERNEL
};

namespace {

std::atomic<int64_t> copied{0};

// Restores the default floating-point mode in a scope. TensorFlow calls kernels in threads that flush denormal numbers to zero;
// this project's kernels compute with them.
class DefaultFloats {
 public:
  DefaultFloats() {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultFloats() { std::fesetenv(&before_); }
  DefaultFloats(const DefaultFloats&) = delete;

 private:
  std::fenv_t before_;
};

Status DTypeOf(TF_DataType type, DType* dtype) {
  switch (type) {
    case TF_FLOAT:
      *dtype = DType::kFloat32;
      return Ok();
    case TF_INT32:
      *dtype = DType::kInt32;
      return Ok();
    case TF_BOOL:
      *dtype = DType::kBool;
      return Ok();
  }
  return Error("[tensorflow] no kernel takes tensors of TensorFlow's dtype %d", static_cast<int>(type));
}

// Fills x with a TF_Tensor's buffer and shape and deletes the TF_Tensor: TensorFlow's context keeps the buffer.
Status Describe(TF_Tensor* tensor, Tensor* x) {
  const Status status = DTypeOf(api.TF_TensorType(tensor), &x->dtype);
  const int rank = api.TF_NumDims(tensor);
  x->data = api.TF_TensorData(tensor);
  x->rank = rank;
  for (int d = 0; d < rank && d < kMaxRank; ++d) x->dims[d] = api.TF_Dim(tensor, d);
  api.TF_DeleteTensor(tensor);
  SPECATTN_RETURN_IF_ERROR(status);
  SPECATTN_CHECK(rank <= kMaxRank, "[tensorflow] a tensor's rank must be 0 to %d but is %d", kMaxRank, rank);
  return Ok();
}

// Parses "1,2.5" as {1, 2.5}. Empty text is an empty list.
template <class T>
Status ParseNumbers(const char* at, const char* end, std::vector<T>* numbers) {
  const char* const text = at;
  while (at < end) {
    T number{};
    const auto [next, error] = std::from_chars(at, end, number);
    SPECATTN_CHECK(error == std::errc() && (next == end || *next == ','),
                   "[tensorflow] numbers must stand between commas but are '%.*s'",
                   static_cast<int>(end - text), text);
    numbers->push_back(number);
    at = next == end ? end : next + 1;
  }
  return Ok();
}

// Whether a tensor may have these dimensions. TensorFlow would end the process on dimensions that are negative or too large.
bool IsShape(const std::vector<int64_t>& dims) {
  int64_t bytes = 4;
  for (int64_t size : dims)
    if (size < 0 || __builtin_mul_overflow(bytes, size, &bytes)) return false;
  return dims.size() <= size_t{kMaxRank};
}

}  // namespace

int64_t Copies() { return copied; }

Status OpKernel::Init(const std::string& outputs, const std::string& attrs) {
  const char* at = outputs.c_str();
  for (;;) {
    const char* const end = at + std::strcspn(at, ";");
    Output output;
    const bool replaces = *at == '@';
    SPECATTN_RETURN_IF_ERROR(ParseNumbers(at + replaces, end, &output.numbers));
    output.replaces = replaces && output.numbers.size() == 1 ? static_cast<int>(output.numbers[0]) : -1;
    SPECATTN_CHECK(replaces ? output.replaces >= 0 : IsShape(output.numbers),
                   "[%s] outputs must be shapes, or '@' and an input, but are '%s'", kNames[kernel_],
                   outputs.c_str());
    outputs_.push_back(output);
    if (!*end) break;
    at = end + 1;
  }
  return ParseNumbers(attrs.data(), attrs.data() + attrs.size(), &attrs_);
}

Status OpKernel::Run(Placement& placement, TF_OpKernelContext* context) const {
  const int input_count = api.TF_NumInputs(context), output_count = api.TF_NumOutputs(context);
  SPECATTN_CHECK(outputs_.size() == static_cast<size_t>(output_count),
                 "[%s] has %d outputs but the attribute describes %zu", kNames[kernel_], output_count,
                 outputs_.size());
  std::vector<Tensor> inputs(static_cast<size_t>(input_count)), outputs(outputs_.size());
  const AutoStatus status;
  for (int i = 0; i < input_count; ++i) {
    TF_Tensor* tensor = nullptr;
    api.TF_GetInput(context, i, &tensor, status);
    SPECATTN_RETURN_IF_ERROR(status.get());
    SPECATTN_RETURN_IF_ERROR(Describe(tensor, &inputs[static_cast<size_t>(i)]));
  }
  std::vector<std::pair<Tensor, Tensor>> copies;
  for (int i = 0; i < output_count; ++i) {
    Tensor& output = outputs[static_cast<size_t>(i)];
    const int replaced = outputs_[static_cast<size_t>(i)].replaces;
    if (replaced < 0) {
      SPECATTN_RETURN_IF_ERROR(Allocate(context, i, status, &output));
      continue;
    }
    SPECATTN_CHECK(replaced < input_count, "[%s] output %d cannot replace input %d of %d", kNames[kernel_], i,
                   replaced, input_count);
    Tensor& input = inputs[static_cast<size_t>(replaced)];
    int forwarded = -1;
    TF_Tensor* const tensor = api.TF_ForwardInputOrAllocateOutput(context, &replaced, 1, i, input.dims,
                                                                  input.rank, &forwarded, status);
    SPECATTN_RETURN_IF_ERROR(status.get());
    SPECATTN_RETURN_IF_ERROR(Describe(tensor, &output));
    if (forwarded < 0) copies.emplace_back(input, output);
    input.data = output.data;
  }

  const std::lock_guard<std::mutex> lock(placement.mutex);
  copied += static_cast<int64_t>(copies.size());
  const DefaultFloats floats;
  Device& device = *placement.device;
  SPECATTN_RETURN_IF_ERROR(device.WaitForOthers());
  for (const auto& [from, to] : copies)
    SPECATTN_RETURN_IF_ERROR(device.Launch(kCopy, {&from, 1, &to, 1, nullptr, 0}));
  SPECATTN_RETURN_IF_ERROR(device.Launch(kernel_, {inputs.data(), input_count, outputs.data(), output_count,
                                                   attrs_.data(), static_cast<int>(attrs_.size())}));
  return device.Synchronize();
}

Status OpKernel::Allocate(TF_OpKernelContext* context, int i, const AutoStatus& status,
                          Tensor* output) const {
  const std::vector<int64_t>& dims = outputs_[static_cast<size_t>(i)].numbers;
  const TF_DataType type = api.TF_ExpectedOutputDataType(context, i);
  SPECATTN_RETURN_IF_ERROR(DTypeOf(type, &output->dtype));
  size_t bytes = SizeOf(output->dtype);
  for (int64_t size : dims) bytes *= static_cast<size_t>(size);
  TF_Tensor* const tensor =
      api.TF_AllocateOutput(context, i, type, dims.data(), static_cast<int>(dims.size()), bytes, status);
  SPECATTN_RETURN_IF_ERROR(status.get());
  return Describe(tensor, output);
}

}  // namespace tensorflow
}  // namespace specattn

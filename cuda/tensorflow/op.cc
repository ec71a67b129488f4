#include "tensorflow/op.h"

#include <atomic>
#include <cfenv>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace specattn {
namespace tensorflow {
namespace {

// A device on which ops run.
struct Placement {
  std::mutex
      mutex;  // held during a launch: TensorFlow runs ops in several threads, a device takes one at a time
  Device* device = nullptr;  // never closed, since TensorFlow may run ops until the process ends
};

CApi api;
Placement cpu, gpu;
char gpu_reason[256] = "";
std::atomic<int64_t> copied{0};
std::mutex definitions;
std::set<std::string> defined;

constexpr const char* kNames[] = {
#define KERNEL(name, half) #name,
#include "kernels.def"
#undef KERNEL
};

// A TF_Status that is deleted with its scope.
class AutoStatus {
 public:
  AutoStatus() : status_(api.TF_NewStatus()) {}
  ~AutoStatus() { api.TF_DeleteStatus(status_); }
  AutoStatus(const AutoStatus&) = delete;
  operator TF_Status*() const { return status_; }
  Status get() const {
    return api.TF_GetCode(status_) == TF_OK ? Ok() : Error("[tensorflow] %s", api.TF_Message(status_));
  }
  TF_Status* set(Status status) const {
    api.TF_SetStatus(status_, TF_INVALID_ARGUMENT, status.message);
    return status_;
  }

 private:
  TF_Status* const status_;
};

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

// An op's kernel with the attributes of one node. TensorFlow makes one for each combination of attributes and keeps it.
class Op {
 public:
  explicit Op(Kernel kernel) : kernel_(kernel) {}

  Status Init(const std::string& outputs, const std::string& attrs) {
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

  Status Run(Placement& placement, TF_OpKernelContext* context) const {
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
      SPECATTN_CHECK(replaced < input_count, "[%s] output %d cannot replace input %d of %d", kNames[kernel_],
                     i, replaced, input_count);
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

 private:
  struct Output {
    std::vector<int64_t> numbers;  // the dimensions, unless the output replaces an input
    int replaces = -1;             // the number of the input that the output replaces; -1: none
  };

  Status Allocate(TF_OpKernelContext* context, int i, const AutoStatus& status, Tensor* output) const {
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

  const Kernel kernel_;
  std::vector<Output> outputs_;
  std::vector<double> attrs_;
};

Status GetText(TF_OpKernelConstruction* construction, const char* attr, std::string* text) {
  const AutoStatus status;
  int32_t list_size = 0, bytes = 0;
  api.TF_OpKernelConstruction_GetAttrSize(construction, attr, &list_size, &bytes, status);
  SPECATTN_RETURN_IF_ERROR(status.get());
  text->resize(static_cast<size_t>(bytes));
  api.TF_OpKernelConstruction_GetAttrString(construction, attr, text->data(), text->size(), status);
  return status.get();
}

// Runs work() and turns a C++ exception (no memory for a list) into an error, since none may reach TensorFlow.
template <class Work>
Status Guarded(Work work) {
  try {
    return work();
  } catch (const std::exception& error) {
    return Error("[tensorflow] %s", error.what());
  }
}

template <Kernel kKernel>
void* Create(TF_OpKernelConstruction* construction) {
  Op* op = nullptr;
  const Status status = Guarded([&] {
    std::string outputs, attrs;
    SPECATTN_RETURN_IF_ERROR(GetText(construction, "outputs", &outputs));
    SPECATTN_RETURN_IF_ERROR(GetText(construction, "attrs", &attrs));
    op = new Op(kKernel);
    return op->Init(outputs, attrs);
  });
  if (!status.ok()) api.TF_OpKernelConstruction_Failure(construction, AutoStatus().set(status));
  return op;
}

template <Placement& kPlacement>
void Compute(void* op, TF_OpKernelContext* context) {
  const Status status = Guarded([&] { return static_cast<Op*>(op)->Run(kPlacement, context); });
  if (!status.ok()) api.TF_OpKernelContext_Failure(context, AutoStatus().set(status));
}

void Destroy(void* op) { delete static_cast<Op*>(op); }

constexpr void* (*kCreate[])(TF_OpKernelConstruction*) = {
#define KERNEL(name, half) Create<k##name>,
#include "kernels.def"
#undef KERNEL
};

// The ops' shape function. A tf.function refuses an op without one, but the C API does not show it the attribute that holds the
// shapes: all shapes are unknown.
void UnknownShapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  api.TF_ShapeInferenceContextSetUnknownShape(context, status);
}

const char* TypeName(char letter) {
  return letter == 'f' ? "float" : letter == 'i' ? "int32" : letter == 'b' ? "bool" : nullptr;
}

Status RegisterKernel(Kernel kernel, const std::string& op, const char* device,
                      void (*compute)(void*, TF_OpKernelContext*)) {
  const AutoStatus status;
  api.TF_RegisterKernelBuilder((op + device).c_str(),
                               api.TF_NewKernelBuilder(op.c_str(), device, kCreate[kernel], compute, Destroy),
                               status);
  return status.get();
}

// Whether the op is defined already, perhaps by another copy of the package in this process. Defining an op twice would end the
// process.
bool IsRegistered(const std::string& op) {
  const AutoStatus status;
  TF_Buffer* const kernels = api.TF_GetRegisteredKernelsForOp(op.c_str(), status);
  const bool some = kernels && kernels->length > 0;
  if (kernels) api.TF_DeleteBuffer(kernels);
  return some;
}

}  // namespace

Status OpenDevices(const CApi& found, const Devices& devices) {
  const std::lock_guard<std::mutex> lock(definitions);
  if (cpu.device) return Ok();
  SPECATTN_CHECK(std::strcmp(devices.kernel_names, kKernelNames) == 0,
                 "[tensorflow] the addon was built with other kernels: build both again");
  api = found;
  std::unique_ptr<Device> device;
  Probe probe;
  devices.probe_cuda(&probe);
  std::snprintf(gpu_reason, sizeof gpu_reason, "%s", probe.reason);
  if (!*gpu_reason) {
    const Status status = devices.open_cuda(&device);
    if (!status.ok()) std::snprintf(gpu_reason, sizeof gpu_reason, "%s", status.message);
    gpu.device = device.release();
  }
  SPECATTN_RETURN_IF_ERROR(devices.open_cpu(&device));
  cpu.device = device.release();
  return Ok();
}

int64_t Copies() { return copied; }

const char* GpuReason() { return gpu_reason; }

Status DefineOp(const char* kernel_name, const char* inputs, const char* outputs, std::string* name) {
  int kernel = 0;
  while (kernel < kKernelCount && std::strcmp(kNames[kernel], kernel_name) != 0) ++kernel;
  SPECATTN_CHECK(kernel < kKernelCount, "[tensorflow] there is no kernel '%s'", kernel_name);
  for (const char* letters : {inputs, outputs})
    for (; *letters; ++letters)
      SPECATTN_CHECK(TypeName(*letters), "[%s] dtypes must be f, i or b but one is '%c'", kernel_name,
                     *letters);
  *name = std::string("Specattn") + kernel_name + "_" + inputs + "_" + outputs;

  const std::lock_guard<std::mutex> lock(definitions);
  SPECATTN_CHECK(cpu.device, "[tensorflow] no device is open");
  if (defined.count(*name)) return Ok();
  if (!IsRegistered(*name)) {
    TF_OpDefinitionBuilder* const op = api.TF_NewOpDefinitionBuilder(name->c_str());
    const auto spec = [](const char* what, int i, char letter) {
      return what + std::to_string(i) + ": " + TypeName(letter);
    };
    for (int i = 0; inputs[i]; ++i)
      api.TF_OpDefinitionBuilderAddInput(op, spec("input", i, inputs[i]).c_str());
    for (int i = 0; outputs[i]; ++i)
      api.TF_OpDefinitionBuilderAddOutput(op, spec("output", i, outputs[i]).c_str());
    api.TF_OpDefinitionBuilderAddAttr(op, "outputs: string");
    api.TF_OpDefinitionBuilderAddAttr(op, "attrs: string");
    api.TF_OpDefinitionBuilderSetShapeInferenceFunction(op, UnknownShapes);
    const AutoStatus status;
    api.TF_RegisterOpDefinition(op, status);
    SPECATTN_RETURN_IF_ERROR(status.get());
    SPECATTN_RETURN_IF_ERROR(RegisterKernel(static_cast<Kernel>(kernel), *name, "CPU", Compute<cpu>));
    if (gpu.device)
      SPECATTN_RETURN_IF_ERROR(RegisterKernel(static_cast<Kernel>(kernel), *name, "GPU", Compute<gpu>));
  }
  defined.insert(*name);
  return Ok();
}

}  // namespace tensorflow
}  // namespace specattn

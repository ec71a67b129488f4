#include "tensorflow/op.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <set>

#include "tensorflow/op_kernel.h"

namespace specattn {
namespace tensorflow {

CApi api;

namespace {

Placement cpu, gpu;
char gpu_reason[256] = "";
std::mutex definitions;
std::set<std::string> defined;

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
  OpKernel* op = nullptr;
  const Status status = Guarded([&] {
    std::string outputs, attrs;
    SPECATTN_RETURN_IF_ERROR(GetText(construction, "outputs", &outputs));
    SPECATTN_RETURN_IF_ERROR(GetText(construction, "attrs", &attrs));
    op = new OpKernel(kKernel);
    return op->Init(outputs, attrs);
  });
  if (!status.ok()) api.TF_OpKernelConstruction_Failure(construction, AutoStatus().set(status));
  return op;
}

template <Placement& kPlacement>
void Compute(void* op, TF_OpKernelContext* context) {
  const Status status = Guarded([&] { return static_cast<OpKernel*>(op)->Run(kPlacement, context); });
  if (!status.ok()) api.TF_OpKernelContext_Failure(context, AutoStatus().set(status));
}

void Destroy(void* op) { delete static_cast<OpKernel*>(op); }

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

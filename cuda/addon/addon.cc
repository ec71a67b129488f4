// The Node-API addon: the JavaScript class Device with its buffers, launches and captures. backend/addon.ts declares its types.
//
// JavaScript describes a launch in `device.descriptor`, a Float64Array that it shares with C++ (core/launch_descriptor.h), so that
// a launch is one call without arguments. Errors become JavaScript exceptions; nothing here aborts or prints.
#include <cstring>
#include <memory>
#include <new>

#include "addon/capture.h"
#include "addon/device_object.h"
#include "core/devices.h"
#include "core/file_source.h"

namespace specattn {
namespace {

// launch(): runs, or records, the launch that the descriptor holds. If it finds no memory for its workspace, cached memory is given
// back and it is tried once more, but not while launches are recorded: a GPU can give back no memory then.
napi_value LaunchDescribed(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  DeviceObject& object = *call.self;
  Launch launch;
  Status status = object.reader.Read(object.descriptor, *object.allocator, &launch);
  if (!status.ok()) return Throw(env, status);
  status = object.device->Launch(launch.kernel, launch.args);
  if (!status.ok() && object.device->short_of_memory() && !object.recording) {
    object.allocator->Trim();
    status = object.device->Launch(launch.kernel, launch.args);
  }
  if (object.allocator->guards() && !object.recording) {
    const auto check = [&](const Tensor* tensors, int count) {
      for (int i = 0; i < count && status.ok(); ++i)
        status = object.allocator->CheckGuards(kKernels[launch.kernel].name, tensors[i].data);
    };
    check(launch.args.inputs, launch.args.input_count);
    check(launch.args.outputs, launch.args.output_count);
  }
  return status.ok() ? nullptr : Throw(env, status);
}

// allocate(bytes, apart): returns the handle of a new buffer; `apart` is Allocator::Allocate's, 1 or left out.
napi_value Allocate(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  const int64_t bytes = Whole(call.numbers[0]);
  if (bytes < 0) return Throw(env, "[allocate] bytes must be a whole number >= 0");
  int handle = 0;
  const Status status =
      call.self->allocator->Allocate(static_cast<size_t>(bytes), &handle, call.numbers[1] == 1);
  return status.ok() ? Number(env, handle) : Throw(env, status);
}

napi_value Free(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  const Status status = call.self->allocator->Free(call.Id(0));
  return status.ok() ? nullptr : Throw(env, status);
}

// write(handle, byteOffset, view) and read(handle, byteOffset, view): copy between a typed array and a buffer.
template <bool kWrite>
napi_value Transfer(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  size_t held = 0, bytes = 0;
  void* host = nullptr;
  char* data = static_cast<char*>(call.self->allocator->Data(call.Id(0), &held));
  const char* const what = kWrite ? "[write]" : "[read]";
  if (!data) return Throw(env, Error("%s no buffer has the handle %g", what, call.numbers[0]));
  if (!Bytes(env, call.values[2], &host, &bytes)) return Throw(env, Error("%s expects a typed array", what));
  const int64_t offset = Whole(call.numbers[1]);
  if (offset < 0 || bytes > held || static_cast<size_t>(offset) > held - bytes)
    return Throw(env, Error("%s %zu bytes at offset %g do not fit a buffer of %zu", what, bytes,
                            call.numbers[1], held));
  data += offset;
  const Status status =
      kWrite ? call.self->device->CopyIn(data, host, bytes) : call.self->device->CopyOut(host, data, bytes);
  return status.ok() ? nullptr : Throw(env, status);
}

// writeFromFile(handle, byteOffset, fd, position, bytes): copies a stretch of an open file to a buffer. The text of a read error
// continues a sentence that begins with the file's name.
napi_value WriteFromFile(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  for (double number : call.numbers)
    if (Whole(number) < 0)
      return Throw(env, "[writeFromFile] expects a buffer's handle, an offset, a file and a stretch of it");
  size_t held = 0;
  char* data = static_cast<char*>(call.self->allocator->Data(call.Id(0), &held));
  if (!data) return Throw(env, Error("[writeFromFile] no buffer has the handle %.0f", call.numbers[0]));
  if (call.Id(2) < 0)
    return Throw(env, Error("[writeFromFile] no file has the number %.0f", call.numbers[2]));
  const int64_t offset = Whole(call.numbers[1]), position = Whole(call.numbers[3]),
                bytes = Whole(call.numbers[4]);
  if (static_cast<size_t>(offset + bytes) > held)
    return Throw(env, Error("[writeFromFile] %lld bytes at offset %lld do not fit a buffer of %zu",
                            static_cast<long long>(bytes), static_cast<long long>(offset), held));
  if (!call.self->readers) {
    const Status status = ThreadPool::Get(&call.self->readers);
    if (!status.ok()) return Throw(env, status);
  }
  FileSource source(call.Id(2), position, static_cast<size_t>(bytes), call.self->readers);
  const Status status = call.self->device->CopyInFrom(data + offset, source, static_cast<size_t>(bytes));
  return status.ok() ? nullptr : Throw(env, status);
}

napi_value Synchronize(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  const Status status = call.self->device->Synchronize();
  return status.ok() ? nullptr : Throw(env, status);
}

// memory(): {bytesInUse, bytesReserved, bytesFree, buffers}; bytesReserved includes the device's workspace.
napi_value Memory(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  const Allocator& allocator = *call.self->allocator;
  const size_t reserved = allocator.bytes_reserved() + call.self->device->WorkspaceBytes();
  napi_value object = nullptr;
  napi_create_object(env, &object);
  napi_set_named_property(env, object, "bytesInUse",
                          Number(env, static_cast<double>(allocator.bytes_in_use())));
  napi_set_named_property(env, object, "bytesReserved", Number(env, static_cast<double>(reserved)));
  napi_set_named_property(env, object, "bytesFree",
                          Number(env, static_cast<double>(call.self->device->FreeBytes())));
  napi_set_named_property(env, object, "buffers", Number(env, static_cast<double>(allocator.buffers())));
  return object;
}

napi_value Trim(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  call.self->allocator->Trim();
  return nullptr;
}

void Finalize(napi_env env, void* data, void*) {
  DeviceObject* object = static_cast<DeviceObject*>(data);
  napi_delete_reference(env, object->descriptor_buffer);
  delete object;
}

// new Device('cpu' | 'cuda')
napi_value NewDevice(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = nullptr, self = nullptr, target = nullptr;
  char name[16] = "";
  napi_get_new_target(env, info, &target);
  if (!target) return Throw(env, "[device] Device is a class: new Device('cpu')");
  napi_get_cb_info(env, info, &count, &argument, &self, nullptr);
  napi_get_value_string_utf8(env, argument, name, sizeof name, nullptr);
  std::unique_ptr<DeviceObject> object(new (std::nothrow) DeviceObject);
  if (!object) return Throw(env, "[device] out of memory");
  Status status;
  if (std::strcmp(name, "cpu") == 0)
    status = OpenCpu(&object->device);
  else if (std::strcmp(name, "cuda") == 0)
    status = OpenCuda(&object->device);
  else
    status = Error("[device] expected 'cpu' or 'cuda' but got '%s'", name);
  if (!status.ok()) return Throw(env, status);
  object->allocator.reset(new Allocator(*object->device));

  napi_value buffer = nullptr, descriptor = nullptr;
  void* shared = nullptr;
  if (napi_create_arraybuffer(env, kDescriptorLength * sizeof(double), &shared, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_float64_array, kDescriptorLength, buffer, 0, &descriptor) != napi_ok ||
      napi_create_reference(env, buffer, 1, &object->descriptor_buffer) != napi_ok)
    return Throw(env, "[device] no memory for the descriptor buffer");
  object->descriptor = static_cast<double*>(shared);
  napi_set_named_property(env, self, "name", String(env, object->device->name()));
  napi_set_named_property(env, self, "description", String(env, object->device->description()));
  napi_set_named_property(env, self, "asynchronous", Boolean(env, object->device->asynchronous()));
  napi_set_named_property(env, self, "descriptor", descriptor);
  if (napi_wrap(env, self, object.get(), Finalize, nullptr, nullptr) != napi_ok)
    return Throw(env, "[device] could not be wrapped");
  object.release();
  return self;
}

// probe(): [{name, available, description, reason}], an entry for each device that the addon knows, best first.
napi_value ProbeDevices(napi_env env, napi_callback_info) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  Probe probes[2];
  ProbeCuda(&probes[0]);
  ProbeCpu(&probes[1]);
  for (uint32_t i = 0; i < 2; ++i) {
    napi_value object = nullptr;
    napi_create_object(env, &object);
    napi_set_named_property(env, object, "name", String(env, probes[i].name));
    napi_set_named_property(env, object, "available", Boolean(env, !*probes[i].reason));
    napi_set_named_property(env, object, "description", String(env, probes[i].description));
    napi_set_named_property(env, object, "reason", String(env, probes[i].reason));
    napi_set_element(env, list, i, object);
  }
  return list;
}

// kernels: [{name, half}], in the order of the kernels' numbers.
napi_value Kernels(napi_env env) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  for (uint32_t i = 0; i < kKernelCount; ++i) {
    napi_value object = nullptr;
    napi_create_object(env, &object);
    napi_set_named_property(env, object, "name", String(env, kKernels[i].name));
    napi_set_named_property(env, object, "half", Number(env, kKernels[i].half));
    napi_set_element(env, list, i, object);
  }
  return list;
}

// devices: an external value that only the TensorFlow adapter reads, which launches kernels without JavaScript.
napi_value TheDevices(napi_env env) {
  static const Devices devices{kKernelNames, OpenCpu, OpenCuda, ProbeCuda};
  napi_value external = nullptr;
  napi_create_external(env, const_cast<Devices*>(&devices), nullptr, nullptr, &external);
  return external;
}

template <napi_callback kCallback>
napi_property_descriptor Method(const char* name) {
  return {name, nullptr, Guarded<kCallback>, nullptr, nullptr, nullptr, napi_default_method, nullptr};
}

napi_value Init(napi_env env, napi_value exports) {
  const napi_property_descriptor methods[] = {
      Method<LaunchDescribed>("launch"),
      Method<Allocate>("allocate"),
      Method<Free>("free"),
      Method<Transfer<true>>("write"),
      Method<Transfer<false>>("read"),
      Method<WriteFromFile>("writeFromFile"),
      Method<Synchronize>("synchronize"),
      Method<NewCapturePool>("newCapturePool"),
      Method<BeginCapture>("beginCapture"),
      Method<EndCapture>("endCapture"),
      Method<AddOutput>("addOutput"),
      Method<Replay>("replay"),
      Method<ReadOutput>("readOutput"),
      Method<Launches>("launches"),
      Method<Times>("times"),
      Method<FreeCapture>("freeCapture"),
      Method<Mark>("mark"),
      Method<Memory>("memory"),
      Method<Trim>("trim"),
  };
  napi_value device = nullptr, probe = nullptr;
  napi_define_class(env, "Device", NAPI_AUTO_LENGTH, Guarded<NewDevice>, nullptr,
                    sizeof methods / sizeof *methods, methods, &device);
  napi_create_function(env, "probe", NAPI_AUTO_LENGTH, Guarded<ProbeDevices>, nullptr, &probe);
  napi_set_named_property(env, exports, "Device", device);
  napi_set_named_property(env, exports, "probe", probe);
  napi_set_named_property(env, exports, "kernels", Kernels(env));
  napi_set_named_property(env, exports, "maxThreads", Number(env, ThreadPool::kMaxThreads));
  napi_set_named_property(env, exports, "devices", TheDevices(env));
  return exports;
}

}  // namespace
}  // namespace specattn

NAPI_MODULE_INIT() { return specattn::Init(env, exports); }

// The Node-API addon: class Device with buffers, launches and captures.
//
// A launch is described in `device.command`, a Float64Array that JavaScript and C++ share, so that it costs
// one call without arguments:
//   kernel, inputs, outputs, attrs, { handle, dtype, rank, dims... } per input and output, attrs...
// Errors become JavaScript exceptions; nothing here aborts or prints.
#include <cmath>
#include <cstring>
#include <memory>
#include <new>

#include "addon_capture.h"
#include "addon_session.h"
#include "devices.h"
#include "file_source.h"

namespace specattn {
namespace {

// The kernels by number.
constexpr struct {
  const char* name;
  int half;
} kKernels[] = {
#define KERNEL(name, half) {#name, half},
#include "kernels.def"
#undef KERNEL
};

napi_value Launch(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  Session& session = *call.self;
  const double* at = session.command;
  const double* const end = at + kCommandLength;
  const int kernel = static_cast<int>(at[0]);
  const int inputs = static_cast<int>(at[1]), outputs = static_cast<int>(at[2]),
            attrs = static_cast<int>(at[3]);
  at += 4;
  if (kernel < 0 || kernel >= kKernelCount) return Throw(env, "[launch] no such kernel");
  if (inputs < 0 || outputs < 0 || attrs < 0 || inputs + outputs > kMaxTensors)
    return Throw(env, "[launch] more than 256 tensors");
  for (int i = 0; i < inputs + outputs; ++i) {
    Tensor& tensor = session.tensors[static_cast<size_t>(i)];
    if (end - at < 3 + kMaxRank) return Throw(env, "[launch] the command is too long");
    size_t held = 0;
    tensor.data = session.allocator->Data(static_cast<int>(at[0]), &held);
    tensor.dtype = static_cast<DType>(static_cast<int>(at[1]));
    tensor.rank = static_cast<int32_t>(at[2]);
    at += 3;
    if (tensor.rank < 0 || tensor.rank > kMaxRank)
      return Throw(env, "[launch] a tensor's rank must be 0 to 8");
    for (int d = 0; d < tensor.rank; ++d) tensor.dims[d] = static_cast<int64_t>(at[d]);
    at += tensor.rank;
    if (!tensor.data) return Throw(env, "[launch] a tensor's buffer was freed");
    if (tensor.bytes() > held) return Throw(env, "[launch] a tensor is larger than its buffer");
  }
  if (end - at < attrs) return Throw(env, "[launch] the command is too long");
  const Args args{session.tensors.data(), inputs, session.tensors.data() + inputs, outputs, at, attrs};
  Status status = session.device->Launch(static_cast<Kernel>(kernel), args);
  if (session.allocator->guards() && !session.recording) {
    for (int i = 0; i < inputs + outputs && status.ok(); ++i)
      status =
          session.allocator->CheckGuards(kKernels[kernel].name, session.tensors[static_cast<size_t>(i)].data);
  }
  return status.ok() ? nullptr : Throw(env, status);
}

napi_value Allocate(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  if (!(call.numbers[0] >= 0 && call.numbers[0] < 0x1p53))
    return Throw(env, "[allocate] bytes must be a whole number >= 0");
  int handle = 0;
  const Status status = call.self->allocator->Allocate(static_cast<size_t>(call.numbers[0]), &handle);
  return status.ok() ? Number(env, handle) : Throw(env, status);
}

napi_value Free(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  const Status status = call.self->allocator->Free(static_cast<int>(call.numbers[0]));
  return status.ok() ? nullptr : Throw(env, status);
}

// write(handle, byteOffset, view) and read(handle, byteOffset, view).
template <bool kWrite>
napi_value Transfer(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  size_t held = 0, bytes = 0;
  void* host = nullptr;
  char* data = static_cast<char*>(call.self->allocator->Data(static_cast<int>(call.numbers[0]), &held));
  const char* const what = kWrite ? "[write]" : "[read]";
  if (!data)
    return Throw(env, Error("%s no buffer has the handle %d", what, static_cast<int>(call.numbers[0])));
  if (!Bytes(env, call.values[2], &host, &bytes)) return Throw(env, Error("%s expects a typed array", what));
  const double offset = call.numbers[1];
  if (!(offset >= 0) || offset + static_cast<double>(bytes) > static_cast<double>(held))
    return Throw(env,
                 Error("%s %zu bytes at offset %.0f do not fit a buffer of %zu", what, bytes, offset, held));
  data += static_cast<size_t>(offset);
  const Status status =
      kWrite ? call.self->device->CopyIn(data, host, bytes) : call.self->device->CopyOut(host, data, bytes);
  return status.ok() ? nullptr : Throw(env, status);
}

// writeFromFile(handle, byteOffset, fd, position, bytes): an error of reading is to follow the file's name.
napi_value WriteFromFile(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  for (double number : call.numbers)
    if (!(number >= 0 && number < 0x1p53) || number != std::floor(number))
      return Throw(env, "[writeFromFile] expects a buffer's handle, an offset, a file and a stretch of it");
  size_t held = 0;
  char* data = static_cast<char*>(call.self->allocator->Data(static_cast<int>(call.numbers[0]), &held));
  if (!data)
    return Throw(env,
                 Error("[writeFromFile] no buffer has the handle %d", static_cast<int>(call.numbers[0])));
  const double offset = call.numbers[1], bytes = call.numbers[4];
  if (offset + bytes > static_cast<double>(held))
    return Throw(env, Error("[writeFromFile] %.0f bytes at offset %.0f do not fit a buffer of %zu", bytes,
                            offset, held));
  if (!call.self->readers) call.self->readers = ThreadPool::Get();
  FileSource source(static_cast<int>(call.numbers[2]), static_cast<int64_t>(call.numbers[3]),
                    static_cast<size_t>(bytes), call.self->readers);
  const Status status =
      call.self->device->CopyInFrom(data + static_cast<size_t>(offset), source, static_cast<size_t>(bytes));
  return status.ok() ? nullptr : Throw(env, status);
}

napi_value Synchronize(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  const Status status = call.self->device->Synchronize();
  return status.ok() ? nullptr : Throw(env, status);
}

napi_value Memory(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  const Allocator& allocator = *call.self->allocator;
  napi_value object = nullptr;
  napi_create_object(env, &object);
  napi_set_named_property(env, object, "bytesInUse",
                          Number(env, static_cast<double>(allocator.bytes_in_use())));
  napi_set_named_property(env, object, "bytesReserved",
                          Number(env, static_cast<double>(allocator.bytes_reserved())));
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
  Session* session = static_cast<Session*>(data);
  napi_delete_reference(env, session->command_buffer);
  delete session;
}

// new Device('cpu' | 'cuda')
napi_value NewDevice(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = nullptr, self = nullptr;
  char name[16] = "";
  napi_get_cb_info(env, info, &count, &argument, &self, nullptr);
  napi_get_value_string_utf8(env, argument, name, sizeof name, nullptr);
  std::unique_ptr<Session> session(new (std::nothrow) Session);
  if (!session) return Throw(env, "[device] out of memory");
  Status status;
  if (std::strcmp(name, "cpu") == 0)
    status = OpenCpu(&session->device);
  else if (std::strcmp(name, "cuda") == 0)
    status = OpenCuda(&session->device);
  else
    status = Error("[device] expected 'cpu' or 'cuda' but got '%s'", name);
  if (!status.ok()) return Throw(env, status);
  session->allocator.reset(new Allocator(*session->device));

  napi_value buffer = nullptr, command = nullptr;
  void* shared = nullptr;
  if (napi_create_arraybuffer(env, kCommandLength * sizeof(double), &shared, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_float64_array, kCommandLength, buffer, 0, &command) != napi_ok ||
      napi_create_reference(env, buffer, 1, &session->command_buffer) != napi_ok)
    return Throw(env, "[device] no memory for the command buffer");
  session->command = static_cast<double*>(shared);
  napi_set_named_property(env, self, "name", String(env, session->device->name()));
  napi_set_named_property(env, self, "description", String(env, session->device->description()));
  napi_set_named_property(env, self, "asynchronous", Boolean(env, session->device->asynchronous()));
  napi_set_named_property(env, self, "command", command);
  if (napi_wrap(env, self, session.get(), Finalize, nullptr, nullptr) != napi_ok)
    return Throw(env, "[device] could not be wrapped");
  session.release();
  return self;
}

// [{name, available, description, reason}] of every device this build knows.
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

// For the TensorFlow adapter, which launches kernels without going through JavaScript.
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
      Method<Launch>("launch"),
      Method<Allocate>("allocate"),
      Method<Free>("free"),
      Method<Transfer<true>>("write"),
      Method<Transfer<false>>("read"),
      Method<WriteFromFile>("writeFromFile"),
      Method<Synchronize>("synchronize"),
      Method<BeginCapture>("beginCapture"),
      Method<EndCapture>("endCapture"),
      Method<AddOutput>("addOutput"),
      Method<Replay>("replay"),
      Method<ReadOutput>("readOutput"),
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
  napi_set_named_property(env, exports, "devices", TheDevices(env));
  return exports;
}

}  // namespace
}  // namespace specattn

NAPI_MODULE_INIT() { return specattn::Init(env, exports); }

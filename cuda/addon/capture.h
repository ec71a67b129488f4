// The methods of the addon's class Device that record captures, replay them and read their outputs.
#pragma once
#include "addon/device_object.h"

namespace specattn {

// newCapturePool(): the number of a pool, for captures that share memory (Allocator::BeginCapture).
inline napi_value NewCapturePool(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  return Number(env, call.self->next_capture++);
}

// beginCapture(pool): from now on launches are recorded instead of run. Without a pool the capture has one of its own.
inline napi_value BeginCapture(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  const int pool = call.Id(0);
  if (pool >= call.self->next_capture) return Throw(env, Error("[capture] no pool has the number %d", pool));
  const Status status = call.self->device->BeginCapture();
  if (!status.ok()) return Throw(env, status);
  call.self->recording = call.self->next_capture++;
  call.self->allocator->BeginCapture(call.self->recording, pool > 0 ? pool : call.self->recording);
  return nullptr;
}

// mark(): ends a stretch of the capture that is being recorded; times() reports the stretches.
inline napi_value Mark(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  const Status status = call.self->device->Mark();
  return status.ok() ? nullptr : Throw(env, status);
}

// endCapture(): returns the number of the new capture.
inline napi_value EndCapture(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  DeviceObject& object = *call.self;
  if (!object.recording) return Throw(env, "[capture] no launches are being recorded");
  const int id = object.recording;
  object.recording = 0;
  std::unique_ptr<Capture> capture;
  const Status ended = object.device->EndCapture(&capture);
  const Status prepared = object.allocator->EndCapture();
  const Status status = ended.ok() ? prepared : ended;
  if (!status.ok()) {
    object.allocator->FreeCapture(id);
    return Throw(env, status);
  }
  object.captures[id].capture = std::move(capture);
  return Number(env, id);
}

inline napi_value FreeCapture(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  if (call.self->recording)
    return Throw(env, "[freeCapture] no capture can be freed while launches are recorded");
  const int id = call.Id(0);
  if (call.self->captures.erase(id)) call.self->allocator->FreeCapture(id);
  return nullptr;
}

// The capture that the call's first argument names. If there is none, throws a JavaScript exception and returns null.
inline CaptureEntry* FindCapture(napi_env env, const Call& call, const char* what) {
  const auto found = call.self->captures.find(call.Id(0));
  if (found != call.self->captures.end()) return &found->second;
  Throw(env, Error("[%s] the capture was freed", what));
  return nullptr;
}

// addOutput(capture, handle): makes the buffer an output, whose values after each later replay can be read. Returns the output's
// number.
inline napi_value AddOutput(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  CaptureEntry* const entry = FindCapture(env, call, "addOutput");
  if (!entry) return nullptr;
  CaptureEntry::Output output;
  output.handle = call.Id(1);
  output.since = entry->replays;
  output.data = call.self->allocator->Data(output.handle, &output.bytes);
  if (!output.data) return Throw(env, Error("[addOutput] no buffer has the handle %d", output.handle));
  for (std::unique_ptr<Readback>& values : output.values) {
    const Status status = call.self->device->NewReadback(output.bytes, &values);
    if (!status.ok()) return Throw(env, status);
  }
  entry->outputs.push_back(std::move(output));
  return Number(env, static_cast<double>(entry->outputs.size() - 1));
}

// replay(capture): queues the launches, then copies of the outputs.
inline napi_value Replay(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  CaptureEntry* const entry = FindCapture(env, call, "replay");
  if (!entry) return nullptr;
  if (call.self->recording) return Throw(env, "[replay] no capture can run while launches are recorded");
  Status status = entry->capture->Replay();
  if (status.ok() && call.self->allocator->guards())
    status = call.self->allocator->CheckCapture("replay", static_cast<int>(call.numbers[0]));
  if (!status.ok()) return Throw(env, status);
  ++entry->replays;
  for (CaptureEntry::Output& output : entry->outputs) {
    size_t bytes = 0;
    const void* const data = call.self->allocator->Data(output.handle, &bytes);
    if (data != output.data || bytes != output.bytes)
      return Throw(env, "[replay] an output's buffer was freed");
    status = output.values[entry->replays % 2]->Start(data);
    if (!status.ok()) return Throw(env, status);
  }
  return nullptr;
}

// Whether the values of the replay that `back` names are kept: `back` must be 0 (the last replay) or 1 (the one before it), and
// that replay must have come after the first `since`. Throws a JavaScript exception if not.
inline bool IsKept(napi_env env, const CaptureEntry& entry, double back, const char* what,
                   unsigned since = 0) {
  const unsigned replays = entry.replays - since;
  const bool kept = (back == 0 || back == 1) && back < replays;
  if (!kept) Throw(env, Error("[%s] of %u replays the one %g back is not kept", what, replays, back));
  return kept;
}

// readOutput(capture, output, back, view): writes an output's values after the last replay (`back` 0) or the one before it (1) to
// a typed array. Waits for that replay.
inline napi_value ReadOutput(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  CaptureEntry* const entry = FindCapture(env, call, "readOutput");
  if (!entry) return nullptr;
  const int number = call.Id(1);
  if (number < 0 || static_cast<size_t>(number) >= entry->outputs.size())
    return Throw(env, Error("[readOutput] the capture has no output %g", call.numbers[1]));
  CaptureEntry::Output& output = entry->outputs[static_cast<size_t>(number)];
  if (!IsKept(env, *entry, call.numbers[2], "readOutput", output.since)) return nullptr;
  void* host = nullptr;
  size_t bytes = 0;
  if (!Bytes(env, call.values[3], &host, &bytes)) return Throw(env, "[readOutput] expects a typed array");
  if (bytes != output.bytes)
    return Throw(env, Error("[readOutput] the output has %zu bytes but the array %zu", output.bytes, bytes));
  const unsigned back = static_cast<unsigned>(call.numbers[2]);
  const Status status = output.values[(entry->replays + back) % 2]->Finish(host);
  return status.ok() ? nullptr : Throw(env, status);
}

// launches(capture): returns the number of kernels that a replay runs.
inline napi_value Launches(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  const CaptureEntry* entry = FindCapture(env, call, "launches");
  return entry ? Number(env, entry->capture->Launches()) : nullptr;
}

// times(capture, back): writes the milliseconds of each stretch of a replay to `descriptor` and returns how many there are. Waits
// for that replay.
inline napi_value Times(napi_env env, napi_callback_info info) {
  Call call;
  if (!call.Parse(env, info)) return nullptr;
  CaptureEntry* const entry = FindCapture(env, call, "times");
  if (!entry || !IsKept(env, *entry, call.numbers[1], "times")) return nullptr;
  const int back = static_cast<int>(call.numbers[1]);
  return Number(env, entry->capture->Times(back, call.self->descriptor, kDescriptorLength));
}

}  // namespace specattn

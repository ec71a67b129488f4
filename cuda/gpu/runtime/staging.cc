// The methods of Staging. Each of its two rings reuses its slots in turn, a slot when its last copy has ended.
#include "gpu/runtime/staging.h"

#include <algorithm>
#include <cstring>

namespace specattn {
namespace gpu {

Staging::~Staging() {
  for (Ring* ring : {&small_, &large_}) {
    for (Slot& slot : ring->slots)
      if (slot.copied) cudaEventDestroy(slot.copied);
    if (ring->memory) cudaFreeHost(ring->memory);
  }
}

Status Staging::Allocate(Ring* ring, int slots, size_t bytes) {
  void* memory = nullptr;
  SPECATTN_CUDA("allocate pinned host memory", cudaMallocHost(&memory, static_cast<size_t>(slots) * bytes));
  for (int i = 0; i < slots; ++i) {
    Slot& slot = ring->slots[i];
    slot.data = static_cast<char*>(memory) + static_cast<size_t>(i) * bytes;
    slot.bytes = bytes;
    const Status status =
        CheckCuda(cudaEventCreateWithFlags(&slot.copied, cudaEventDisableTiming), "make an event");
    if (status.ok()) continue;
    for (int made = 0; made < i; ++made) cudaEventDestroy(ring->slots[made].copied);
    for (Slot& each : ring->slots) each = {};
    cudaFreeHost(memory);
    return status;
  }
  ring->memory = memory;
  return Ok();
}

Status Staging::Next(size_t bytes, Slot** slot) {
  const bool small = bytes <= kSmallBytes;
  Ring& ring = small ? small_ : large_;
  const int slots = small ? kSmallSlots : kLargeSlots;
  if (!ring.memory) SPECATTN_RETURN_IF_ERROR(Allocate(&ring, slots, small ? kSmallBytes : kLargeBytes));
  *slot = &ring.slots[ring.next];
  ring.next = (ring.next + 1) % slots;
  SPECATTN_CUDA("wait for a copy", cudaEventSynchronize((*slot)->copied));
  return Ok();
}

Status Staging::Send(void* device, Slot* slot, size_t bytes) {
  SPECATTN_CUDA("copy to the device",
                cudaMemcpyAsync(device, slot->data, bytes, cudaMemcpyHostToDevice, stream_));
  SPECATTN_CUDA("record an event", cudaEventRecord(slot->copied, stream_));
  return Ok();
}

Status Staging::CopyIn(void* device, const void* host, size_t bytes) {
  for (size_t at = 0; at < bytes;) {
    Slot* slot = nullptr;
    SPECATTN_RETURN_IF_ERROR(Next(bytes - at, &slot));
    const size_t part = std::min(bytes - at, slot->bytes);
    std::memcpy(slot->data, static_cast<const char*>(host) + at, part);
    SPECATTN_RETURN_IF_ERROR(Send(static_cast<char*>(device) + at, slot, part));
    at += part;
  }
  return Ok();
}

Status Staging::CopyIn(void* device, Source& source, size_t bytes) {
  for (size_t at = 0; at < bytes;) {
    Slot* slot = nullptr;
    SPECATTN_RETURN_IF_ERROR(Next(bytes - at, &slot));
    const size_t part = std::min(bytes - at, slot->bytes);
    SPECATTN_RETURN_IF_ERROR(source.Read(slot->data, at, part));
    SPECATTN_RETURN_IF_ERROR(Send(static_cast<char*>(device) + at, slot, part));
    at += part;
  }
  return Ok();
}

Status Staging::CopyOut(void* host, const void* device, size_t bytes) {
  // While the host reads one slot, the device fills the next.
  Slot* pending = nullptr;
  size_t pending_at = 0, pending_bytes = 0;
  const auto finish = [&]() -> Status {
    SPECATTN_CUDA("read from the device", cudaEventSynchronize(pending->copied));
    std::memcpy(static_cast<char*>(host) + pending_at, pending->data, pending_bytes);
    return Ok();
  };
  for (size_t at = 0; at < bytes;) {
    Slot* slot = nullptr;
    SPECATTN_RETURN_IF_ERROR(Next(bytes - at, &slot));
    const size_t part = std::min(bytes - at, slot->bytes);
    SPECATTN_CUDA("copy from the device", cudaMemcpyAsync(slot->data, static_cast<const char*>(device) + at,
                                                          part, cudaMemcpyDeviceToHost, stream_));
    SPECATTN_CUDA("record an event", cudaEventRecord(slot->copied, stream_));
    if (pending) SPECATTN_RETURN_IF_ERROR(finish());
    pending = slot;
    pending_at = at;
    pending_bytes = part;
    at += part;
  }
  return pending ? finish() : Ok();
}

}  // namespace gpu
}  // namespace specattn

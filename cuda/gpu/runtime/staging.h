// Staging: copies between pageable host memory and the device through pinned buffers. Copies from and to pinned memory
// run at the speed of the bus, and a write can return before its bytes have arrived.
#pragma once
#include <cstddef>

#include "core/device.h"
#include "gpu/runtime/check_cuda.h"

namespace specattn {
namespace gpu {

class Staging {
 public:
  explicit Staging(cudaStream_t stream) : stream_(stream) {}
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Copies host to device, in the order of the stream. The caller may reuse `host` when this returns.
  Status CopyIn(void* device, const void* host, size_t bytes);
  // Copies `source` to the device: the source fills one slot while the previous slot is copied.
  Status CopyIn(void* device, Source& source, size_t bytes);
  // Copies device to host. Waits for everything queued before and for the copy itself.
  Status CopyOut(void* host, const void* device, size_t bytes);

 private:
  // Bytes of a slot: the small ring serves what fits into one small slot, the large ring everything else.
  static constexpr size_t kLargeBytes = size_t{8} << 20;
  static constexpr size_t kSmallBytes = size_t{64} << 10;
  static constexpr int kSmallSlots = 16, kLargeSlots = 4;

  struct Slot {
    void* data = nullptr;
    size_t bytes = 0;
    cudaEvent_t copied = nullptr;  // recorded after the slot's last copy
  };
  // Slots of one size, used in turn. Their memory is one allocation, made at the first use.
  struct Ring {
    Slot slots[kSmallSlots];
    void* memory = nullptr;
    int next = 0;
  };
  // Allocates a ring's memory and events; leaves the ring empty if that fails.
  Status Allocate(Ring* ring, int slots, size_t bytes);
  // Waits until the next slot is free. The slot has at least min(bytes, kLargeBytes) bytes.
  Status Next(size_t bytes, Slot** slot);
  // Queues the copy of a slot to the device; the slot is free again when the copy has ended.
  Status Send(void* device, Slot* slot, size_t bytes);

  cudaStream_t stream_;
  Ring small_, large_;
};

}  // namespace gpu
}  // namespace specattn

// Staging: pinned host memory through which data goes to the device and back, so that copies run at the bus's speed
// and a write returns while its bytes are still under way.
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

  // Host to device, in order with the stream; `host` may be used again at the return.
  Status In(void* device, const void* host, size_t bytes);
  // The same from a source, which fills a slot while the one before is under way.
  Status In(void* device, Source& source, size_t bytes);
  // Device to host; waits for everything before it.
  Status Out(void* host, const void* device, size_t bytes);

 private:
  static constexpr size_t kLarge = size_t{8} << 20;
  static constexpr size_t kSmall = size_t{64} << 10;
  static constexpr int kSmallSlots = 16, kLargeSlots = 4;

  struct Slot {
    void* data = nullptr;
    size_t bytes = 0;
    cudaEvent_t free = nullptr;  // recorded after the slot's last copy
  };
  // Slots of one size, taken in turns.
  struct Ring {
    Slot slots[kSmallSlots];
    void* memory = nullptr;
    int next = 0;
  };
  Status Make(Ring* ring, int slots, size_t bytes);
  // A slot that no copy uses, of at least min(bytes, kLarge), and its way to the device.
  Status Next(size_t bytes, Slot** slot);
  Status Send(void* device, Slot* slot, size_t bytes);

  cudaStream_t stream_;
  Ring small_, large_;
};

}  // namespace gpu
}  // namespace specattn

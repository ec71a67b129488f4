// Allocator: keeps freed device memory for the next tensor of its size, and a capture's memory for the
// capture alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "core/device.h"

namespace specattn {

// Buffers by handle: small numbers that JavaScript holds.
class Allocator {
 public:
  explicit Allocator(Device& device);
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // A new buffer of `bytes` (0 is fine). Fails with how much was asked for and what there is.
  Status Allocate(size_t bytes, int* handle);
  Status Free(int handle);
  // The buffer's start, or null where the handle is unknown; `bytes` is how much was asked for.
  void* Data(int handle, size_t* bytes = nullptr) const;

  // Between BeginPool and EndPool, buffers come from a pool of their own and go back to it even when they are
  // freed later, so that recorded launches keep their memory; freeing the pool gives it all back.
  void BeginPool(int pool) { recording_ = pool; }
  Status EndPool();
  void FreePool(int pool);

  // With SPECATTN_GUARD=1 every buffer has bytes of a known value before and after it. Whether those around
  // `data`, or around what a pool holds, are as they were; the error names `what` and how large the buffer is.
  bool guards() const { return guard_ > 0; }
  Status CheckGuards(const char* what, const void* data) const;
  Status CheckPool(const char* what, int pool) const;

  // Gives memory that no buffer uses, and the device's workspace, back to the system.
  void Trim();

  size_t bytes_in_use() const { return in_use_; }      // by buffers, as asked for
  size_t bytes_reserved() const { return reserved_; }  // held from the system
  size_t buffers() const { return buffers_; }

 private:
  struct Block {
    void* data = nullptr;
    size_t bytes = 0;     // asked for
    size_t capacity = 0;  // held
    int pool = 0;
    bool live = false;
  };
  using FreeList = std::multimap<size_t, void*>;  // by capacity

  bool Take(int pool, size_t capacity, Block* block);
  void* Reserve(size_t capacity);
  void Release(void* data, size_t capacity);
  // What is asked for of a new buffer: SPECATTN_POISON=1, that it is full of 0xff (NaN in every float type), so that a
  // kernel that leaves output unwritten shows; SPECATTN_GUARD=1, its guards.
  Status Prepare(void* data, size_t capacity);

  Device& device_;
  std::vector<Block> blocks_;
  std::vector<int> free_handles_;
  std::map<int, FreeList> pools_;  // 0: everybody's
  int recording_ = 0;
  const bool poison_;
  const size_t guard_;                      // bytes before and after each buffer
  std::unordered_map<void*, size_t> ends_;  // where a buffer's guard begins: the most that was asked of it
  std::unordered_map<void*, size_t> made_while_recording_;  // with their capacities
  size_t in_use_ = 0, reserved_ = 0, buffers_ = 0, cached_ = 0;
};

}  // namespace specattn

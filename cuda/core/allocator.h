// Allocator: a cache of device memory. It keeps freed buffers for later tensors of about their size, and keeps the memory that a
// capture uses for that capture alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "core/device.h"

namespace specattn {

// Buffers are known by handles, small numbers that JavaScript holds.
class Allocator {
 public:
  explicit Allocator(Device& device);
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // Makes a buffer of `bytes` bytes, which may be 0. The error says how much was asked for and how much there is.
  Status Allocate(size_t bytes, int* handle);
  Status Free(int handle);
  // The start of a buffer, or null if no buffer has the handle. `bytes` becomes the size that Allocate was given.
  void* Data(int handle, size_t* bytes = nullptr) const;

  // Between BeginPool and EndPool a capture is recorded. Buffers that are made or freed meanwhile belong to the pool of the
  // capture's number: their memory serves only that pool until FreePool, so that replays do not overwrite other tensors. FreePool
  // hands the pool's free memory to everybody; buffers that are alive go there when they are freed.
  void BeginPool(int pool) { recording_ = pool; }
  Status EndPool();
  void FreePool(int pool);

  // With SPECATTN_GUARD=1 every buffer has guards: bytes of a known value before and after it. These methods check the guards of
  // the buffer at `data`, or of all buffers of a pool. The error names `what`, the overwritten byte and the size of the buffer.
  bool guards() const { return guard_ > 0; }
  Status CheckGuards(const char* what, const void* data) const;
  Status CheckPool(const char* what, int pool) const;

  // Gives memory that no buffer and no capture uses back to the system, the device's workspace included.
  void Trim();

  size_t bytes_in_use() const { return in_use_; }      // sum of the sizes that live buffers were asked for
  size_t bytes_reserved() const { return reserved_; }  // memory taken from the system, cached memory included
  size_t buffers() const { return buffers_; }

 private:
  struct Block {
    void* data = nullptr;
    size_t bytes = 0;     // the size that was asked for
    size_t capacity = 0;  // the size that was allocated
    int pool = 0;         // where the memory goes when the buffer is freed
    bool live = false;
  };
  using FreeList = std::multimap<size_t, void*>;  // capacity to memory

  // Takes free memory of about `capacity` bytes from a pool; false if the pool has none.
  bool Take(int pool, size_t capacity, Block* block);
  // Memory from the system and back, guards included.
  void* Reserve(size_t capacity);
  void Release(void* data, size_t capacity);
  // Writes what the environment asks for into a new buffer. SPECATTN_POISON=1 fills it with 0xff, NaN in every float type, so that
  // output which a kernel leaves unwritten shows; SPECATTN_GUARD=1 writes its guards.
  Status Prepare(void* data, size_t capacity);

  Device& device_;
  std::vector<Block> blocks_;
  std::vector<int> free_handles_;
  std::map<int, FreeList> pools_;  // free memory; pool 0 serves everybody, the others a capture each
  int recording_ = 0;              // the pool between BeginPool and EndPool, else 0
  const bool poison_;
  const size_t guard_;                                           // bytes of a guard; 0: no guards
  std::unordered_map<void*, size_t> ends_;                       // offset of the guard after each buffer
  std::unordered_map<void*, size_t> made_while_recording_;       // buffer to capacity
  size_t in_use_ = 0, reserved_ = 0, buffers_ = 0, cached_ = 0;  // cached_: bytes of free memory in pool 0
};

}  // namespace specattn

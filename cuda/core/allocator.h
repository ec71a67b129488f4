// Allocator: a cache of device memory. It keeps freed buffers for later tensors of about their size, and keeps the memory that
// captures use for them alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
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

  // Makes a buffer of `bytes` bytes, which may be 0. The error says how much was asked for and how much there is. While a
  // capture is recorded, `apart` asks for memory that no other capture of the pool writes.
  Status Allocate(size_t bytes, int* handle, bool apart = false);
  Status Free(int handle);
  // The start of a buffer, or null if no buffer has the handle. `bytes` becomes the size that Allocate was given.
  void* Data(int handle, size_t* bytes = nullptr) const;

  // Between BeginCapture and EndCapture a capture is recorded, whose replays must not overwrite other tensors. Buffers that are
  // made meanwhile come from the capture's pool and return to it when they are freed. Captures of one pool share that memory:
  // their replays run one after the other, and each writes what it reads. So EndCapture refuses tensors that outlive the recording
  // of a capture with such a pool, except those that are apart. A buffer that was made before and is freed meanwhile may hold what
  // every replay reads, so its memory is kept out of use. FreeCapture gives memory that no other capture uses to everybody.
  void BeginCapture(int capture, int pool);
  Status EndCapture();
  void FreeCapture(int capture);

  // With SPECATTN_GUARD=1 every buffer has guards: bytes of a known value before and after it. These methods check the guards of
  // the buffer at `data`, or of all memory that a capture uses. The error names `what`, the overwritten byte and the size of the buffer.
  bool guards() const { return guard_ > 0; }
  Status CheckGuards(const char* what, const void* data) const;
  Status CheckCapture(const char* what, int capture) const;

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
  // Gives memory to everybody, or back to the system where enough is cached.
  void Share(void* data, size_t capacity);
  // Shares the memory in a list that no capture uses, and takes it from the list.
  void ShareUnused(FreeList* list);
  // Memory from the system and back, guards included.
  void* Reserve(size_t capacity);
  void Release(void* data, size_t capacity);
  // Writes what the environment asks for into a new buffer. SPECATTN_POISON=1 fills it with 0xff, NaN in every float type, so that
  // output which a kernel leaves unwritten shows; SPECATTN_GUARD=1 writes its guards.
  Status Prepare(void* data, size_t capacity);

  Device& device_;
  std::vector<Block> blocks_;
  std::vector<int> free_handles_;
  std::map<int, FreeList> pools_;  // free memory; pool 0 serves everybody, the others their captures
  FreeList unavailable_;  // free memory that no buffer may have until the captures that use it are freed
  std::map<int, int> captures_;                     // capture to pool
  std::unordered_map<void*, std::set<int>> users_;  // memory to the captures that use it, one or more
  int recording_ = 0;                               // the pool between BeginCapture and EndCapture, else 0
  int capture_ = 0;                                 // the capture meanwhile
  const bool poison_;
  const size_t guard_;                                           // bytes of a guard; 0: no guards
  std::unordered_map<void*, size_t> ends_;                       // offset of the guard after each buffer
  std::unordered_map<void*, size_t> made_while_recording_;       // buffer to capacity
  size_t in_use_ = 0, reserved_ = 0, buffers_ = 0, cached_ = 0;  // cached_: bytes of free memory in pool 0
};

}  // namespace specattn

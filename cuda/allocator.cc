#include "allocator.h"

#include <cstdlib>
#include <cstring>

namespace specattn {
namespace {

// Freed memory beyond this goes back to the system at once.
constexpr size_t kMaxCached = size_t{1} << 30;

// Sizes in steps of an eighth of a power of two, so that tensors of nearly one size share memory.
size_t RoundUp(size_t bytes) {
  constexpr size_t kSmallest = 256;
  if (bytes <= kSmallest) return kSmallest;
  size_t power = kSmallest;
  while (power <= bytes / 2) power *= 2;
  const size_t step = power / 8 < 64 ? 64 : power / 8;
  return (bytes + step - 1) / step * step;
}

// SPECATTN_POISON=1 fills new buffers with 0xff (NaN in every float type), so that a kernel that leaves
// output unwritten shows.
bool Poison() {
  static const bool poison = [] {
    const char* text = std::getenv("SPECATTN_POISON");
    return text && *text == '1';
  }();
  return poison;
}

}  // namespace

Allocator::~Allocator() {
  for (const Block& block : blocks_)
    if (block.live) device_.Free(block.data, block.capacity);
  for (const auto& pool : pools_)
    for (const auto& entry : pool.second) device_.Free(entry.second, entry.first);
}

bool Allocator::Take(int pool, size_t capacity, Block* block) {
  FreeList& list = pools_[pool];
  const auto entry = list.lower_bound(capacity);
  // A block up to an eighth larger will do; more would hoard.
  if (entry == list.end() || entry->first > capacity + capacity / 8) return false;
  block->data = entry->second;
  block->capacity = entry->first;
  if (pool == 0) cached_ -= entry->first;
  list.erase(entry);
  return true;
}

Status Allocator::Allocate(size_t bytes, int* handle) {
  Block block;
  block.bytes = bytes;
  block.pool = recording_;
  block.live = true;
  const size_t capacity = RoundUp(bytes);
  if (!Take(recording_, capacity, &block) && (recording_ == 0 || !Take(0, capacity, &block))) {
    block.capacity = capacity;
    block.data = device_.Allocate(capacity);
    if (!block.data) {
      Trim();
      block.data = device_.Allocate(capacity);
    }
    if (!block.data)
      return Error(
          "[allocate] %zu bytes asked for on device %s: %zu bytes are free, %zu are held in %zu tensors",
          bytes, device_.name(), device_.FreeBytes(), in_use_, buffers_);
    reserved_ += capacity;
  }
  if (Poison() && !recording_) {
    std::vector<unsigned char> ones(block.capacity, 0xff);
    const Status status = device_.CopyIn(block.data, ones.data(), block.capacity);
    if (!status.ok()) {
      device_.Free(block.data, block.capacity);
      reserved_ -= block.capacity;
      return status;
    }
  }
  if (free_handles_.empty()) {
    blocks_.push_back(block);
    *handle = static_cast<int>(blocks_.size()) - 1;
  } else {
    *handle = free_handles_.back();
    free_handles_.pop_back();
    blocks_[static_cast<size_t>(*handle)] = block;
  }
  in_use_ += bytes;
  ++buffers_;
  return Ok();
}

Status Allocator::Free(int handle) {
  if (!Data(handle)) return Error("[free] no buffer has the handle %d", handle);
  Block& block = blocks_[static_cast<size_t>(handle)];
  block.live = false;
  in_use_ -= block.bytes;
  --buffers_;
  // A buffer that recorded launches may refer to stays with them, even if it was made before.
  const int pool = block.pool ? block.pool : recording_;
  if (pool == 0 && cached_ + block.capacity > kMaxCached) {
    device_.Free(block.data, block.capacity);
    reserved_ -= block.capacity;
  } else {
    pools_[pool].emplace(block.capacity, block.data);
    if (pool == 0) cached_ += block.capacity;
  }
  block.data = nullptr;
  free_handles_.push_back(handle);
  return Ok();
}

void* Allocator::Data(int handle, size_t* bytes) const {
  if (handle < 0 || static_cast<size_t>(handle) >= blocks_.size()) return nullptr;
  const Block& block = blocks_[static_cast<size_t>(handle)];
  if (!block.live) return nullptr;
  if (bytes) *bytes = block.bytes;
  return block.data;
}

void Allocator::FreePool(int pool) {
  for (Block& block : blocks_)
    if (block.live && block.pool == pool) block.pool = 0;
  const auto entry = pools_.find(pool);
  if (entry == pools_.end() || pool == 0) return;
  for (const auto& free : entry->second) {
    pools_[0].insert(free);
    cached_ += free.first;
  }
  pools_.erase(pool);
}

void Allocator::Trim() {
  for (const auto& entry : pools_[0]) {
    device_.Free(entry.second, entry.first);
    reserved_ -= entry.first;
  }
  pools_[0].clear();
  cached_ = 0;
}

}  // namespace specattn

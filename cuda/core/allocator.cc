// How the Allocator rounds sizes, reuses freed memory, guards buffers and gives memory back to the system.
#include "core/allocator.h"

#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>

#include "core/sanitize.h"

namespace specattn {
namespace {

// The most free memory that pool 0, which serves everybody, keeps; what is freed beyond it goes back to the system at once.
constexpr size_t kMaxCached = size_t{1} << 30;

// Rounds a size up to a multiple of an eighth of a power of two, so that tensors of similar sizes can reuse each other's memory.
size_t RoundUp(size_t bytes) {
  if (kExactMemory) return bytes;
  constexpr size_t kSmallest = 256;
  if (bytes <= kSmallest) return kSmallest;
  size_t power = kSmallest;
  while (power <= bytes / 2) power *= 2;
  const size_t step = power / 8 < 64 ? 64 : power / 8;
  return (bytes + step - 1) / step * step;
}

bool IsSet(const char* variable) {
  const char* text = std::getenv(variable);
  return text && *text == '1';
}

// A multiple of 64, which keeps buffers aligned, and more than a kernel's widest store.
constexpr size_t kGuardBytes = 256;
constexpr unsigned char kGuardValue = 0xa5;  // a float of these bytes is neither 0 nor NaN

}  // namespace

Allocator::Allocator(Device& device)
    : device_(device), poison_(IsSet("SPECATTN_POISON")), guard_(IsSet("SPECATTN_GUARD") ? kGuardBytes : 0) {}

Allocator::~Allocator() {
  for (const Block& block : blocks_)
    if (block.live) Release(block.data, block.capacity);
  for (const auto& pool : pools_)
    for (const auto& entry : pool.second) Release(entry.second, entry.first);
  for (const auto& entry : unavailable_) Release(entry.second, entry.first);
}

void* Allocator::Reserve(size_t capacity) {
  char* const memory = static_cast<char*>(device_.Allocate(capacity + 2 * guard_));
  return memory ? memory + guard_ : nullptr;
}

void Allocator::Release(void* data, size_t capacity) {
  ends_.erase(data);
  device_.Free(static_cast<char*>(data) - guard_, capacity + 2 * guard_);
}

Status Allocator::Prepare(void* data, size_t capacity) {
  char* const begin = static_cast<char*>(data);
  if (poison_) {
    const std::vector<unsigned char> ones(capacity, 0xff);
    SPECATTN_RETURN_IF_ERROR(device_.CopyIn(begin, ones.data(), capacity));
  }
  if (!guard_) return Ok();
  const std::vector<unsigned char> guard(guard_, kGuardValue);
  SPECATTN_RETURN_IF_ERROR(device_.CopyIn(begin - guard_, guard.data(), guard_));
  return device_.CopyIn(begin + ends_[data], guard.data(), guard_);
}

Status Allocator::CheckGuards(const char* what, const void* data) const {
  const auto entry = ends_.find(const_cast<void*>(data));
  if (entry == ends_.end()) return Ok();
  const char* const begin = static_cast<const char*>(data);
  std::vector<unsigned char> guards(2 * guard_);
  SPECATTN_RETURN_IF_ERROR(device_.CopyOut(guards.data(), begin - guard_, guard_));
  SPECATTN_RETURN_IF_ERROR(device_.CopyOut(guards.data() + guard_, begin + entry->second, guard_));
  for (size_t i = guard_; i-- > 0;)
    SPECATTN_CHECK(guards[i] == kGuardValue, "[%s] the byte %zu before a buffer of %zu bytes was overwritten",
                   what, guard_ - i, entry->second);
  for (size_t i = 0; i < guard_; ++i)
    SPECATTN_CHECK(guards[guard_ + i] == kGuardValue,
                   "[%s] the byte %zu after a buffer of %zu bytes was overwritten", what, i + 1,
                   entry->second);
  return Ok();
}

Status Allocator::CheckCapture(const char* what, int capture) const {
  for (const auto& used : users_)
    if (used.second.count(capture) > 0) SPECATTN_RETURN_IF_ERROR(CheckGuards(what, used.first));
  return Ok();
}

bool Allocator::Take(int pool, size_t capacity, Block* block) {
  FreeList& list = pools_[pool];
  const auto entry = list.lower_bound(capacity);
  // Memory that is up to an eighth larger serves; larger memory would be wasted on this buffer.
  if (entry == list.end() || entry->first > capacity + capacity / 8) return false;
  block->data = entry->second;
  block->capacity = entry->first;
  if (pool == 0) cached_ -= entry->first;
  list.erase(entry);
  return true;
}

Status Allocator::Allocate(size_t bytes, int* handle, bool apart) {
  Block block;
  block.bytes = bytes;
  block.pool = apart ? 0 : recording_;
  block.live = true;
  const size_t capacity = RoundUp(bytes);
  const bool again = Take(block.pool, capacity, &block);
  if (!again && (block.pool == 0 || !Take(0, capacity, &block))) {
    block.capacity = capacity;
    block.data = Reserve(capacity);
    if (!block.data) {
      Trim();
      block.data = Reserve(capacity);
    }
    if (!block.data) {
      const size_t free = device_.FreeBytes();
      // A limit that the device does not know of, or free memory in pieces that are too small.
      if (free >= capacity)
        return Error(
            "[allocate] %zu bytes asked for on device %s: the system refuses them, though it reports %zu as "
            "free; "
            "%zu are held in %zu tensors",
            bytes, device_.name(), free, in_use_, buffers_);
      return Error(
          "[allocate] %zu bytes asked for on device %s: %zu bytes are free, %zu are held in %zu tensors",
          bytes, device_.name(), free, in_use_, buffers_);
    }
    reserved_ += capacity;
  }
  if (guard_) {
    // Several tensors of a capture may share this memory in turn, each with its own size: the guard stands after the largest.
    size_t& end = ends_[block.data];
    end = recording_ && again && end > bytes ? end : bytes;
  }
  if (recording_) {
    made_while_recording_[block.data] = block.capacity;
    users_[block.data].insert(capture_);
  } else {
    const Status status = Prepare(block.data, block.capacity);
    if (!status.ok()) {
      Release(block.data, block.capacity);
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
  const Status status = guard_ && !recording_ ? CheckGuards("free", block.data) : Ok();
  block.live = false;
  in_use_ -= block.bytes;
  --buffers_;
  const bool made_before = recording_ && made_while_recording_.count(block.data) == 0;
  if (made_before) users_[block.data].insert(capture_);
  if (users_.count(block.data) == 0) {
    Share(block.data, block.capacity);
  } else if (made_before || block.pool == 0) {
    unavailable_.emplace(block.capacity, block.data);
  } else {
    pools_[block.pool].emplace(block.capacity, block.data);
  }
  block.data = nullptr;
  free_handles_.push_back(handle);
  return status;
}

void* Allocator::Data(int handle, size_t* bytes) const {
  if (handle < 0 || static_cast<size_t>(handle) >= blocks_.size()) return nullptr;
  const Block& block = blocks_[static_cast<size_t>(handle)];
  if (!block.live) return nullptr;
  if (bytes) *bytes = block.bytes;
  return block.data;
}

void Allocator::BeginCapture(int capture, int pool) {
  captures_[capture] = recording_ = pool;
  capture_ = capture;
}

Status Allocator::EndCapture() {
  const int pool = recording_, capture = capture_;
  recording_ = capture_ = 0;
  const auto made = std::move(made_while_recording_);
  made_while_recording_.clear();
  for (const auto& buffer : made) SPECATTN_RETURN_IF_ERROR(Prepare(buffer.first, buffer.second));
  if (pool == capture) return Ok();
  for (const Block& block : blocks_)
    SPECATTN_CHECK(
        !block.live || block.pool != pool || made.count(block.data) == 0,
        "[capture] a tensor of %zu bytes outlives the step that made it: replays of other captures "
        "of the pool would overwrite it",
        block.bytes);
  return Ok();
}

void Allocator::FreeCapture(int capture) {
  const auto found = captures_.find(capture);
  if (found == captures_.end()) return;
  const int pool = found->second;
  captures_.erase(found);
  for (auto used = users_.begin(); used != users_.end();) {
    used->second.erase(capture);
    used = used->second.empty() ? users_.erase(used) : std::next(used);
  }
  for (Block& block : blocks_)
    if (block.live && block.pool == pool && users_.count(block.data) == 0) block.pool = 0;
  ShareUnused(&unavailable_);
  const auto list = pools_.find(pool);
  if (list == pools_.end()) return;
  ShareUnused(&list->second);
  if (list->second.empty()) pools_.erase(list);
}

void Allocator::ShareUnused(FreeList* list) {
  for (auto entry = list->begin(); entry != list->end();) {
    if (users_.count(entry->second) > 0) {
      ++entry;
    } else {
      Share(entry->second, entry->first);
      entry = list->erase(entry);
    }
  }
}

void Allocator::Share(void* data, size_t capacity) {
  if (kExactMemory || cached_ + capacity > kMaxCached) {
    Release(data, capacity);
    reserved_ -= capacity;
  } else {
    pools_[0].emplace(capacity, data);
    cached_ += capacity;
  }
}

void Allocator::Trim() {
  for (const auto& entry : pools_[0]) {
    Release(entry.second, entry.first);
    reserved_ -= entry.first;
  }
  pools_[0].clear();
  cached_ = 0;
  device_.TrimWorkspace();
}

}  // namespace specattn

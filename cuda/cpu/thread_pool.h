// ThreadPool: threads that share one loop at a time with the thread that runs it. A process has one pool.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/status.h"

namespace specattn {

class ThreadPool {
 public:
  using Body = void (*)(void* context, int64_t begin, int64_t end);

  // The most threads that a pool has, the calling thread included. JavaScript reads it as the addon's `maxThreads`.
  static constexpr int kMaxThreads = 1024;

  // The pool of this process, alive while anybody holds it. SPECATTN_THREADS sets its size (the calling thread included) when it is
  // made; the default is the number of processors that this process may use.
  static Status Get(std::shared_ptr<ThreadPool>* pool);

  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls `body` for ranges of at most `grain` that cover [0, count), and returns when all calls have returned. If another
  // thread is using the pool, the calling thread runs the whole loop alone.
  void Run(int64_t count, int64_t grain, Body body, void* context);

 private:
  // `state_` holds, in one word, the number of the current loop (in units of kEpoch), whether workers may join it (kOpen), and how
  // many have (in units of kJoined). A worker that wakes late finds the loop closed, so Run waits only for workers that joined.
  static constexpr uint64_t kOpen = 1, kJoined = 2, kJoinedMask = 0xfffe, kEpoch = 0x10000;
  static_assert(uint64_t{kMaxThreads} * kJoined <= kJoinedMask, "");

  void Work();                // a worker's life: join loops, poll, sleep
  bool Join(uint64_t* seen);  // joins the current loop, if it is open and not the one numbered *seen
  void Drain();               // runs ranges of the current loop until none is left

  std::vector<std::thread> workers_;
  std::mutex user_;  // held by the thread whose loop runs

  Body body_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0, grain_ = 1;

  alignas(64) std::atomic<uint64_t> state_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int> finished_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::mutex sleep_;
  std::condition_variable wake_;
  bool stop_ = false;
};

}  // namespace specattn

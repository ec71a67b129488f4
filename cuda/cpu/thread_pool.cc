// How the threads of a pool share a loop, and how they wait for the next one.
#include "cpu/thread_pool.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <system_error>
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace specattn {
namespace {

// How long a worker polls for work before it sleeps: longer than the gap between two kernels of a model, so that waking costs
// nothing while a model runs.
constexpr auto kPatience = std::chrono::microseconds(50);

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int DefaultThreads() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

Status FindThreads(int* threads) {
  const char* const text = std::getenv("SPECATTN_THREADS");
  if (!text) {
    *threads = std::min(DefaultThreads(), ThreadPool::kMaxThreads);
    return Ok();
  }
  const char* const end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, *threads);
  SPECATTN_CHECK(error == std::errc() && rest == end && *threads >= 1 && *threads <= ThreadPool::kMaxThreads,
                 "[threads] SPECATTN_THREADS must be a whole number from 1 to %d but is '%s'",
                 ThreadPool::kMaxThreads, text);
  return Ok();
}

}  // namespace

Status ThreadPool::Get(std::shared_ptr<ThreadPool>* found) {
  static std::mutex mutex;
  static std::weak_ptr<ThreadPool> pool;
  std::lock_guard<std::mutex> lock(mutex);
  *found = pool.lock();
  if (*found) return Ok();
  int threads = 1;
  SPECATTN_RETURN_IF_ERROR(FindThreads(&threads));
  pool = *found = std::make_shared<ThreadPool>(threads);
  return Ok();
}

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) {
    try {
      workers_.emplace_back(&ThreadPool::Work, this);
    } catch (const std::system_error&) {
      break;  // the pool works with the threads that the system granted
    }
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(sleep_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Drain() {
  for (;;) {
    const int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
    if (begin >= count_) return;
    body_(context_, begin, std::min(begin + grain_, count_));
  }
}

bool ThreadPool::Join(uint64_t* seen) {
  uint64_t state = state_.load(std::memory_order_acquire);
  while ((state & kOpen) && (state / kEpoch) != *seen) {
    if (state_.compare_exchange_weak(state, state + kJoined, std::memory_order_acq_rel)) {
      *seen = state / kEpoch;
      return true;
    }
  }
  return false;
}

void ThreadPool::Work() {
  uint64_t seen = 0;
  auto idle_since = std::chrono::steady_clock::now();
  for (int polls = 0;; ++polls) {
    if (Join(&seen)) {
      Drain();
      finished_.fetch_add(1, std::memory_order_release);
      idle_since = std::chrono::steady_clock::now();
      polls = 0;
      continue;
    }
    Pause();
    if (polls % 64 != 63 || std::chrono::steady_clock::now() - idle_since < kPatience) continue;
    std::unique_lock<std::mutex> lock(sleep_);
    sleepers_.fetch_add(1);
    wake_.wait(lock, [&] {
      const uint64_t state = state_.load();
      return stop_ || ((state & kOpen) && (state / kEpoch) != seen);
    });
    sleepers_.fetch_sub(1);
    if (stop_) return;
    idle_since = std::chrono::steady_clock::now();
  }
}

void ThreadPool::Run(int64_t count, int64_t grain, Body body, void* context) {
  std::unique_lock<std::mutex> user(user_, std::try_to_lock);
  if (!user.owns_lock() || workers_.empty()) {
    for (int64_t i = 0; i < count; i += grain) body(context, i, std::min(i + grain, count));
    return;
  }
  body_ = body;
  context_ = context;
  count_ = count;
  grain_ = grain;
  next_.store(0, std::memory_order_relaxed);
  finished_.store(0, std::memory_order_relaxed);
  state_.store((state_.load(std::memory_order_relaxed) / kEpoch + 1) * kEpoch + kOpen);
  if (sleepers_.load() > 0) {
    std::lock_guard<std::mutex> lock(sleep_);
    wake_.notify_all();
  }
  Drain();
  const uint64_t state = state_.fetch_and(~kOpen, std::memory_order_acq_rel);
  const int joined = static_cast<int>((state & kJoinedMask) / kJoined);
  // The workers finish soon, unless the system has taken a worker's core away. Yielding this core lets that worker go on.
  for (int polls = 0; finished_.load(std::memory_order_acquire) != joined; ++polls) {
    if (polls < 2000)
      Pause();
    else
      std::this_thread::yield();
  }
}

}  // namespace specattn

// Reads a stretch of a file in several threads.
#include "core/file_source.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "cpu/thread_pool.h"

namespace specattn {
namespace {

// Bytes that a thread reads at a time. Several threads read, since one thread that copies from the page cache uses only a
// fraction of the bandwidth of memory or of the bus to a GPU.
constexpr int64_t kGrain = int64_t{1} << 20;

struct Job {
  int fd;
  int64_t position;
  char* to;
  std::atomic<int> error{0};
  std::atomic<int64_t> end{INT64_MAX};  // the file's end, if a read reached it too early

  void Read(int64_t begin, int64_t stop) {
    while (begin < stop) {
      const ssize_t count = pread(fd, to + begin, static_cast<size_t>(stop - begin), position + begin);
      if (count > 0) {
        begin += count;
        continue;
      }
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        error = errno;
        return;
      }
      int64_t known = end;
      while (position + begin < known && !end.compare_exchange_weak(known, position + begin)) {
      }
      return;
    }
  }
};

}  // namespace

Status FileSource::Read(void* to, size_t at, size_t bytes) {
  Job job{fd_, position_ + static_cast<int64_t>(at), static_cast<char*>(to)};
  threads_->Run(
      static_cast<int64_t>(bytes), kGrain,
      [](void* context, int64_t begin, int64_t end) { static_cast<Job*>(context)->Read(begin, end); }, &job);
  if (job.error) return Error("cannot be read: %s", std::strerror(job.error));
  if (job.end != INT64_MAX)
    return Error("must have %lld bytes but ends at %lld",
                 static_cast<long long>(position_) + static_cast<long long>(bytes_),
                 static_cast<long long>(job.end));
  return Ok();
}

}  // namespace specattn

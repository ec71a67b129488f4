// FileSource: a stretch of a file as a Source. Several threads read it, straight into the memory that the device names.
#pragma once
#include <memory>

#include "core/device.h"

namespace specattn {

class ThreadPool;

class FileSource final : public Source {
 public:
  // The stretch is bytes [position, position + bytes) of the file that is open as `fd`, which the caller keeps open.
  FileSource(int fd, int64_t position, size_t bytes, std::shared_ptr<ThreadPool> threads)
      : fd_(fd), position_(position), bytes_(bytes), threads_(std::move(threads)) {}

  // An error's text continues a sentence that begins with the file's name.
  Status Read(void* to, size_t at, size_t bytes) override;

 private:
  int fd_;
  int64_t position_;
  size_t bytes_;
  std::shared_ptr<ThreadPool> threads_;
};

}  // namespace specattn

// FileSource: a stretch of a file, read by several threads.
#pragma once
#include <memory>

#include "core/device.h"

namespace specattn {

class ThreadPool;

class FileSource final : public Source {
 public:
  // Bytes [position, position + bytes) of the file that is open as `fd`.
  FileSource(int fd, int64_t position, size_t bytes, std::shared_ptr<ThreadPool> threads)
      : fd_(fd), position_(position), bytes_(bytes), threads_(std::move(threads)) {}

  // An error's text is to follow the file's name.
  Status Read(void* to, size_t at, size_t bytes) override;

 private:
  int fd_;
  int64_t position_;
  size_t bytes_;
  std::shared_ptr<ThreadPool> threads_;
};

}  // namespace specattn

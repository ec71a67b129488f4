// DeviceStream: the CUDA device's stream. What launches share (memory of their own, counters, cuBLASLt), what the last one wrote, and attention's
// weights that were put off.
#pragma once
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/launch_descriptor.h"
#include "gpu/matmul/blas.h"
#include "gpu/runtime/buffer.h"
#include "gpu/runtime/check_cuda.h"
#include "gpu/runtime/kernels.h"
#include "gpu/runtime/stream.h"

namespace specattn {
namespace gpu {

// The PTX version that this GPU's code was compiled from (kernel_version.cu): 90 for sm_90's.
Status KernelVersion(int* version);

constexpr Launcher kLaunchers[] = {
#define KERNEL(name, half) name,
#include "kernels.def"
#undef KERNEL
};

constexpr size_t kMinScratchBytes = size_t{4} << 20;
// 4 bytes x rows x heads x keys a call: of one row of TinyLlama's heads 0.25 MB at 2,000 keys, 4 MB at 32,000.
constexpr size_t kMinScoresBytes = size_t{64} << 20;

class DeviceStream final : public CudaStream {
 public:
  ~DeviceStream() override {
    if (stream_) cudaStreamDestroy(stream_);
  }

  Status Open(const cudaDeviceProp& properties) {
    processors_ = properties.multiProcessorCount;
    shared_bytes_ = static_cast<int64_t>(properties.sharedMemPerBlockOptin);
    SPECATTN_CUDA("make a stream", cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    counters_ = Make(kCounters * sizeof(unsigned));
    SPECATTN_CHECK(counters_, "[cuda] no memory for %d counters", kCounters);
    SPECATTN_CUDA("clear the counters", cudaMemsetAsync(counters_->data(), 0, counters_->bytes(), stream_));
    SPECATTN_RETURN_IF_ERROR(KernelVersion(&architecture_));
    const char* early = std::getenv("SPECATTN_EARLY_START");
    // Recordings know of early starts since CUDA 12.3.
    int driver = 0;
    SPECATTN_CUDA("ask for the driver's version", cudaDriverGetVersion(&driver));
    starts_early_ =
        architecture_ >= 90 && CUDART_VERSION >= 12030 && driver >= 12030 && !(early && *early == '0');
    blas_ = Blas::Open(blas_reason_, sizeof blas_reason_);
    return Ok();
  }

  void* Scratch(size_t bytes) override {
    if (++scratch_calls_ > 1) return nullptr;
    return Grow(&scratch_, bytes, kMinScratchBytes) ? scratch_->data() : nullptr;
  }
  cudaStream_t stream() const override { return stream_; }
  int processors() const override { return processors_; }
  int64_t shared_bytes_per_block() const override { return shared_bytes_; }
  int architecture() const override { return architecture_; }
  bool starts_early() const override { return starts_early_; }
  void Launched() override { launched_ = true; }
  void Appends(const void* cache, const int32_t* position) override {
    appending_.push_back({cache, position});
  }
  const int32_t* SettledBelow(const void* cache) const override {
    for (const Append& append : appended_)
      if (append.cache == cache) return append.position;
    return nullptr;
  }
  bool Settled(const void* data) const override {
    const auto* at = static_cast<const char*>(data);
    for (const Range& range : written_)
      if (at >= range.begin && at < range.end) return false;
    return true;
  }
  unsigned* Counters(int count) override {
    return count <= kCounters ? static_cast<unsigned*>(counters_->data()) : nullptr;
  }
  Blas* blas() override { return blas_.get(); }
  const char* blas_reason() const { return blas_reason_; }

  Status AllocateScores(size_t bytes, void** scores) override {
    *scores = nullptr;
    bytes = (bytes + 255) / 256 * 256;
    if (deferred_.empty()) scores_bytes_ = 0;
    if (deferred_.size() == kMaxDeferred || (scores_ && scores_bytes_ + bytes > scores_->bytes()))
      SPECATTN_RETURN_IF_ERROR(FlushSoftmax());
    if (!Grow(&scores_, scores_bytes_ + bytes, kMinScoresBytes)) return Ok();
    if (capturing_) Hold(scores_);
    *scores = static_cast<char*>(scores_->data()) + scores_bytes_;
    scores_bytes_ += bytes;
    return Ok();
  }
  void DeferSoftmax(const DeferredSoftmax& w) override {
    const int64_t listed = w.keys ? w.lists() * w.width : 0, lists = w.keys ? w.lists() : 0;
    deferred_.push_back(w);
    deferred_ranges_.push_back(
        {RangeOf(w.weights, w.size()),
         {RangeOf(w.position, w.position ? 1 : 0), RangeOf(w.keys, listed), RangeOf(w.bits, listed),
          RangeOf(w.counts, lists), RangeOf(w.weight_heads, w.weight_heads ? w.weight_rows : 0)}});
  }
  Status FlushSoftmax() override {
    if (deferred_.empty()) return Ok();
    const bool launched = launched_;
    const Status status = RunDeferredSoftmax(*this, deferred_.data(), static_cast<int>(deferred_.size()));
    launched_ = launched;
    SPECATTN_RETURN_IF_ERROR(status);
    appended_.clear();
    written_.clear();
    for (const DeferredRanges& ranges : deferred_ranges_) written_.push_back(ranges.weights);
    DropDeferred();
    return Ok();
  }
  void DropDeferred() {
    deferred_.clear();
    deferred_ranges_.clear();
    scores_bytes_ = 0;
  }

  // Launches, and keeps in mind what the launch writes.
  Status Run(Kernel kernel, const Args& args) {
    short_ = false;
    if (TouchesDeferred(args)) SPECATTN_RETURN_IF_ERROR(FlushSoftmax());
    launched_ = false;
    scratch_calls_ = 0;
    appending_.clear();
    const Status status = kLaunchers[kernel](*this, args);
    if (launched_) {
      appended_ = appending_;
      written_.clear();
      for (int i = 0; i < args.output_count; ++i) written_.push_back(RangeOf(args.outputs[i]));
    }
    SPECATTN_CHECK(scratch_calls_ <= 1, "[%s] the kernel asked for scratch memory %d times in one launch",
                   kKernels[kernel].name, scratch_calls_);
    return status;
  }

  // Bytes of the buffers that launches work in, those that only recordings hold included.
  size_t workspace_bytes() const {
    size_t bytes = 0;
    for (const std::weak_ptr<Buffer>& made : made_)
      if (const std::shared_ptr<Buffer> buffer = made.lock()) bytes += buffer->bytes();
    return bytes;
  }
  // Frees the scratch memory and the scores, save those that a recording holds or that weights are yet to be made from.
  void TrimWorkspace() {
    if (capturing_) return;
    if (scratch_.use_count() == 1) scratch_.reset();
    if (scores_.use_count() == 1 && FlushSoftmax().ok()) scores_.reset();
  }

  // Whether Run found no memory for what a launch needs beside its tensors.
  bool short_of_memory() const { return short_; }

  void BeginCapture() {
    capturing_ = true;
    if (scratch_) Hold(scratch_);
  }
  // The buffers that the recorded launches use.
  Buffers EndCapture() {
    capturing_ = false;
    if (scratch_) Hold(scratch_);
    Hold(counters_);
    return std::move(recorded_);
  }

 private:
  struct Range {
    const char *begin, *end;
    bool Meets(const Range& other) const { return begin < other.end && other.begin < end; }
  };
  template <class T, class Count>
  static Range RangeOf(const T* data, Count count) {
    const auto* begin = reinterpret_cast<const char*>(data);
    return {begin, begin + static_cast<size_t>(count) * sizeof(T)};
  }
  static Range RangeOf(const Tensor& x) { return RangeOf(x.as<char>(), x.bytes()); }

  // Of attention whose weights were put off.
  struct DeferredRanges {
    Range weights, read[5];
  };

  // (What a kernel writes of its inputs are rows of caches, which weights are not made of.)
  bool TouchesDeferred(const Args& args) const {
    for (const DeferredRanges& late : deferred_ranges_) {
      for (int i = 0; i < args.input_count; ++i)
        if (late.weights.Meets(RangeOf(args.inputs[i]))) return true;
      for (int i = 0; i < args.output_count; ++i) {
        const Range output = RangeOf(args.outputs[i]);
        if (late.weights.Meets(output)) return true;
        for (const Range& range : late.read)
          if (range.Meets(output)) return true;
      }
    }
    return false;
  }

  // Makes a buffer hold so many bytes; false, and it is as it was or gone, where there is no memory for it.
  bool Grow(std::shared_ptr<Buffer>* buffer, size_t bytes, size_t least) {
    if (*buffer && (*buffer)->bytes() >= bytes) return true;
    // Launches that are queued or recorded may still use the old one: cudaFree waits for the former, the recordings hold it
    // for the latter.
    const size_t wanted = bytes + bytes / 4;
    std::shared_ptr<Buffer> larger = Make(wanted < least ? least : wanted);
    if (!larger && !capturing_) buffer->reset();
    if (!larger) larger = Make(bytes);
    if (!larger) {
      short_ = true;
      return false;
    }
    if (capturing_ && *buffer) Hold(*buffer);
    *buffer = larger;
    return true;
  }
  std::shared_ptr<Buffer> Make(size_t bytes) {
    std::shared_ptr<Buffer> buffer = Buffer::Make(bytes);
    made_.erase(std::remove_if(made_.begin(), made_.end(), [](const auto& made) { return made.expired(); }),
                made_.end());
    if (buffer) made_.push_back(buffer);
    return buffer;
  }
  // Until the recording is disposed of.
  void Hold(const std::shared_ptr<Buffer>& buffer) {
    if (recorded_.empty() || recorded_.back() != buffer) recorded_.push_back(buffer);
  }

  cudaStream_t stream_ = nullptr;
  int processors_ = 0, architecture_ = 0;
  int64_t shared_bytes_ = 0;
  bool starts_early_ = false, launched_ = false, capturing_ = false, short_ = false;
  struct Append {
    const void* cache;
    const int32_t* position;
  };
  std::vector<Range> written_;                   // by the last launch that ran a kernel
  std::vector<Append> appended_, appending_;     // by that one; by the one being queued
  std::vector<DeferredSoftmax> deferred_;        // weights that were put off
  std::vector<DeferredRanges> deferred_ranges_;  // theirs
  std::shared_ptr<Buffer> scratch_, scores_, counters_;
  std::vector<std::weak_ptr<Buffer>> made_;  // every buffer of this stream that may be alive
  size_t scores_bytes_ = 0;                  // of scores_, in use
  int scratch_calls_ = 0;                    // in this launch
  Buffers recorded_;
  std::unique_ptr<Blas> blas_;
  char blas_reason_[128] = "";
};

}  // namespace gpu
}  // namespace specattn

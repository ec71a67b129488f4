// DeviceStream: the CUDA device's implementation of CudaStream. It owns what launches share (scratch memory, counters,
// cuBLASLt), remembers what the last launch wrote, and keeps the list of deferred softmaxes.
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

// Sets *version to the architecture that the kernels were compiled for (kernel_version.cu): 90 for sm_90.
Status KernelVersion(int* version);

constexpr Launcher kLaunchers[] = {
#define KERNEL(name, half) name,
#include "kernels.def"
#undef KERNEL
};

constexpr size_t kMinScratchBytes = size_t{4} << 20;
// A call's scores take 4 bytes x rows x heads x keys: 4 MB for one row of 32 heads over 32,000 keys.
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
    const char* early = std::getenv("SPECATTN_EARLY_START");  // 0 turns early starts off
    // CUDA graphs can contain early starts since CUDA 12.3.
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

  Status AllocateScores(size_t bytes, void** memory) override {
    *memory = nullptr;
    bytes = (bytes + 255) / 256 * 256;
    if (deferred_.empty()) scores_bytes_ = 0;  // a launch that failed may have left its share
    if (deferred_.size() == kMaxDeferred || (scores_ && scores_bytes_ + bytes > scores_->bytes()))
      SPECATTN_RETURN_IF_ERROR(FlushSoftmax());
    if (!Grow(&scores_, scores_bytes_ + bytes, kMinScoresBytes)) return Ok();
    if (capturing_) Hold(scores_);
    *memory = static_cast<char*>(scores_->data()) + scores_bytes_;
    scores_bytes_ += bytes;
    return Ok();
  }
  void DeferSoftmax(const DeferredSoftmax& call) override {
    const int64_t list_entries = call.keys ? call.lists() * call.width : 0,
                  lists = call.keys ? call.lists() : 0;
    deferred_.push_back(call);
    deferred_ranges_.push_back(
        {RangeOf(call.weights, call.size()),
         {RangeOf(call.position, call.position ? 1 : 0), RangeOf(call.keys, list_entries),
          RangeOf(call.bits, list_entries), RangeOf(call.counts, lists),
          RangeOf(call.weight_heads, call.weight_heads ? call.weight_rows : 0)}});
  }
  Status FlushSoftmax() override {
    if (deferred_.empty()) return Ok();
    // Run may be in the middle of a launcher: launched_ says whether that one has queued a kernel.
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

  // Calls a kernel's launcher, and remembers what the launch writes.
  Status Run(Kernel kernel, const Args& args) {
    short_of_memory_ = false;
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

  // Bytes of the buffers that launches work in, those that only captures hold included.
  size_t workspace_bytes() const {
    size_t bytes = 0;
    for (const std::weak_ptr<Buffer>& made : made_)
      if (const std::shared_ptr<Buffer> buffer = made.lock()) bytes += buffer->bytes();
    return bytes;
  }
  // Frees the scratch memory and the scores, except what a capture holds or what a deferred softmax will read.
  void TrimWorkspace() {
    if (capturing_) return;
    if (scratch_.use_count() == 1) scratch_.reset();
    if (scores_.use_count() == 1 && FlushSoftmax().ok()) scores_.reset();
  }

  // Whether the last Run failed to get scratch memory or memory for scores.
  bool short_of_memory() const { return short_of_memory_; }

  void BeginCapture() {
    capturing_ = true;
    if (scratch_) Hold(scratch_);
  }
  // Returns the buffers that the captured launches use.
  Buffers EndCapture() {
    capturing_ = false;
    if (scratch_) Hold(scratch_);
    Hold(counters_);
    return std::move(capture_buffers_);
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

  // The memory that a deferred softmax writes, and reads apart from scores_.
  struct DeferredRanges {
    Range weights, read[5];
  };

  // Whether a launch reads or writes the weights of a deferred softmax, or writes what it reads. A donated input is listed
  // among the outputs too, so the outputs are all that a launch writes.
  bool TouchesDeferred(const Args& args) const {
    for (const DeferredRanges& deferred : deferred_ranges_) {
      for (int i = 0; i < args.input_count; ++i)
        if (deferred.weights.Meets(RangeOf(args.inputs[i]))) return true;
      for (int i = 0; i < args.output_count; ++i) {
        const Range output = RangeOf(args.outputs[i]);
        if (deferred.weights.Meets(output)) return true;
        for (const Range& range : deferred.read)
          if (range.Meets(output)) return true;
      }
    }
    return false;
  }

  // Makes *buffer hold at least `bytes`; its contents are lost. Returns false if there is no memory: *buffer is then
  // unchanged during a capture and null otherwise.
  bool Grow(std::shared_ptr<Buffer>* buffer, size_t bytes, size_t min_bytes) {
    if (*buffer && (*buffer)->bytes() >= bytes) return true;
    // Launches that are queued or captured may still use the old buffer. cudaFree waits for those that are queued; a
    // capture holds the buffers of its own.
    const size_t wanted = bytes + bytes / 4;
    std::shared_ptr<Buffer> larger = Make(wanted < min_bytes ? min_bytes : wanted);
    if (!larger && !capturing_) buffer->reset();
    if (!larger) larger = Make(bytes);
    if (!larger) {
      short_of_memory_ = true;
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
  // Keeps a buffer alive until the capture in progress is freed.
  void Hold(const std::shared_ptr<Buffer>& buffer) {
    if (capture_buffers_.empty() || capture_buffers_.back() != buffer) capture_buffers_.push_back(buffer);
  }

  cudaStream_t stream_ = nullptr;
  int processors_ = 0, architecture_ = 0;
  int64_t shared_bytes_ = 0;
  bool starts_early_ = false, launched_ = false, capturing_ = false, short_of_memory_ = false;
  struct Append {
    const void* cache;
    const int32_t* position;
  };
  std::vector<Range> written_;                   // outputs of the last launch that queued a kernel
  std::vector<Append> appended_, appending_;     // declared by the last such launch, by the one being queued
  std::vector<DeferredSoftmax> deferred_;        // calls whose softmax is deferred
  std::vector<DeferredRanges> deferred_ranges_;  // memory of each call in deferred_
  std::shared_ptr<Buffer> scratch_, scores_, counters_;
  std::vector<std::weak_ptr<Buffer>> made_;  // every buffer of this stream that may be alive
  size_t scores_bytes_ = 0;                  // bytes of scores_ in use
  int scratch_calls_ = 0;                    // calls of Scratch in the launch being queued
  Buffers capture_buffers_;                  // buffers of the capture in progress
  std::unique_ptr<Blas> blas_;
  char blas_reason_[128] = "";
};

}  // namespace gpu
}  // namespace specattn

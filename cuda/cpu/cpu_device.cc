// The CPU device. A launch that is not recorded runs before Launch returns, on the threads of the pool, with the widest vector
// instructions that this processor has. A capture is a list of launches.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "core/launch_descriptor.h"
#include "core/sanitize.h"
#include "cpu/parallel.h"
#include "cpu/thread_pool.h"
#if defined(__linux__)
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

namespace specattn {

#define ISA(isa)                      \
  namespace isa {                     \
  extern const Launcher kLaunchers[]; \
  }
ISA(baseline)
ISA(avx2)
ISA(avx512)
#undef ISA

namespace {

struct InstructionSet {
  const char* name;
  const Launcher* launchers;
};

// The widest instruction set that was built and that this processor has, at most the one that SPECATTN_ISA (baseline, avx2 or
// avx512) names. `launchers` is null if there is none.
InstructionSet ChooseInstructionSet() {
#if defined(SPECATTN_HAS_avx2) || defined(SPECATTN_HAS_avx512)
  const char* wanted = std::getenv("SPECATTN_ISA");
  const auto allowed = [&](const char* name) {
    return !wanted || !*wanted || std::strcmp(wanted, name) == 0;
  };
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
#if defined(SPECATTN_HAS_avx512)
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (has_avx2 && has_avx512 && allowed("avx512")) return {"avx512", avx512::kLaunchers};
#endif
#if defined(SPECATTN_HAS_avx2)
  if (has_avx2 && (allowed("avx2") || allowed("avx512"))) return {"avx2", avx2::kLaunchers};
#endif
#if defined(SPECATTN_HAS_baseline)
  return {"baseline", baseline::kLaunchers};
#else
  return {"no kernels", nullptr};
#endif
}

void ProcessorName(char* out, size_t size) {
  std::snprintf(out, size, "CPU");
#if defined(__linux__)
  std::FILE* file = std::fopen("/proc/cpuinfo", "r");
  if (!file) return;
  char line[256];
  while (std::fgets(line, sizeof line, file)) {
    if (std::strncmp(line, "model name", 10) != 0) continue;
    const char* colon = std::strchr(line, ':');
    if (!colon) break;
    std::snprintf(out, size, "%s", colon + 2);
    out[std::strcspn(out, "\n")] = 0;
    break;
  }
  std::fclose(file);
#endif
}

constexpr size_t kHuge = size_t{2} << 20;  // bytes of a huge page

// The CPU device's stream: runs launches on a thread pool and owns their scratch memory.
class ThreadPoolStream final : public CpuStream {
 public:
  explicit ThreadPoolStream(std::shared_ptr<ThreadPool> threads) : threads_(std::move(threads)) {}
  ~ThreadPoolStream() override { std::free(scratch_); }

  // Runs one launch of the kernel.
  Status Run(const Launcher* launchers, Kernel kernel, const Args& args) {
    scratch_calls_ = 0;
    short_of_memory_ = false;
    const Status status = launchers[kernel](*this, args);
    SPECATTN_CHECK(scratch_calls_ <= 1, "[%s] the kernel asked for scratch memory %d times in one launch",
                   kKernels[kernel].name, scratch_calls_);
    return status;
  }

  // The memory is kept for later launches. It is allocated half as large again as asked for, so that attention, which needs
  // more with every token, does not allocate it anew at every step.
  void* Scratch(size_t bytes) override {
    if (++scratch_calls_ > 1) return nullptr;
    if (!scratch_ || bytes > scratch_bytes_ || kExactMemory) {
      FreeScratch();
      short_of_memory_ = (kExactMemory || !AllocateScratch(bytes + bytes / 2)) && !AllocateScratch(bytes);
    }
    return scratch_;
  }
  void Parallel(int64_t count, int64_t grain, Body body, void* context) override {
    threads_->Run(count, grain, body, context);
  }
  int threads() const override { return threads_->threads(); }

  bool short_of_memory() const { return short_of_memory_; }
  size_t scratch_bytes() const { return scratch_bytes_; }
  void FreeScratch() {
    std::free(scratch_);
    scratch_ = nullptr;
    scratch_bytes_ = 0;
  }

 private:
  bool AllocateScratch(size_t bytes) {
    void* data = nullptr;
    if (posix_memalign(&data, 64, bytes) != 0) return false;
    scratch_ = data;
    scratch_bytes_ = bytes;
    return true;
  }

  std::shared_ptr<ThreadPool> threads_;
  void* scratch_ = nullptr;
  size_t scratch_bytes_ = 0;
  int scratch_calls_ = 0;         // in this launch
  bool short_of_memory_ = false;  // of scratch, in this launch
};

// A recorded launch, with copies of everything that Args points to.
struct RecordedLaunch {
  Kernel kernel;
  std::vector<Tensor> inputs, outputs;
  std::vector<double> attrs;

  Args args() const {
    return {inputs.data(), static_cast<int>(inputs.size()), outputs.data(), static_cast<int>(outputs.size()),
            attrs.data(),  static_cast<int>(attrs.size())};
  }
};

// A capture on the CPU: a list of launches that a replay runs one after the other.
class LaunchList final : public Capture {
 public:
  LaunchList(ThreadPoolStream& stream, const Launcher* launchers) : stream_(stream), launchers_(launchers) {}
  void Add(Kernel kernel, const Args& args) {
    launches_.push_back({kernel,
                         {args.inputs, args.inputs + args.input_count},
                         {args.outputs, args.outputs + args.output_count},
                         {args.attrs, args.attrs + args.attr_count}});
  }
  void Mark() {
    marks_.push_back(launches_.size());
    for (std::vector<double>& times : times_) times.push_back(0);
  }

  Status Replay() override {
    std::vector<double>& times = times_[(replays_ + 1) % 2];
    auto start = Clock::now();
    size_t next = 0;
    for (size_t mark = 0; mark <= marks_.size(); ++mark) {
      for (const size_t end = mark < marks_.size() ? marks_[mark] : launches_.size(); next < end; ++next)
        SPECATTN_RETURN_IF_ERROR(stream_.Run(launchers_, launches_[next].kernel, launches_[next].args()));
      if (mark == marks_.size()) break;
      const auto now = Clock::now();
      times[mark] = std::chrono::duration<double, std::milli>(now - start).count();
      start = now;
    }
    ++replays_;
    return Ok();
  }
  int Launches() const override { return static_cast<int>(launches_.size()); }
  int Times(int back, double* milliseconds, int capacity) override {
    const std::vector<double>& times = times_[(replays_ + static_cast<unsigned>(back)) % 2];
    const int count = std::min(capacity, static_cast<int>(times.size()));
    std::copy_n(times.begin(), count, milliseconds);
    return count;
  }

 private:
  using Clock = std::chrono::steady_clock;

  ThreadPoolStream& stream_;
  const Launcher* const launchers_;
  std::vector<RecordedLaunch> launches_;
  std::vector<size_t> marks_;     // the number of launches before each mark
  std::vector<double> times_[2];  // the times of replay i are in times_[i % 2]
  unsigned replays_ = 0;
};

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(std::shared_ptr<ThreadPool> threads)
      : isa_(ChooseInstructionSet()), stream_(std::move(threads)) {
    char processor[128];
    ProcessorName(processor, sizeof processor);
    std::snprintf(description_, sizeof description_, "%s, %d thread%s, %s", processor, stream_.threads(),
                  stream_.threads() == 1 ? "" : "s", isa_.name);
  }

  const char* name() const override { return "cpu"; }
  const char* description() const override { return description_; }

  void* Allocate(size_t bytes) override {
    const size_t alignment = bytes >= 2 * kHuge ? kHuge : 64;
    void* data = nullptr;
    if (posix_memalign(&data, alignment, bytes) != 0) return nullptr;
#if defined(__linux__)
    if (alignment == kHuge) madvise(data, bytes, MADV_HUGEPAGE);  // fewer page walks while weights stream by
#endif
    return data;
  }
  void Free(void* data, size_t) override { std::free(data); }
  size_t FreeBytes() const override {
#if defined(__linux__)
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t free = static_cast<size_t>(sysconf(_SC_AVPHYS_PAGES)) * page;
    // `ulimit -v` may leave the process less than the machine has.
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return free;
    size_t used = 0;
    if (FILE* file = std::fopen("/proc/self/statm", "r")) {
      if (std::fscanf(file, "%zu", &used) != 1) used = 0;
      std::fclose(file);
    }
    used *= page;
    const size_t left = limit.rlim_cur > used ? limit.rlim_cur - used : 0;
    return left < free ? left : free;
#else
    return 0;
#endif
  }
  size_t WorkspaceBytes() const override { return stream_.scratch_bytes(); }
  void TrimWorkspace() override { stream_.FreeScratch(); }

  Status CopyIn(void* device, const void* host, size_t bytes) override {
    if (capture_) return Error("[capture] data can't be written to the device while launches are recorded");
    if (bytes) std::memcpy(device, host, bytes);
    return Ok();
  }
  Status CopyInFrom(void* device, Source& source, size_t bytes) override {
    if (capture_) return Error("[capture] data can't be written to the device while launches are recorded");
    return source.Read(device, 0, bytes);
  }
  Status CopyOut(void* host, const void* device, size_t bytes) override {
    if (capture_) return Error("[capture] data can't be read from the device while launches are recorded");
    if (bytes) std::memcpy(host, device, bytes);
    return Ok();
  }

  Status Launch(Kernel kernel, const Args& args) override {
    if (!capture_) return stream_.Run(isa_.launchers, kernel, args);
    capture_->Add(kernel, args);
    return Ok();
  }
  bool short_of_memory() const override { return stream_.short_of_memory(); }
  Status Synchronize() override { return Ok(); }

  Status BeginCapture() override {
    if (capture_) return Error("[capture] launches are being recorded already");
    capture_.reset(new LaunchList(stream_, isa_.launchers));
    return Ok();
  }
  Status Mark() override {
    if (!capture_) return Error("[mark] no launches are being recorded");
    capture_->Mark();
    return Ok();
  }
  Status EndCapture(std::unique_ptr<Capture>* capture) override {
    if (!capture_) return Error("[capture] no launches are being recorded");
    *capture = std::move(capture_);
    return Ok();
  }

 private:
  InstructionSet isa_;
  ThreadPoolStream stream_;
  char description_[256];
  std::unique_ptr<LaunchList> capture_;
};

}  // namespace

void ProbeCpu(Probe* probe) {
  *probe = {"cpu", "", ""};
  std::unique_ptr<Device> device;
  const Status status = OpenCpu(&device);
  if (status.ok()) std::snprintf(probe->description, sizeof probe->description, "%s", device->description());
  if (!status.ok()) std::snprintf(probe->reason, sizeof probe->reason, "%s", status.message);
}

Status OpenCpu(std::unique_ptr<Device>* device) {
  SPECATTN_CHECK(ChooseInstructionSet().launchers,
                 "[cpu] this build has no kernels for this processor's instructions (or SPECATTN_ISA's)");
  std::shared_ptr<ThreadPool> threads;
  SPECATTN_RETURN_IF_ERROR(ThreadPool::Get(&threads));
  device->reset(new (std::nothrow) CpuDevice(std::move(threads)));
  return *device ? Ok() : Error("[cpu] out of memory");
}

}  // namespace specattn

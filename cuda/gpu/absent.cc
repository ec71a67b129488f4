// The CUDA device of a build without a CUDA compiler: it cannot be opened and says why. CMakeLists.txt links this file
// in place of cuda_device.cc and defines SPECATTN_GPU_ABSENT as the reason.
#include <cstdio>

#include "core/device.h"

namespace specattn {
namespace {

constexpr char kReason[] = "this build of the addon has no CUDA device: " SPECATTN_GPU_ABSENT;

}  // namespace

void ProbeCuda(Probe* probe) {
  *probe = {"cuda", "", ""};
  std::snprintf(probe->reason, sizeof probe->reason, "%s", kReason);
}

Status OpenCuda(std::unique_ptr<Device>*) { return Error("[cuda] %s", kReason); }

}  // namespace specattn

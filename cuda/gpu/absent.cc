// Linked in place of the CUDA device where there is no CUDA compiler; CMakeLists.txt says why.
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

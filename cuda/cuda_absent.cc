// Linked in place of the CUDA device where there is no CUDA compiler.
#include <cstdio>

#include "device.h"

namespace specattn {

void ProbeCuda(Probe* probe) {
  *probe = {"cuda", "", ""};
  std::snprintf(probe->reason, sizeof probe->reason, "this build of the addon has no CUDA device");
}

Status OpenCuda(std::unique_ptr<Device>*) {
  return Error("[cuda] this build of the addon has no CUDA device");
}

}  // namespace specattn

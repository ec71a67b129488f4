// Devices: the addon's functions that open devices. The TensorFlow adapter, a library without kernels of its own, receives
// them through JavaScript.
#pragma once
#include <memory>

#include "core/device.h"

namespace specattn {

// All kernels' names in order. The adapter compares its list with the addon's to refuse an addon of another build.
constexpr char kKernelNames[] =
#define KERNEL(name, half) #name "\n"
#include "kernels.def"
#undef KERNEL
    ;

struct Devices {
  const char* kernel_names;
  Status (*open_cpu)(std::unique_ptr<Device>* device);
  Status (*open_cuda)(std::unique_ptr<Device>* device);
  void (*probe_cuda)(Probe* probe);
};

}  // namespace specattn

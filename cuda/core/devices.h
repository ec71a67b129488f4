// What the addon hands to the TensorFlow adapter, which has no kernels of its own: its devices.
#pragma once
#include <memory>

#include "core/device.h"

namespace specattn {

// Tells two builds with other kernels apart.
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

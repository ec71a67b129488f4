// A libFuzzer program (tools/fuzz-native.js). It turns bytes into a launch descriptor, as JavaScript would write one, and runs
// it on the CPU device under sanitizers. Guided by coverage, libFuzzer finds descriptors that pass the launchers' checks and
// reach the kernels.
//
// The bytes, in order:
//   kernel, number of inputs, of outputs, of attributes    a byte each
//   for each tensor: buffer, dtype, rank, dimensions       a byte each
//   for each attribute: its number                         a byte
//   the content of the buffers                             the rest, repeated
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "core/launch_descriptor.h"

namespace {

using specattn::Allocator;

constexpr double kOdd[] = {NAN,    INFINITY, -INFINITY, -0.0,   0.5,    -1,          1e300, -1e300,
                           5e-324, 0x1p31,   -0x1p31,   0x1p32, 0x1p53, 0x1p63,      1e-5,  0x1p31 - 1,
                           255,    256,      257,       1000,   0x1p48, -0x1p53 - 2, 0.9,   0.1};
constexpr size_t kMostBytes = 1 << 18;

class Bytes {
 public:
  Bytes(const uint8_t* at, size_t size) : at_(at), end_(at + size) {}
  int Next() { return at_ < end_ ? *at_++ : 0; }
  // A number: bytes below 200 stand for themselves, the others for the odd numbers of kOdd.
  double Number() {
    const int byte = Next();
    return byte < 200 ? byte : kOdd[(byte - 200) % (sizeof kOdd / sizeof *kOdd)];
  }
  const uint8_t* rest() const { return at_; }
  size_t left() const { return static_cast<size_t>(end_ - at_); }

 private:
  const uint8_t *at_, *end_;
};

void Check(specattn::Status status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.message);
  std::abort();
}

specattn::Device* TheDevice() {
  static std::unique_ptr<specattn::Device> device;
  if (!device) Check(specattn::OpenCpu(&device));
  return device.get();
}

// The bytes of a tensor with these dimensions, or 64 if they are no size or more than kMostBytes.
size_t BytesOf(const double* dims, int rank, int dtype) {
  double bytes = dtype == 4 ? 1 : dtype == 1 || dtype == 2 ? 2 : 4;
  for (int i = 0; i < rank; ++i) bytes *= dims[i];
  return bytes >= 0 && bytes <= kMostBytes ? static_cast<size_t>(bytes) : 64;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  specattn::Device* const device = TheDevice();
  Allocator allocator(*device);
  Bytes bytes(data, size);
  const int kernel = bytes.Next(), inputs = bytes.Next() % 9, outputs = bytes.Next() % 6,
            attrs = bytes.Next() % 9;
  std::vector<double> descriptor = {static_cast<double>(kernel % (specattn::kKernelCount + 1)),
                                    static_cast<double>(inputs), static_cast<double>(outputs),
                                    static_cast<double>(attrs)};
  std::vector<int> handles;
  for (int i = 0; i < inputs + outputs; ++i) {
    const int buffer = bytes.Next(), dtype = bytes.Next() % 6, rank = bytes.Next() % 10;
    double dims[10];
    for (int d = 0; d < rank; ++d) dims[d] = bytes.Number();
    int handle = 0;
    // Buffers from 200 on stand for the buffer of an earlier tensor, whether the kernel allows that or not.
    if (buffer >= 200 && !handles.empty())
      handle = handles[static_cast<size_t>(buffer) % handles.size()];
    else
      Check(allocator.Allocate(BytesOf(dims, rank, dtype), &handle));
    handles.push_back(handle);
    descriptor.insert(descriptor.end(),
                      {static_cast<double>(handle), static_cast<double>(dtype), static_cast<double>(rank)});
    descriptor.insert(descriptor.end(), dims, dims + rank);
  }
  for (int i = 0; i < attrs; ++i) descriptor.push_back(bytes.Number());
  for (const int handle : handles) {
    size_t held = 0;
    char* const to = static_cast<char*>(allocator.Data(handle, &held));
    for (size_t at = 0; at < held; ++at)
      to[at] = bytes.left() ? static_cast<char>(bytes.rest()[at % bytes.left()]) : 0;
  }
  descriptor.resize(specattn::kDescriptorLength, NAN);

  specattn::LaunchReader reader;
  specattn::Launch launch;
  specattn::Status status = reader.Read(descriptor.data(), allocator, &launch);
  if (status.ok()) status = device->Launch(launch.kernel, launch.args);
  // Every error message begins with the name of its op in brackets.
  if (!status.ok() && status.message[0] != '[') std::abort();
  return 0;
}

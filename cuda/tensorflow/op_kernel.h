// OpKernel: runs a kernel of kernels.def on tensors of TensorFlow.
#pragma once
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "core/device.h"
#include "tensorflow/auto_status.h"

namespace specattn {
namespace tensorflow {

// The kernels' names by number.
extern const char* const kNames[kKernelCount];

// A device on which ops run.
struct Placement {
  std::mutex mutex;  // held during a launch: TensorFlow's threads run ops, a device takes one at a time
  Device* device = nullptr;  // never closed, since TensorFlow may run ops until the process ends
};

// How many donated inputs were copied so far, because TensorFlow did not forward their buffers to the outputs.
int64_t Copies();

// An op's kernel with the attributes of one node. TensorFlow makes one for each combination of attributes and keeps it.
class OpKernel {
 public:
  explicit OpKernel(Kernel kernel) : kernel_(kernel) {}

  // Parses the op's attributes (DefineOp in op.h describes them).
  Status Init(const std::string& outputs, const std::string& attrs);

  // Allocates the outputs, launches the kernel on the context's inputs and waits for it.
  Status Run(Placement& placement, TF_OpKernelContext* context) const;

 private:
  struct Output {
    std::vector<int64_t> numbers;  // the dimensions, unless the output replaces an input
    int replaces = -1;             // the number of the input that the output replaces; -1: none
  };

  Status Allocate(TF_OpKernelContext* context, int i, const AutoStatus& status, Tensor* output) const;

  const Kernel kernel_;
  std::vector<Output> outputs_;
  std::vector<double> attrs_;
};

}  // namespace tensorflow
}  // namespace specattn

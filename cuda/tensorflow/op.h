// A kernel of kernels.def as TensorFlow ops.
#pragma once
#include <string>

#include "core/devices.h"
#include "tensorflow/c_api.h"

namespace specattn {
namespace tensorflow {

// Where ops run: TensorFlow's "CPU", and its "GPU" where the addon has a GPU of its own to launch on.
Status OpenDevices(const CApi& api, const Devices& devices);

// How many donated buffers were copied so far, since TensorFlow did not let them be forwarded.
int64_t Copies();

// Whether ops are registered for TensorFlow's GPU; if not, why.
const char* GpuReason();

// Defines the op of a kernel for inputs and outputs of these dtypes, a letter each: f(loat), i(nt32), b(ool). Once for each of them:
// TensorFlow's C API has no list of dtypes that tfjs-node could set. `name` becomes "Specattn" + kernel + "_" + inputs + "_" + outputs.
//
// attr outputs  for each output, after a ';' from the second on, either its dimensions, "5,320", or "@" and the number of the input that
//               it replaces: the input's buffer where TensorFlow lets it be forwarded (nobody else holds it), else a copy of it
// attr attrs    the launch's numbers, "1e-05,1,0". Text, since TensorFlow's own numbers would be rounded to float32.
Status DefineOp(const char* kernel, const char* inputs, const char* outputs, std::string* name);

}  // namespace tensorflow
}  // namespace specattn

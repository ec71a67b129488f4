// Defines TensorFlow ops that run the kernels of kernels.def.
#pragma once
#include <string>

#include "core/devices.h"
#include "tensorflow/c_api.h"

namespace specattn {
namespace tensorflow {

// Opens the devices on which ops run: the CPU, and a GPU if the addon can use one. Must come before DefineOp. Fails if the
// addon was built with other kernels than the adapter.
Status OpenDevices(const CApi& api, const Devices& devices);

// Why ops are not registered for TensorFlow's GPU; empty if they are.
const char* GpuReason();

// Defines the op of a kernel for one list of input dtypes and one of output dtypes, a letter each: f(loat), i(nt32), b(ool). Every
// combination is an op of its own, since tfjs-node cannot set a list of dtypes as an attribute. `name` becomes
// "Specattn" + kernel + "_" + inputs + "_" + outputs. Defining an op again does nothing.
//
// The op has two attributes, both text:
//   outputs  for each output, separated by ';', either its dimensions ("5,320"), or '@' and the number of the donated input that
//            the output replaces. Such an output has the input's buffer if nobody else holds it, else a copy.
//   attrs    the launch's attributes ("1e-05,1,0"). They are text because TensorFlow would round numbers to float32.
Status DefineOp(const char* kernel, const char* inputs, const char* outputs, std::string* name);

}  // namespace tensorflow
}  // namespace specattn

// RotaryEmbedding on CUDA: RotaryAppend's kernel without key and value heads.
#include "gpu/primitives/rotary.h"
#include "gpu/runtime/kernels.h"
#include "kernels/rotary_embedding.h"

namespace specattn {
namespace gpu {

Status RotaryEmbedding(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckRotaryEmbedding(args));
  const Tensor& x = args.inputs[0];
  RotaryCall call{};
  call.rows = x.dims[0];
  call.heads = x.dims[1];
  call.size = x.dims[2];
  call.qkv = x.as<float>();
  call.position = args.inputs[1].as<int32_t>();
  call.frequencies = args.inputs[2].as<float>();
  call.scale = static_cast<float>(args.attrs[0]);
  call.q = args.outputs[0].as<float>();
  return Rotate(static_cast<CudaStream&>(stream), "RotaryEmbedding", call);
}

}  // namespace gpu
}  // namespace specattn

// SparseAttention on CUDA. The listed keys go through the kernels of CausalAttention's decoding
// (gpu/attention/decode_attention.cuh), so that with every key listed the results are equal to the bit.
#include "gpu/attention/decode_attention.cuh"
#include "gpu/runtime/check_cuda.h"
#include "gpu/runtime/kernels.h"
#include "kernels/sparse_attention.h"

namespace specattn {
namespace gpu {

Status SparseAttention(Stream& stream, const Args& args) {
  auto& cuda = static_cast<CudaStream&>(stream);
  SparseAttentionCall call{};
  SPECATTN_RETURN_IF_ERROR(CheckSparseAttention(args, &call));
  // Without queries or keys every output is zeros.
  if (call.out->size() == 0 || call.shape.capacity == 0 || call.width == 0) {
    for (const Tensor* output : {call.out, call.weights})
      if (output && output->size() > 0)
        SPECATTN_CUDA("clear a tensor", cudaMemsetAsync(output->data, 0, output->bytes(), cuda.stream()));
    return Ok();
  }
  DecodeCall decode{"SparseAttention", call.shape, call.scale, call.q, call.k, call.v, call.out};
  decode.keys = call.keys->as<int32_t>() + call.first_set * call.width;
  decode.bits = call.bits->as<int32_t>() + call.first_set * call.width;
  decode.counts = call.counts->as<int32_t>() + call.first_set;
  decode.width = call.width;
  decode.weights = call.weights;
  decode.weight_rows = call.sets;
  decode.set_per_kv_head = call.sets > 1;
  decode.position = call.position;
  decode.window = call.window;
  return DecodeAttention<true>(cuda, decode);
}

}  // namespace gpu
}  // namespace specattn

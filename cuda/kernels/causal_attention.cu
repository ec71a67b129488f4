// CausalAttention on CUDA. Up to 32 rows, as in decoding, are bound by memory and go to DecodeAttention. More rows are
// bound by arithmetic and go to PrefillAttention.
#include "gpu/attention/decode_attention.cuh"
#include "gpu/attention/prefill_attention.h"
#include "gpu/runtime/check_cuda.h"
#include "gpu/runtime/kernels.h"
#include "kernels/causal_attention.h"

namespace specattn {
namespace gpu {

Status CausalAttention(Stream& stream, const Args& args) {
  auto& cuda = static_cast<CudaStream&>(stream);
  CausalAttentionCall call{};
  SPECATTN_RETURN_IF_ERROR(CheckCausalAttention(args, &call));
  if (call.empty()) {
    for (const Tensor* output : {call.out, call.weights})
      if (output && output->size() > 0)
        SPECATTN_CUDA("clear a tensor", cudaMemsetAsync(output->data, 0, output->bytes(), cuda.stream()));
    return Ok();
  }
  if (call.shape.rows > kDecodingRows) return PrefillAttention(cuda, call);
  DecodeCall decode{"CausalAttention", call.shape, call.scale, call.q, call.k, call.v, call.out};
  decode.position = call.position->as<int32_t>();
  decode.window = call.window;
  decode.weights = call.weights;
  decode.weight_rows = call.weight_rows;
  decode.weight_heads = call.heads;
  return DecodeAttention<false>(cuda, decode);
}

}  // namespace gpu
}  // namespace specattn

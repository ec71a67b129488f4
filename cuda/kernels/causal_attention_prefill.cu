// PrefillAttention: CausalAttention of more than 32 rows. Caches of a half type with a suitable head size go to
// FlashAttention on the tensor cores, all others to PlainAttention. The attention weights, which `calibrate` asks for,
// always come from PlainAttention: it computes in float32, so that a row of weights sums to 1 to float32's precision.
#include "gpu/attention/flash_attention.cuh"
#include "gpu/attention/plain_attention.cuh"
#include "gpu/attention/prefill_attention.h"

namespace specattn {
namespace gpu {

Status PrefillAttention(CudaStream& stream, const CausalAttentionCall& call) {
  const char* op = "CausalAttention";
  const AttentionShape& s = call.shape;
  const DType storage = call.k->dtype;
  const bool flash = SuitsFlashAttention(storage, s.head_size);
  if (flash) {
    const FlashAttention p{call.q->as<float>(),
                           call.k->data,
                           call.v->data,
                           call.position->as<int32_t>(),
                           call.out->as<float>(),
                           s.rows,
                           s.heads,
                           s.kv_heads,
                           s.capacity,
                           static_cast<int>(s.head_size),
                           static_cast<int>(call.window),
                           call.scale};
    SPECATTN_RETURN_IF_ERROR(storage == DType::kBFloat16 ? RunFlashAttention<BFloat16>(stream, op, p)
                                                         : RunFlashAttention<Float16>(stream, op, p));
    if (!call.weights) return Ok();
  }
  const size_t bytes = static_cast<size_t>(s.heads * s.rows) * sizeof(float2);
  float2* stats = static_cast<float2*>(stream.Scratch(bytes));
  SPECATTN_CHECK(stats, "[%s] no scratch memory for %zu bytes", op, bytes);
  const PlainAttention p{call.q->as<float>(),
                         call.k->data,
                         call.v->data,
                         call.position->as<int32_t>(),
                         stats,
                         flash ? nullptr : call.out->as<float>(),
                         call.weights ? call.weights->as<float>() : nullptr,
                         call.weight_rows,
                         call.heads,
                         s.rows,
                         s.heads,
                         s.kv_heads,
                         s.capacity,
                         s.head_size,
                         call.window,
                         call.scale};
  return WithFloat(storage,
                   [&](auto element) { return RunPlainAttention<decltype(element)>(stream, op, p); });
}

}  // namespace gpu
}  // namespace specattn

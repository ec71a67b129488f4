// PrefillAttention: CausalAttention of more rows than a decoding step has, such as a prompt's. Its time is limited by
// arithmetic and not by memory.
#pragma once
#include "gpu/runtime/stream.h"
#include "kernels/causal_attention.h"

namespace specattn {
namespace gpu {

// The most rows that decode_attention.cuh takes.
constexpr int64_t kDecodingRows = 32;

// `call` must be checked, not empty(), and have more than kDecodingRows rows.
Status PrefillAttention(CudaStream& stream, const CausalAttentionCall& call);

}  // namespace gpu
}  // namespace specattn

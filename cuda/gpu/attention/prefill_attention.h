// PrefillAttention: CausalAttention of many rows (a prompt's), where arithmetic and not memory is the limit.
#pragma once
#include "gpu/runtime/stream.h"
#include "kernels/causal_attention.h"

namespace specattn {
namespace gpu {

constexpr int64_t kDecodingRows = 32;  // up to as many rows are decoding's: decode_attention.cuh

// The call is checked, not empty(), and has more than kDecodingRows rows.
Status PrefillAttention(CudaStream& stream, const CausalAttentionCall& call);

}  // namespace gpu
}  // namespace specattn

// AttentionShape: the sizes of CausalAttention and SparseAttention, and the checks of tensors that both kernels share.
#pragma once
#include "core/check.h"
#include "core/host_device.h"

namespace specattn {

struct AttentionShape {
  int64_t rows, heads, kv_heads, head_size, capacity;       // T, H, G (KV heads), D, C
  int64_t per_kv_head() const { return heads / kv_heads; }  // query heads of one KV head
  int64_t queries() const { return rows * per_kv_head(); }  // queries of one KV head
};

// The window of attention without a window.
constexpr int64_t kNoWindow = (int64_t{1} << 31) - 1;

// The rows, as a mask, that see `key` within a window of the keys up to their own: row t is at position + t.
SPECATTN_HOST_DEVICE inline int32_t RowsInWindow(int64_t key, int64_t position, int64_t window) {
  const int64_t rows = key + window - position;
  return rows <= 0 ? 0 : rows >= 31 ? 0x7fffffff : (int32_t{1} << rows) - 1;
}

// Heads [first, end).
struct HeadRange {
  int64_t first, end;
};

// The heads whose mean weights make row r of an output with `rows` rows of weights. `rows` is 1 (the mean over all heads), the
// number of KV heads, or the number of heads. With `named` [rows], row r holds the weights of head named[r] alone; the range is
// empty if that head does not exist.
SPECATTN_HOST_DEVICE inline HeadRange HeadsOfRow(int64_t r, int64_t rows, const int32_t* named,
                                                 int64_t heads) {
  if (!named) return {r * (heads / rows), (r + 1) * (heads / rows)};
  const int64_t head = named[r];
  return head >= 0 && head < heads ? HeadRange{head, head + 1} : HeadRange{0, 0};
}

namespace {

// Reads the attribute `window`: how many keys a row sees at most, or 0 for no limit, which becomes kNoWindow.
inline Status CheckWindow(const char* op, double attr, int64_t* window) {
  SPECATTN_CHECK(
      attr >= 0 && attr <= static_cast<double>(kNoWindow) && attr == static_cast<double>(Whole(attr)),
      "[%s] window must be a whole number from 0 to %lld but is %g", op, static_cast<long long>(kNoWindow),
      attr);
  *window = attr == 0 ? kNoWindow : Whole(attr);
  return Ok();
}

// Checks q [T,H,D] float32, k and v [G,C,D] of one float type and out, which has q's size, and fills `shape`.
inline Status CheckAttention(const char* op, const Tensor& q, const Tensor& k, const Tensor& v,
                             const Tensor& out, AttentionShape* shape) {
  SPECATTN_CHECK(q.dtype == DType::kFloat32 && q.rank == 3, "[%s] q must be float32 of rank 3", op);
  SPECATTN_CHECK(IsFloat(k.dtype) && k.rank == 3 && v.dtype == k.dtype && v.rank == 3,
                 "[%s] k and v must be of one float type and rank 3", op);
  *shape = {q.dims[0], q.dims[1], k.dims[0], q.dims[2], k.dims[1]};
  const AttentionShape& s = *shape;
  SPECATTN_CHECK(s.kv_heads > 0 && s.heads % s.kv_heads == 0 && k.dims[2] == s.head_size &&
                     v.dims[0] == s.kv_heads && v.dims[1] == s.capacity && v.dims[2] == s.head_size,
                 "[%s] k and v must be [G,C,%lld] with G a divisor of %lld", op,
                 static_cast<long long>(s.head_size), static_cast<long long>(s.heads));
  SPECATTN_CHECK(out.dtype == DType::kFloat32 && out.size() == q.size(), "[%s] the output must be like q",
                 op);
  return Ok();
}

}  // namespace
}  // namespace specattn

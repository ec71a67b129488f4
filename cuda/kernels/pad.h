// Pad: puts x inside a larger tensor (PadV2, MirrorPad).
//
// inputs   x [...]: float32, int32 or bool
// attrs    mode: what surrounds x: 0 a constant, 1 x mirrored at its edge (reflect), 2 x mirrored with its edge repeated
//          (symmetric)
//          constant: for mode 0
//          then one number per axis: how many elements go before x. What y has beyond that goes after x.
// outputs  y: x's dtype and rank
#pragma once
#include "core/host_device.h"
#include "core/tensor.h"

namespace specattn {
namespace {

enum PadMode : int { kPadConstant = 0, kPadReflect = 1, kPadSymmetric = 2 };

struct PadCall {
  PadMode mode = kPadConstant;
  double constant = 0;
  int rank = 0;  // number of axes, at least 1; Add merges an axis without padding into the one before it
  int64_t in[kMaxRank] = {}, out[kMaxRank] = {}, before[kMaxRank] = {};

  // Adds the next inner axis. Mirroring goes by the padded axis's own indices, so it merges only if that has no padding.
  void Add(int64_t in_dim, int64_t out_dim, int64_t before_dim) {
    const bool merges =
        rank > 0 && in_dim == out_dim && (mode == kPadConstant || in[rank - 1] == out[rank - 1]);
    if (!merges) {
      in[rank] = out[rank] = 1;
      before[rank++] = before_dim;
    } else {
      before[rank - 1] *= in_dim;
    }
    in[rank - 1] *= in_dim;
    out[rank - 1] *= out_dim;
  }

  // The index of x along `axis` whose element y has at `index`; -1 if y has the constant there.
  SPECATTN_HOST_DEVICE int64_t Source(int axis, int64_t index) const {
    const int64_t size = in[axis], at = index - before[axis];
    if (at >= 0 && at < size) return at;
    if (mode == kPadConstant) return -1;
    const int64_t repeats = mode == kPadSymmetric ? 1 : 0;
    return at < 0 ? -at - repeats : 2 * (size - 1) - at + repeats;
  }
};

inline Status CheckPad(const Args& args, PadCall* call) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1 && args.attr_count >= 2,
                 "[Pad] expected 1 input, 1 output and 2 attributes or more but has %d, %d and %d",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  SPECATTN_CHECK(x.dtype == y.dtype, "[Pad] y must be of x's dtype %s but is %s", NameOf(x.dtype),
                 NameOf(y.dtype));
  SPECATTN_CHECK(x.rank == y.rank && args.attr_count == 2 + x.rank,
                 "[Pad] x, y and the paddings must have one rank but have %d, %d and %d", x.rank, y.rank,
                 args.attr_count - 2);
  const int64_t mode = Whole(args.attrs[0]);
  SPECATTN_CHECK(mode >= kPadConstant && mode <= kPadSymmetric, "[Pad] mode must be 0 to 2 but is %g",
                 args.attrs[0]);
  call->mode = static_cast<PadMode>(mode);
  call->constant = args.attrs[1];
  for (int i = 0; i < x.rank; ++i) {
    const int64_t before = Whole(args.attrs[2 + i]);
    SPECATTN_CHECK(before >= 0, "[Pad] axis %d can't be padded with %g", i, args.attrs[2 + i]);
    const int64_t after = y.dims[i] - before - x.dims[i];
    const int64_t most = mode == kPadConstant ? INT64_MAX : x.dims[i] - (mode == kPadReflect ? 1 : 0);
    const bool padded = before != 0 || after != 0;
    SPECATTN_CHECK(after >= 0 && (!padded || (before <= most && after <= most)),
                   "[Pad] axis %d of %lld elements can't be padded with %lld and %lld", i,
                   static_cast<long long>(x.dims[i]), static_cast<long long>(before),
                   static_cast<long long>(after));
    call->Add(x.dims[i], y.dims[i], before);
  }
  if (call->rank == 0) call->Add(1, 1, 0);
  return Ok();
}

}  // namespace
}  // namespace specattn

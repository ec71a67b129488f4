// Depthwise: the convolution of each channel with filters of its own, and its gradients (DepthwiseConv2dNative,
// DepthwiseConv2dNativeBackpropInput, DepthwiseConv2dNativeBackpropFilter).
//
//   y[b, i, j, c * M + m] = sum over places p of x[b, pixel of place p of window (i, j), c] * filter[p, c, m]
//
// inputs   two of these three, in this order: x [B,H,W,C], filter [h,w,C,M], y [B,H',W',C*M]; for a gradient y is that of the
//          result; all float32
// attrs    output: which of the three is the output: 0 for x, 1 for the filter, 2 for y
//          then height and width of the filter; its strides; its dilations; the padding above and left of the images
// outputs  the third one
//
// Sums run in float32, in an order that depends on sizes alone.
#pragma once
#include "core/windows.h"

namespace specattn {
namespace {

enum DepthwiseOutput : int { kDepthwiseX, kDepthwiseFilter, kDepthwiseY };

struct DepthwiseCall {
  Windows windows;
  int output = 0;
  int64_t multiplier = 0;  // M
  float *x, *filter, *y;   // one of them is the output

  int64_t outputs() const { return windows.channels * multiplier; }  // channels of y
};

inline Status CheckDepthwise(const Args& args, DepthwiseCall* call) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Depthwise", args, 2, 1, 1 + kWindowAttrs));
  const int64_t output = Whole(args.attrs[0]);
  SPECATTN_CHECK(output >= 0 && output <= 2, "[Depthwise] the output must be 0, 1 or 2 but is %g",
                 args.attrs[0]);
  const Tensor* tensors[3];
  for (int i = 0, input = 0; i < 3; ++i) tensors[i] = i == output ? &args.outputs[0] : &args.inputs[input++];
  const Tensor &x = *tensors[0], &filter = *tensors[1], &y = *tensors[2];
  SPECATTN_RETURN_IF_ERROR(CheckWindows("Depthwise", x, y, args.attrs + 1, &call->windows));
  const int64_t channels = x.dims[3], multiplier = filter.rank == 4 ? filter.dims[3] : 0;
  SPECATTN_RETURN_IF_ERROR(CheckDType("Depthwise", "x", x, DType::kFloat32));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("Depthwise", "filter", filter, DType::kFloat32,
                  {call->windows.rows.places, call->windows.columns.places, channels, kAnySize}));
  int64_t outputs = 0;
  SPECATTN_CHECK(!__builtin_mul_overflow(channels, multiplier, &outputs),
                 "[Depthwise] there are too many channels: %lld of each of %lld",
                 static_cast<long long>(multiplier), static_cast<long long>(channels));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("Depthwise", "y", y, DType::kFloat32, {x.dims[0], kAnySize, kAnySize, outputs}));
  call->output = static_cast<int>(output);
  call->multiplier = multiplier;
  call->x = x.as<float>();
  call->filter = filter.as<float>();
  call->y = y.as<float>();
  return Ok();
}

}  // namespace
}  // namespace specattn

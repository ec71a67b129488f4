// Depthwise on the CPU. Threads share the rows of y or of x; for the gradient of the filter they share pieces of y, whose sums
// are added at the end.
#include "kernels/depthwise.h"

#include <cstring>

#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kGrain = 65536;  // multiplications of a task
constexpr int64_t kMostPieces = 32;

// out[c * M + m] += x[c] * w[c * M + m]. kM: M, or 0 if it is not known when this is compiled.
template <int kM>
inline void Spread(const float* __restrict x, const float* __restrict w, int64_t channels, int64_t multiplier,
                   float* __restrict out) {
  const int64_t m_count = kM > 0 ? kM : multiplier;
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t m = 0; m < m_count; ++m) out[c * m_count + m] += x[c] * w[c * m_count + m];
}
// out[c] += sum over m of a[c * M + m] * b[c * M + m].
template <int kM>
inline void Gather(const float* __restrict a, const float* __restrict b, int64_t channels, int64_t multiplier,
                   float* __restrict out) {
  const int64_t m_count = kM > 0 ? kM : multiplier;
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t m = 0; m < m_count; ++m) out[c] += a[c * m_count + m] * b[c * m_count + m];
}

// Calls fn(x, filter, y) with pointers to the channels of a pixel, of the filter's place on it and of the window, for all windows of
// row `i` and the filter's places of row `down`.
template <class Fn>
inline void ForRow(const DepthwiseCall& call, int64_t image, int64_t i, int64_t down, float* x, float* filter,
                   float* y, const Fn& fn) {
  const WindowAxis &rows = call.windows.rows, &columns = call.windows.columns;
  const int64_t channels = call.windows.channels, outputs = call.outputs();
  const int64_t pixels = (image * rows.in + rows.Start(i) + down * rows.dilation) * columns.in;
  y += (image * rows.out + i) * columns.out * outputs;
  filter += down * columns.places * outputs;
  for (int64_t j = 0; j < columns.out; ++j, y += outputs) {
    int64_t left, right;
    columns.Inside(j, &left, &right);
    for (int64_t across = left; across < right; ++across)
      fn(x + (pixels + columns.Start(j) + across * columns.dilation) * channels, filter + across * outputs,
         y);
  }
}

// Sets `count` rows from `begin` on, of `length` numbers each, to 0.
void Clear(float* rows, int64_t begin, int64_t count, int64_t length) {
  std::memset(rows + begin * length, 0, static_cast<size_t>(count * length) * sizeof(float));
}

template <int kM>
Status Run(Stream& stream, const DepthwiseCall& call) {
  const WindowAxis &rows = call.windows.rows, &columns = call.windows.columns;
  const int64_t batch = call.windows.batch, channels = call.windows.channels, outputs = call.outputs();
  const int64_t size = rows.places * columns.places * outputs;  // numbers of the filter
  const auto spread = [&](const float* x, const float* w, float* out) {
    Spread<kM>(x, w, channels, call.multiplier, out);
  };
  if (call.output == kDepthwiseY) {
    const int64_t length = columns.out * outputs;
    ParallelFor(stream, batch * rows.out, kGrain / (columns.out * size + 1) + 1,
                [&](int64_t begin, int64_t end) {
                  Clear(call.y, begin, end - begin, length);
                  for (int64_t row = begin; row < end; ++row) {
                    int64_t top, bottom;
                    rows.Inside(row % rows.out, &top, &bottom);
                    for (int64_t down = top; down < bottom; ++down)
                      ForRow(call, row / rows.out, row % rows.out, down, call.x, call.filter, call.y,
                             [&](float* x, float* filter, float* y) { spread(x, filter, y); });
                  }
                });
    return Ok();
  }
  if (call.output == kDepthwiseX) {
    const int64_t length = columns.in * channels;
    ParallelFor(stream, batch * rows.in, kGrain / (columns.in * size + 1) + 1,
                [&](int64_t begin, int64_t end) {
                  Clear(call.x, begin, end - begin, length);
                  for (int64_t row = begin; row < end; ++row) {
                    int64_t first, last;
                    rows.Covering(row % rows.in, &first, &last);
                    for (int64_t i = first; i < last; ++i) {
                      const int64_t down = rows.PlaceOf(i, row % rows.in);
                      if (down < 0) continue;
                      ForRow(call, row / rows.in, i, down, call.x, call.filter, call.y,
                             [&](float* x, float* filter, float* y) {
                               Gather<kM>(y, filter, channels, call.multiplier, x);
                             });
                    }
                  }
                });
    return Ok();
  }
  const int64_t total = batch * rows.out;
  const int64_t least = kGrain / (columns.out * size + 1) + 1,
                share = (total + kMostPieces - 1) / kMostPieces;
  const int64_t piece = share > least ? share : least;
  const int64_t pieces = total > 0 ? (total + piece - 1) / piece : 1;
  float* sums = call.filter;
  if (pieces > 1) {
    sums = static_cast<float*>(stream.Scratch(static_cast<size_t>(pieces * size) * sizeof(float)));
    SPECATTN_CHECK(sums, "[Depthwise] no scratch memory for %lld elements",
                   static_cast<long long>(pieces * size));
  }
  ParallelFor(stream, pieces, 1, [&](int64_t begin, int64_t end) {
    Clear(sums, begin, end - begin, size);
    for (int64_t p = begin; p < end; ++p)
      for (int64_t row = p * piece; row < (p + 1) * piece && row < total; ++row) {
        int64_t top, bottom;
        rows.Inside(row % rows.out, &top, &bottom);
        for (int64_t down = top; down < bottom; ++down)
          ForRow(call, row / rows.out, row % rows.out, down, call.x, sums + p * size, call.y,
                 [&](float* x, float* filter, float* y) { spread(x, y, filter); });
      }
  });
  if (pieces == 1) return Ok();
  std::memcpy(call.filter, sums, static_cast<size_t>(size) * sizeof(float));
  for (int64_t p = 1; p < pieces; ++p)
    for (int64_t i = 0; i < size; ++i) call.filter[i] += sums[p * size + i];
  return Ok();
}

}  // namespace

Status Depthwise(Stream& stream, const Args& args) {
  DepthwiseCall call;
  SPECATTN_RETURN_IF_ERROR(CheckDepthwise(args, &call));
  if (args.outputs[0].size() == 0) return Ok();
  if (call.multiplier == 1) return Run<1>(stream, call);
  if (call.multiplier == 2) return Run<2>(stream, call);
  return Run<0>(stream, call);
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

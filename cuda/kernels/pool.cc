// Pool on the CPU. Threads share the rows of y.
#include "kernels/pool.h"

#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kChannels = 64;  // channels that are folded side by side

template <class T>
struct Largest {
  using Acc = T;
  static Acc First() { return Lowest<T>(); }
  static Acc Step(Acc acc, T x) { return x > acc ? x : acc; }
  static T Finish(Acc acc, int64_t) { return acc; }
};
struct Mean {
  using Acc = double;
  static Acc First() { return 0; }
  static Acc Step(Acc acc, float x) { return acc + static_cast<double>(x); }
  static float Finish(Acc acc, int64_t n) { return static_cast<float>(acc / static_cast<double>(n)); }
};

// Folds window (i, j) for `n` channels. x points to the first of these channels in the image.
template <class F, class T>
void FoldWindow(const Windows& windows, int64_t i, int64_t j, int64_t n, const T* x, T* y) {
  const WindowAxis &rows = windows.rows, &columns = windows.columns;
  int64_t top, bottom, left, right, count = 0;
  rows.Inside(i, &top, &bottom);
  columns.Inside(j, &left, &right);
  typename F::Acc acc[kChannels];
  for (int64_t c = 0; c < n; ++c) acc[c] = F::First();
  for (int64_t down = top; down < bottom; ++down) {
    const int64_t row = rows.Start(i) + down * rows.dilation;
    for (int64_t across = left; across < right; ++across, ++count) {
      const int64_t pixel = row * columns.in + columns.Start(j) + across * columns.dilation;
      const T* __restrict from = x + pixel * windows.channels;
      for (int64_t c = 0; c < n; ++c) acc[c] = F::Step(acc[c], from[c]);
    }
  }
  for (int64_t c = 0; c < n; ++c) y[c] = F::Finish(acc[c], count);
}

template <class F, class T>
void Run(Stream& stream, const Windows& windows, const Tensor& x, const Tensor& y) {
  const int64_t columns = windows.columns.out, channels = windows.channels;
  const int64_t image = windows.rows.in * windows.columns.in * channels;
  const int64_t places = windows.rows.places * windows.columns.places;
  const int64_t work = columns * channels * (places < 1024 ? places : 1024);
  ParallelFor(stream, windows.batch * windows.rows.out, 65536 / (work + 1) + 1,
              [&](int64_t begin, int64_t end) {
                for (int64_t row = begin; row < end; ++row) {
                  const T* from = x.as<T>() + row / windows.rows.out * image;
                  T* to = y.as<T>() + row * columns * channels;
                  for (int64_t j = 0; j < columns; ++j, to += channels)
                    for (int64_t c = 0; c < channels; c += kChannels)
                      FoldWindow<F>(windows, row % windows.rows.out, j,
                                    channels - c < kChannels ? channels - c : kChannels, from + c, to + c);
                }
              });
}

}  // namespace

Status Pool(Stream& stream, const Args& args) {
  bool mean;
  Windows windows;
  SPECATTN_RETURN_IF_ERROR(CheckPool(args, &mean, &windows));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  if (y.size() == 0) return Ok();
  if (mean) {
    Run<Mean, float>(stream, windows, x, y);
  } else if (x.dtype == DType::kInt32) {
    Run<Largest<int32_t>, int32_t>(stream, windows, x, y);
  } else {
    Run<Largest<float>, float>(stream, windows, x, y);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

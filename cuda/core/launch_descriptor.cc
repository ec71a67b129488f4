// Reads and checks launch descriptors.
#include "core/launch_descriptor.h"

#include "core/check.h"

namespace specattn {

const KernelInfo kKernels[kKernelCount] = {
#define KERNEL(name, half) {#name, half},
#include "kernels.def"
#undef KERNEL
};

namespace {

// Reads a descriptor's numbers one after the other and refuses to read past its end.
class Numbers {
 public:
  Numbers(const double* at, const double* end) : at_(at), end_(end) {}

  // The next number, which must be whole and between 0 and `most`; `what` names it in errors.
  Status Take(const char* what, int64_t most, int64_t* number) {
    SPECATTN_CHECK(at_ < end_, "[launch] the descriptor ends before %s", what);
    *number = Whole(*at_);
    SPECATTN_CHECK(*number >= 0 && *number <= most,
                   "[launch] %s must be a whole number from 0 to %lld but is %g", what,
                   static_cast<long long>(most), *at_);
    ++at_;
    return Ok();
  }
  const double* rest() const { return at_; }
  int64_t left() const { return end_ - at_; }

 private:
  const double *at_, *end_;
};

// Checks that a tensor fits its buffer of `held` bytes. The product of the dimensions other than 0 is bounded too, so that
// launchers may multiply some of the dimensions of a tensor without elements.
Status CheckSize(const char* kernel, int i, const Tensor& x, size_t held) {
  constexpr int64_t kMost = int64_t{1} << 48;
  int64_t product = 1;
  bool empty = false;
  for (int d = 0; d < x.rank; ++d) {
    if (x.dims[d] == 0) {
      empty = true;
      continue;
    }
    SPECATTN_CHECK(x.dims[d] <= kMost / product, "[%s] tensor %d of shape %s is too large", kernel, i,
                   ShapeText(x.dims, x.rank).text);
    product *= x.dims[d];
  }
  SPECATTN_CHECK(!empty || product < kMaxEmpty, "[%s] tensor %d of shape %s is too large", kernel, i,
                 ShapeText(x.dims, x.rank).text);
  SPECATTN_CHECK(x.bytes() <= held, "[%s] tensor %d of shape %s is larger than its buffer of %zu bytes",
                 kernel, i, ShapeText(x.dims, x.rank).text, held);
  return Ok();
}

Status ReadTensor(const char* kernel, int i, const Allocator& allocator, Numbers* numbers, Tensor* x) {
  int64_t handle = 0, dtype = 0, rank = 0;
  SPECATTN_RETURN_IF_ERROR(numbers->Take("a tensor's handle", INT32_MAX, &handle));
  SPECATTN_RETURN_IF_ERROR(numbers->Take("a tensor's dtype", static_cast<int>(DType::kBool), &dtype));
  SPECATTN_RETURN_IF_ERROR(numbers->Take("a tensor's rank", kMaxRank, &rank));
  *x = {};
  x->dtype = static_cast<DType>(dtype);
  x->rank = static_cast<int32_t>(rank);
  for (int d = 0; d < x->rank; ++d)
    SPECATTN_RETURN_IF_ERROR(numbers->Take("a tensor's dimension", int64_t{1} << 48, &x->dims[d]));
  size_t held = 0;
  x->data = allocator.Data(static_cast<int>(handle), &held);
  SPECATTN_CHECK(x->data, "[%s] tensor %d: no buffer has the handle %lld", kernel, i,
                 static_cast<long long>(handle));
  return CheckSize(kernel, i, *x, held);
}

// Whether tensors i and j of a launch are both donated caches. They may share a buffer as far as this file is concerned: the
// launchers of these two kernels compare the buffers themselves.
bool AreDonated(Kernel kernel, int inputs, int i, int j) {
  const auto is_donated = [&](int tensor) {
    if (kernel == kKVCacheAppend) return tensor == 0 || tensor == inputs;
    return kernel == kRotaryAppend && (tensor == 3 || tensor == 4 || tensor > inputs);
  };
  return is_donated(i) && is_donated(j);
}

// Checks that no output shares its buffer with another tensor of the launch, donated caches aside.
Status CheckOverlaps(Kernel kernel, const char* name, const Tensor* tensors, int inputs, int count) {
  for (int i = inputs; i < count; ++i)
    for (int j = 0; j < i; ++j)
      SPECATTN_CHECK(tensors[i].data != tensors[j].data || tensors[i].size() == 0 || tensors[j].size() == 0 ||
                         AreDonated(kernel, inputs, i, j),
                     "[%s] output %d must not be in the buffer of %s %d", name, i - inputs,
                     j < inputs ? "input" : "output", j < inputs ? j : j - inputs);
  return Ok();
}

}  // namespace

Status LaunchReader::Read(const double* descriptor, const Allocator& allocator, Launch* launch) {
  Numbers numbers(descriptor, descriptor + kDescriptorLength);
  int64_t kernel = 0, inputs = 0, outputs = 0, attrs = 0;
  SPECATTN_RETURN_IF_ERROR(numbers.Take("kernel", kKernelCount - 1, &kernel));
  SPECATTN_RETURN_IF_ERROR(numbers.Take("the number of inputs", kMaxTensors, &inputs));
  SPECATTN_RETURN_IF_ERROR(numbers.Take("the number of outputs", kMaxTensors - inputs, &outputs));
  SPECATTN_RETURN_IF_ERROR(numbers.Take("the number of attributes", kDescriptorLength, &attrs));
  const auto& [name, half] = kKernels[kernel];
  for (int i = 0; i < inputs + outputs; ++i) {
    Tensor* const x = &tensors_[static_cast<size_t>(i)];
    SPECATTN_RETURN_IF_ERROR(ReadTensor(name, i, allocator, &numbers, x));
    const bool is_half = SizeOf(x->dtype) == 2 && i < inputs;
    SPECATTN_CHECK(!is_half || half == -1 || (i < 31 && (half >> i & 1)),
                   "[%s] input %d must be float32, int32 or bool but is %s", name, i, NameOf(x->dtype));
  }
  SPECATTN_CHECK(attrs <= numbers.left(), "[launch] the descriptor ends before its attributes");
  SPECATTN_RETURN_IF_ERROR(CheckOverlaps(static_cast<Kernel>(kernel), name, tensors_.data(),
                                         static_cast<int>(inputs), static_cast<int>(inputs + outputs)));
  launch->kernel = static_cast<Kernel>(kernel);
  launch->args = {tensors_.data(),           static_cast<int>(inputs), tensors_.data() + inputs,
                  static_cast<int>(outputs), numbers.rest(),           static_cast<int>(attrs)};
  return Ok();
}

}  // namespace specattn

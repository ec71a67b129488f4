// BatchMatMul: out = activation(op(a) . op(b) + bias), in batches.
//
// inputs   a [B,M,K] (or [B,K,M] if transposeA) float32
//          b [B,K,N] (or [B,N,K] if transposeB) float32, bfloat16 or float16
//          optional bias float32, broadcast to the output
//          a and b may have rank 2; one of them may have a batch of 1
// attrs    transposeA, transposeB, activation (0 linear, 1 relu, 2 relu6, 3 elu, 4 sigmoid, 5 leakyrelu),
//          alpha of leakyrelu
// outputs  out [B,M,N] float32
//
// The case that decides is a few rows of activations times a layer's weights as they are stored, [N,K] in
// bfloat16: there every weight is read once, widened in registers and used for all rows, so a block of five
// tokens costs hardly more than one. A row's results don't depend on M (see dot.h).
#include "../cpu/kernels.h"
#include "../cpu/product.h"
#include "../cpu/with_float.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

struct Product {
  const float* a;  // [M,K]
  const void* b;   // [N,K] or [K,N]
  float* out;      // [M,N]
  int64_t rows, cols, inner;
};

struct Epilogue {
  const float* bias;  // null: none
  int64_t batch_stride, row_stride, col_stride;
  int activation;
  float alpha;

  bool any() const { return bias || activation; }
  void Apply(float* out, int64_t batch, int64_t rows, int64_t ldo, int64_t begin, int64_t end) const {
    for (int64_t r = 0; r < rows; ++r) {
      const float* add = bias ? bias + batch * batch_stride + r * row_stride : nullptr;
      float* row = out + r * ldo;
      if (add)
        for (int64_t c = begin; c < end; ++c) row[c] += add[c * col_stride];
      switch (activation) {
        case 1:
          for (int64_t c = begin; c < end; ++c) row[c] = row[c] < 0 ? 0.0f : row[c];
          break;
        case 2:
          for (int64_t c = begin; c < end; ++c) row[c] = row[c] < 0 ? 0.0f : row[c] > 6 ? 6.0f : row[c];
          break;
        case 3:
          for (int64_t c = begin; c < end; ++c) row[c] = row[c] >= 0 ? row[c] : std::exp(row[c]) - 1.0f;
          break;
        case 4:
          for (int64_t c = begin; c < end; ++c) row[c] = 1.0f / (1.0f + std::exp(-row[c]));
          break;
        case 5:
          for (int64_t c = begin; c < end; ++c) row[c] = row[c] < 0 ? alpha * row[c] : row[c];
          break;
        default:
          break;
      }
    }
  }
};

// Columns [begin, end) of all rows.
template <class W>
void Columns(const Product& p, bool transpose_b, int64_t begin, int64_t end) {
  const W* b = static_cast<const W*>(p.b);
  for (int64_t c = begin; c < end; c += kPanelCols) {
    const int64_t cols = end - c < kPanelCols ? end - c : kPanelCols;
    if (transpose_b) {
      Dots(p.a, p.rows, p.inner, b + c * p.inner, cols, p.inner, p.inner, p.out + c, p.cols);
    } else {
      for (int64_t r = 0; r < p.rows; ++r)
        std::memset(p.out + r * p.cols + c, 0, static_cast<size_t>(cols) * 4);
      Axpys(p.a, p.rows, p.inner, b + c, cols, p.cols, p.inner, p.out + c, p.cols);
    }
  }
}

void Multiply(const Product& p, DType storage, bool transpose_b, int64_t begin, int64_t end) {
  WithFloat(storage, [&](auto element) { Columns<decltype(element)>(p, transpose_b, begin, end); });
}

// The stride of `bias` along each axis of [B,M,N]: 0 where it is broadcast. False: it does not fit.
bool BiasStrides(const Tensor& bias, const int64_t (&shape)[3], int64_t (&strides)[3]) {
  if (bias.rank > 3) return false;
  int64_t stride = 1;
  for (int axis = 2; axis >= 0; --axis) {
    const int dim = bias.rank - 3 + axis;
    const int64_t size = dim >= 0 ? bias.dims[dim] : 1;
    if (size != 1 && size != shape[axis]) return false;
    strides[axis] = size == 1 ? 0 : stride;
    stride *= size;
  }
  return true;
}

}  // namespace

Status BatchMatMul(Stream& stream, const Args& args) {
  SPECATTN_CHECK(
      (args.input_count == 2 || args.input_count == 3) && args.output_count == 1 && args.attr_count == 4,
      "[BatchMatMul] expected 2 or 3 inputs, 1 output and 4 attributes but got %d, %d and %d",
      args.input_count, args.output_count, args.attr_count);
  const Tensor &a = args.inputs[0], &b = args.inputs[1], &out = args.outputs[0];
  SPECATTN_CHECK(a.dtype == DType::kFloat32 && IsFloat(b.dtype) && out.dtype == DType::kFloat32,
                 "[BatchMatMul] a and the output must be float32 and b a float type");
  SPECATTN_CHECK(a.rank >= 2 && a.rank <= 3 && b.rank >= 2 && b.rank <= 3,
                 "[BatchMatMul] a and b must have rank 2 or 3 but have %d and %d", a.rank, b.rank);
  const bool transpose_a = args.attrs[0] != 0, transpose_b = args.attrs[1] != 0;
  const int64_t* da = a.dims + a.rank - 2;
  const int64_t* db = b.dims + b.rank - 2;
  const int64_t batch_a = a.rank == 3 ? a.dims[0] : 1, batch_b = b.rank == 3 ? b.dims[0] : 1;
  const int64_t batches = batch_a > batch_b ? batch_a : batch_b;
  const int64_t rows = da[transpose_a ? 1 : 0], inner = da[transpose_a ? 0 : 1];
  const int64_t cols = db[transpose_b ? 0 : 1], inner_b = db[transpose_b ? 1 : 0];
  SPECATTN_CHECK(inner == inner_b, "[BatchMatMul] inner sizes of a and b must agree but are %lld and %lld",
                 static_cast<long long>(inner), static_cast<long long>(inner_b));
  SPECATTN_CHECK((batch_a == batches || batch_a == 1) && (batch_b == batches || batch_b == 1),
                 "[BatchMatMul] batches of a and b must agree or be 1 but are %lld and %lld",
                 static_cast<long long>(batch_a), static_cast<long long>(batch_b));
  SPECATTN_CHECK(out.size() == batches * rows * cols,
                 "[BatchMatMul] the output must have %lld elements but has %lld",
                 static_cast<long long>(batches * rows * cols), static_cast<long long>(out.size()));
  const int activation = static_cast<int>(args.attrs[2]);
  SPECATTN_CHECK(activation >= 0 && activation <= 5, "[BatchMatMul] activation must be 0 to 5 but is %d",
                 activation);
  Epilogue epilogue{nullptr, 0, 0, 0, activation, static_cast<float>(args.attrs[3])};
  if (args.input_count == 3) {
    const Tensor& bias = args.inputs[2];
    int64_t strides[3];
    SPECATTN_CHECK(bias.dtype == DType::kFloat32 && BiasStrides(bias, {batches, rows, cols}, strides),
                   "[BatchMatMul] bias must be float32 and broadcast to [%lld,%lld,%lld]",
                   static_cast<long long>(batches), static_cast<long long>(rows),
                   static_cast<long long>(cols));
    epilogue = {bias.as<float>(), strides[0], strides[1], strides[2], activation, epilogue.alpha};
  }

  const float* left = a.as<float>();
  const bool paired = transpose_b && b.dtype == DType::kBFloat16;
  if (transpose_a || paired) {
    // a's rows, contiguous and in the order in which the products read them.
    const size_t numbers = static_cast<size_t>(batch_a * rows * inner);
    float* packed = static_cast<float*>(stream.Scratch(numbers * 4 * (transpose_a && paired ? 2 : 1)));
    SPECATTN_CHECK(packed, "[BatchMatMul] no scratch memory for %zu elements", numbers);
    if (transpose_a) {
      for (int64_t i = 0; i < batch_a; ++i)
        for (int64_t k = 0; k < inner; ++k)
          for (int64_t r = 0; r < rows; ++r)
            packed[(i * rows + r) * inner + k] = left[(i * inner + k) * rows + r];
      left = packed;
      packed += numbers;
    }
    if (paired) {
      ForRows(stream, batch_a * rows, inner, [&](int64_t from, int64_t to) {
        for (int64_t r = from; r < to; ++r) Pair(left + r * inner, 1.0f, inner, true, packed + r * inner);
      });
      left = packed;
    }
  }

  ForPanels(stream, batches, cols, rows * inner, [&](int64_t batch, int64_t begin, int64_t end) {
    const size_t b_offset = static_cast<size_t>(batch_b == 1 ? 0 : batch * cols * inner) * SizeOf(b.dtype);
    const Product product{left + (batch_a == 1 ? 0 : batch * rows * inner),
                          static_cast<const char*>(b.data) + b_offset,
                          out.as<float>() + batch * rows * cols,
                          rows,
                          cols,
                          inner};
    Multiply(product, b.dtype, transpose_b, begin, end);
    if (epilogue.any()) epilogue.Apply(product.out, batch, rows, cols, begin, end);
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// RotaryAppend on CUDA; RotaryEmbedding shares its kernel. A thread rotates the pair of elements (i, i + D/2) of several
// heads of a row. It computes the pair's sine and cosine once, while its first loads are under way.
#include "gpu/attention/heads.cuh"
#include "gpu/primitives/any_float.cuh"
#include "gpu/primitives/rotary.h"
#include "gpu/runtime/kernels.h"
#include "kernels/rotary_append.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kBatch = 4;  // heads whose loads are in flight together

__global__ void __launch_bounds__(256) RotateRows(const RotaryCall call) {
  WaitForPrevious();
  LetNextStart();
  const int64_t all_heads = call.heads + 2 * call.kv_heads, half = call.size / 2;
  const int64_t first_head = int64_t{blockIdx.y} * blockDim.y + threadIdx.y;
  const int64_t step = int64_t{gridDim.y} * blockDim.y;
  const int64_t position = *call.position;

  for (int64_t t = blockIdx.x; t < call.rows; t += gridDim.x) {
    const float* x = call.qkv + t * all_heads * call.size;
    const int64_t place = position + t;
    const bool in_cache = place >= 0 && place < call.capacity;
    for (int64_t i = threadIdx.x; i < half; i += blockDim.x) {
      float a[kBatch], b[kBatch];
      const auto load = [&](int64_t head) {
#pragma unroll
        for (int n = 0; n < kBatch; ++n, head += step) {
          if (head >= all_heads) break;
          a[n] = x[head * call.size + i];
          b[n] = x[head * call.size + half + i];
        }
      };
      load(first_head);
      // The angle is a float32, as in the reference implementations. sincosf errs by at most 2 ulp at any angle.
      float sine, cosine;
      sincosf(__fmul_rn(static_cast<float>(place), call.frequencies[i]), &sine, &cosine);
      sine *= call.scale;
      cosine *= call.scale;

      for (int64_t head = first_head; head < all_heads; load(head)) {
#pragma unroll
        for (int n = 0; n < kBatch; ++n, head += step) {
          if (head >= all_heads) break;
          const float turned_a = a[n] * cosine - b[n] * sine, turned_b = b[n] * cosine + a[n] * sine;
          if (head < call.heads) {
            float* q = call.q + (t * call.heads + head) * call.size;
            q[i] = turned_a;
            q[half + i] = turned_b;
          } else if (in_cache) {
            const int64_t g = head - call.heads;
            const bool is_key = g < call.kv_heads;
            const int64_t to = ((is_key ? g : g - call.kv_heads) * call.capacity + place) * call.size + i;
            const DType storage = is_key ? call.k_storage : call.v_storage;
            void* cache = is_key ? call.k_cache : call.v_cache;
            StoreAs(storage, cache, to, is_key ? turned_a : a[n]);
            StoreAs(storage, cache, to + half, is_key ? turned_b : b[n]);
          }
        }
      }
    }
  }
}

}  // namespace

Status Rotate(CudaStream& stream, const char* op, const RotaryCall& call) {
  const int64_t all_heads = call.heads + 2 * call.kv_heads;
  if (call.rows * all_heads * call.size == 0) return Ok();
  const HeadsLaunch shape(stream, call.rows, all_heads, call.size / 2);
  return LaunchKernel(stream, op, Start::kEarly, RotateRows, shape.grid, shape.block, 0, call);
}

Status RotaryAppend(Stream& stream, const Args& args) {
  RotaryAppendSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckRotaryAppend(args, &sizes));
  RotaryCall call;
  call.rows = sizes.rows;
  call.heads = sizes.heads;
  call.kv_heads = sizes.kv_heads;
  call.capacity = sizes.capacity;
  call.size = sizes.size;
  call.qkv = args.inputs[0].as<float>();
  call.position = args.inputs[1].as<int32_t>();
  call.frequencies = args.inputs[2].as<float>();
  call.scale = static_cast<float>(args.attrs[0]);
  call.q = args.outputs[0].as<float>();
  call.k_cache = args.inputs[3].data;
  call.k_storage = args.inputs[3].dtype;
  call.v_cache = args.inputs[4].data;
  call.v_storage = args.inputs[4].dtype;
  auto& cuda = static_cast<CudaStream&>(stream);
  cuda.Appends(call.k_cache, call.position);
  cuda.Appends(call.v_cache, call.position);
  return Rotate(cuda, "RotaryAppend", call);
}

}  // namespace gpu
}  // namespace specattn

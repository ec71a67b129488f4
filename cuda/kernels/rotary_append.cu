// RotaryAppend on CUDA; RotaryEmbedding shares its kernels.
//
// Without norms a thread rotates the pair of elements (i, i + D/2) of several heads of a row. It computes the pair's sine and
// cosine once, while its first loads are under way. With norms a warp takes one head of a row, whose elements it must sum.
#include "gpu/attention/heads.cuh"
#include "gpu/primitives/any_float.cuh"
#include "gpu/primitives/reduce.cuh"
#include "gpu/primitives/rotary.h"
#include "gpu/runtime/kernels.h"
#include "kernels/rotary_append.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kBatch = 4;  // heads whose loads are in flight together

// Writes the pair i of a rotated query head, or of a key or value head if the row has a place in the caches.
__device__ __forceinline__ void StorePair(const RotaryCall& call, int64_t t, int64_t place, int64_t head,
                                          int64_t i, float a, float b) {
  const int64_t half = call.size / 2;
  if (head < call.heads) {
    float* q = call.q + (t * call.heads + head) * call.size;
    q[i] = a;
    q[half + i] = b;
  } else if (place >= 0 && place < call.capacity) {
    const int64_t g = head - call.heads;
    const bool is_key = g < call.kv_heads;
    const int64_t to = ((is_key ? g : g - call.kv_heads) * call.capacity + place) * call.size + i;
    const DType storage = is_key ? call.k_storage : call.v_storage;
    void* cache = is_key ? call.k_cache : call.v_cache;
    StoreAs(storage, cache, to, a);
    StoreAs(storage, cache, to + half, b);
  }
}

// The cosine and sine of pair i at `place`. The angle is a float32, as in the reference implementations. sincosf errs by at
// most 2 ulp at any angle.
__device__ __forceinline__ float2 CosSin(const RotaryCall& call, int64_t place, int64_t i) {
  float sine, cosine;
  sincosf(__fmul_rn(static_cast<float>(place), call.frequencies[i]), &sine, &cosine);
  return make_float2(cosine * call.scale, sine * call.scale);
}

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
      const float2 angle = CosSin(call, place, i);

      for (int64_t head = first_head; head < all_heads; load(head)) {
#pragma unroll
        for (int n = 0; n < kBatch; ++n, head += step) {
          if (head >= all_heads) break;
          const bool is_value = head >= call.heads + call.kv_heads;
          const float turned_a = a[n] * angle.x - b[n] * angle.y, turned_b = b[n] * angle.x + a[n] * angle.y;
          StorePair(call, t, place, head, i, is_value ? a[n] : turned_a, is_value ? b[n] : turned_b);
        }
      }
    }
  }
}

__global__ void __launch_bounds__(256) NormRotateRows(const RotaryCall call) {
  WaitForPrevious();
  LetNextStart();
  const int lane = threadIdx.x % kWarp;
  const int64_t all_heads = call.heads + 2 * call.kv_heads, half = call.size / 2, warps = blockDim.x / kWarp;
  const int64_t position = *call.position, step = int64_t{gridDim.x} * warps;
  for (int64_t at = int64_t{blockIdx.x} * warps + threadIdx.x / kWarp; at < call.rows * all_heads;
       at += step) {
    const int64_t t = at / all_heads, head = at % all_heads, place = position + t;
    const float* x = call.qkv + at * call.size;
    if (head >= call.heads + call.kv_heads) {
      for (int64_t i = lane; i < half; i += kWarp) StorePair(call, t, place, head, i, x[i], x[half + i]);
      continue;
    }
    float sum = 0;
    for (int64_t i = lane; i < call.size; i += kWarp) sum = fmaf(x[i], x[i], sum);
    const float scale = 1.0f / sqrtf(WarpReduce(sum, Plus{}) / static_cast<float>(call.size) + call.epsilon);
    const float* gain = head < call.heads ? call.q_norm : call.k_norm;
    for (int64_t i = lane; i < half; i += kWarp) {
      const float2 angle = CosSin(call, place, i);
      const float a = x[i] * scale * gain[i], b = x[half + i] * scale * gain[half + i];
      StorePair(call, t, place, head, i, a * angle.x - b * angle.y, b * angle.x + a * angle.y);
    }
  }
}

}  // namespace

Status Rotate(CudaStream& stream, const char* op, const RotaryCall& call) {
  const int64_t all_heads = call.heads + 2 * call.kv_heads;
  if (call.rows * all_heads * call.size == 0) return Ok();
  if (call.q_norm) {
    constexpr int64_t kThreads = 256, kMost = 1 << 20;
    const int64_t blocks = std::min(CeilDiv(call.rows * all_heads, kThreads / kWarp), kMost);
    return LaunchKernel(stream, op, Start::kEarly, NormRotateRows, dim3(static_cast<unsigned>(blocks)),
                        dim3(kThreads), 0, call);
  }
  const HeadsLaunch shape(stream, call.rows, all_heads, call.size / 2);
  return LaunchKernel(stream, op, Start::kEarly, RotateRows, shape.grid, shape.block, 0, call);
}

Status RotaryAppend(Stream& stream, const Args& args) {
  RotaryAppendSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckRotaryAppend(args, &sizes));
  RotaryCall call{};
  call.rows = sizes.rows;
  call.heads = sizes.heads;
  call.kv_heads = sizes.kv_heads;
  call.capacity = sizes.capacity;
  call.size = sizes.size;
  call.qkv = args.inputs[0].as<float>();
  call.position = args.inputs[1].as<int32_t>();
  call.frequencies = args.inputs[2].as<float>();
  call.scale = static_cast<float>(args.attrs[0]);
  call.epsilon = static_cast<float>(args.attrs[1]);
  if (args.input_count == 7) {
    call.q_norm = args.inputs[5].as<float>();
    call.k_norm = args.inputs[6].as<float>();
  }
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

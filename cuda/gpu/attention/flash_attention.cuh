// FlashAttention: causal attention of many rows on the tensor cores, for keys and values in 16-bit floats (after
// FlashAttention-2, arXiv 2307.08691).
//
// A block computes 128 rows of one head, a warp 32 of them; half as many where there are few rows, or where a head has
// more than 128 columns. Keys come in tiles of 64. Scores, exponentials and the sums over values stay in registers; when
// a tile raises a row's maximum, the row's sums are rescaled. While the block computes a tile's scores, the tile's values
// are copied to shared memory, and while it uses the values, the next tile's keys.
//
// Tiles start at fixed places and are taken in order, and a tile that a row does not see leaves the row unchanged. So a
// row's result does not depend on the other rows.
//
// q and the exponentials are rounded to the type of the caches; sums are float32. q is multiplied by scale * log2(e) before
// it is rounded, so that exponentials are powers of two.
#pragma once
#include "gpu/primitives/mma.cuh"
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

struct FlashAttention {
  const float* q;           // [T,H,D]
  const void *k, *v;        // [G,C,D], aligned to 16 bytes
  const int32_t* position;  // [1], on the device: the position of row 0
  float* out;               // [T,H,D]
  int64_t rows, heads, kv_heads, capacity;
  int head_size;  // a multiple of 8
  int window;     // how many keys back a row sees, its own included
  float scale;
};

constexpr int kFlashWarps = 4, kFlashThreads = kFlashWarps * kWarp, kFlashKeys = 64;

// The sizes of a kernel. kSize: D rounded up to a size that has a kernel. kTiles: tiles of 16 rows that a warp computes.
template <int kSize, int kTiles>
struct FlashShape {
  static constexpr int kWarpRows = 16 * kTiles, kRows = kFlashWarps * kWarpRows;
  static constexpr int kRowBytes = kSize * 2, kPieces = kSize / 8;  // pieces of 16 bytes in a row
  static constexpr int kKeysAt = kRows * kRowBytes, kTileBytes = kFlashKeys * kRowBytes;
  static constexpr int kSharedBytes = kKeysAt + 2 * kTileBytes;  // q, a tile of keys, a tile of values
};

// The byte offset of a 16-byte piece of a row in a tile. Pieces are swizzled so that the eight rows of a matrix, which are
// read at once, lie in different banks. The address of piece c ^ 2d of a row is the address of its piece c, ^ 32d, since
// tiles begin at multiples of a row's bytes.
template <int kPieces>
__host__ __device__ __forceinline__ int FlashPiece(int row, int piece) {
  return (row * kPieces + (piece ^ (row % 8))) * 16;
}

// 2^x to about 22 bits. Gives 0 for -inf.
__device__ __forceinline__ float PowerOfTwo(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// T is the type of the caches; sizes are FlashShape's. A block computes one tile of rows of one head.
template <class T, int kSize, int kTiles>
__global__ void __launch_bounds__(kFlashThreads, kSize <= 128 ? 2 : 1)
    FlashAttentionKernel(FlashAttention p) {
  using Shape = FlashShape<kSize, kTiles>;
  constexpr int kPieces = Shape::kPieces, kScoreTiles = kFlashKeys / 8, kOutTiles = kSize / 8;
  extern __shared__ __align__(1024) unsigned char flash_shared[];
  const uint32_t q_at = SharedAddress(flash_shared), k_at = q_at + Shape::kKeysAt,
                 v_at = k_at + Shape::kTileBytes;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;

  // Blocks with the last rows see the most keys, so they start first.
  const int heads = static_cast<int>(p.heads), head = static_cast<int>(blockIdx.x) % heads;
  const int tile =
      static_cast<int>(CeilDiv<int64_t>(p.rows, Shape::kRows)) - 1 - static_cast<int>(blockIdx.x) / heads;
  const int first_row = tile * Shape::kRows, rows_left = static_cast<int>(p.rows) - first_row;
  const int rows = rows_left < Shape::kRows ? rows_left : Shape::kRows;
  // A position past the end of the cache sees what a position at its end sees: every key.
  const int capacity = static_cast<int>(p.capacity), position = *p.position;
  const int start = position < 0 ? 0 : position < capacity ? position : capacity;
  // The last key that the first row sees, and how many keys the last row sees.
  const int last_seen = start + first_row;
  const int keys = last_seen + rows < capacity ? last_seen + rows : capacity;
  // The first tile of keys that the first row sees. Rows past the end of the cache may see none; they still take one tile.
  const int first_seen = min(max(last_seen + 1 - p.window, 0), keys - 1);
  const int first_tile = first_seen / kFlashKeys * kFlashKeys;

  // A thread copies one piece of every kCopyStep-th row. The swizzle of row + i * kCopyStep differs from that of `row` by an
  // exclusive or, as copy_row < kCopyStep or kCopyStep is a multiple of 8.
  constexpr int kCopyStep = kFlashThreads / kPieces;
  const int copy_row = threadIdx.x / kPieces, copy_piece = threadIdx.x % kPieces;
  const bool piece_inside = copy_piece * 8 < p.head_size;
  const int64_t copy_from =
      (head / (heads / static_cast<int>(p.kv_heads)) * p.capacity + copy_row) * p.head_size + copy_piece * 8;
  const uint32_t copy_to = FlashPiece<kPieces>(copy_row, copy_piece);
  const auto copy = [&](const void* from, uint32_t to, int first_key) {
    const T* at = static_cast<const T*>(from) + copy_from + static_cast<int64_t>(first_key) * p.head_size;
#pragma unroll
    for (int i = 0; i < kFlashKeys / kCopyStep; ++i) {
      // Keys and values that no row sees become zeros.
      CopyAsync(((to + copy_to) ^ (i * kCopyStep % 8 * 16)) + i * kCopyStep * Shape::kRowBytes, at,
                piece_inside && first_key + copy_row + i * kCopyStep < keys);
      at += kCopyStep * p.head_size;
    }
    CommitCopies();
  };
  copy(p.k, k_at, first_tile);

  const float scale = p.scale * 1.44269504f;
#pragma unroll 4
  for (int row = copy_row; row < Shape::kRows; row += kCopyStep) {
    uint4 piece = make_uint4(0, 0, 0, 0);
    if (piece_inside && row < rows) {
      const float* from =
          p.q + (static_cast<int64_t>(first_row + row) * heads + head) * p.head_size + copy_piece * 8;
      const float4 x = *reinterpret_cast<const float4*>(from), y = *reinterpret_cast<const float4*>(from + 4);
      piece = make_uint4(PackPair(x.x * scale, x.y * scale, T{}), PackPair(x.z * scale, x.w * scale, T{}),
                         PackPair(y.x * scale, y.y * scale, T{}), PackPair(y.z * scale, y.w * scale, T{}));
    }
    *reinterpret_cast<uint4*>(flash_shared + FlashPiece<kPieces>(row, copy_piece)) = piece;
  }

  // Where a lane reads its parts of the first fragments. Those of other rows and columns lie at fixed distances from there.
  const int warp_row = warp * Shape::kWarpRows;
  const uint32_t left_at = q_at + FlashPiece<kPieces>(warp_row + lane % 16, lane / 16);
  const uint32_t right_at = k_at + FlashPiece<kPieces>(lane / 16 * 8 + lane % 8, lane / 8 % 2);
  const uint32_t value_at = v_at + FlashPiece<kPieces>(lane % 16, lane / 16);
  constexpr int kNext = 16 * Shape::kRowBytes;

  // A lane holds parts of rows g and g + 8 of each tile of 16 rows, g = lane / 4 (mma.cuh).
  float out[kTiles][kOutTiles][4] = {};
  float max[kTiles][2], sum[kTiles][2] = {};
#pragma unroll
  for (int i = 0; i < kTiles; ++i) max[i][0] = max[i][1] = -INFINITY;
  const int warp_last_seen = last_seen + warp_row;  // the last key that the warp's first row sees

  for (int first_key = first_tile; first_key < keys; first_key += kFlashKeys) {
    WaitForCopies<0>();
    __syncthreads();  // the keys have arrived, and no warp still reads the previous values
    copy(p.v, v_at, first_key);
    const bool warp_sees_tile = first_key < warp_last_seen + Shape::kWarpRows &&
                                first_key + kFlashKeys > warp_last_seen + 1 - p.window;
    uint32_t shares[kTiles][kScoreTiles][2];  // exponentials, two in a word
    if (warp_sees_tile) {
      float scores[kTiles][kScoreTiles][4] = {};
#pragma unroll
      for (int d = 0; d < kSize / 16; ++d) {
        uint32_t left[kTiles][4];
#pragma unroll
        for (int i = 0; i < kTiles; ++i) LoadMatrices((left_at ^ (d * 32)) + i * kNext, left[i]);
#pragma unroll
        for (int j = 0; j < kFlashKeys / 16; ++j) {
          uint32_t right[4];
          LoadMatrices((right_at ^ (d * 32)) + j * kNext, right);
#pragma unroll
          for (int i = 0; i < kTiles; ++i) {
            MultiplyAdd(scores[i][j * 2], left[i], right[0], right[1], T{});
            MultiplyAdd(scores[i][j * 2 + 1], left[i], right[2], right[3], T{});
          }
        }
      }

      if (first_key + kFlashKeys > warp_last_seen + 1 || first_key + kFlashKeys > keys ||
          first_key < warp_last_seen + Shape::kWarpRows - p.window) {
#pragma unroll
        for (int i = 0; i < kTiles; ++i)
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const int end = warp_last_seen + 1 + i * 16 + half * 8 + lane / 4;
            const int first_lane_key = first_key + lane % 4 * 2;
            const int visible_keys = (end < keys ? end : keys) - first_lane_key;
            const int hidden_keys = end - p.window - first_lane_key;  // those before the row's window
#pragma unroll
            for (int n = 0; n < kScoreTiles; ++n)
#pragma unroll
              for (int e = 0; e < 2; ++e)
                if (n * 8 + e >= visible_keys || n * 8 + e < hidden_keys)
                  scores[i][n][half * 2 + e] = -INFINITY;
          }
      }

#pragma unroll
      for (int i = 0; i < kTiles; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float top = max[i][half];
#pragma unroll
          for (int n = 0; n < kScoreTiles; ++n)
            top = fmaxf(top, fmaxf(scores[i][n][half * 2], scores[i][n][half * 2 + 1]));
          top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
          top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
          const float base = top == -INFINITY ? 0.0f : top;  // nothing seen yet: -inf - -inf would be NaN
          const float factor = PowerOfTwo(max[i][half] - base);
          max[i][half] = top;
          float added = 0;
#pragma unroll
          for (int n = 0; n < kScoreTiles; ++n) {
            const float first = PowerOfTwo(scores[i][n][half * 2] - base);
            const float second = PowerOfTwo(scores[i][n][half * 2 + 1] - base);
            added += first;
            added += second;
            shares[i][n][half] = PackPair(first, second, T{});
          }
          sum[i][half] = sum[i][half] * factor + added;
#pragma unroll
          for (int n = 0; n < kOutTiles; ++n) {
            out[i][n][half * 2] *= factor;
            out[i][n][half * 2 + 1] *= factor;
          }
        }
    }

    WaitForCopies<0>();
    __syncthreads();  // the values have arrived, and no warp still reads the keys
    if (first_key + kFlashKeys < keys) copy(p.k, k_at, first_key + kFlashKeys);
    if (!warp_sees_tile) continue;
#pragma unroll
    for (int j = 0; j < kFlashKeys / 16; ++j) {
      uint32_t left[kTiles][4];
#pragma unroll
      for (int i = 0; i < kTiles; ++i)
#pragma unroll
        for (int r = 0; r < 4; ++r) left[i][r] = shares[i][j * 2 + r / 2][r % 2];
#pragma unroll
      for (int d = 0; d < kSize / 16; ++d) {
        uint32_t right[4];
        LoadTransposed((value_at ^ (d * 32)) + j * kNext, right);
#pragma unroll
        for (int i = 0; i < kTiles; ++i) {
          MultiplyAdd(out[i][d * 2], left[i], right[0], right[1], T{});
          MultiplyAdd(out[i][d * 2 + 1], left[i], right[2], right[3], T{});
        }
      }
    }
  }

#pragma unroll
  for (int i = 0; i < kTiles; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float total = sum[i][half];
      total += __shfl_xor_sync(kAllLanes, total, 1);
      total += __shfl_xor_sync(kAllLanes, total, 2);
      const float share = total == 0 ? 0.0f : 1.0f / total;
      const int row = warp_row + i * 16 + half * 8 + lane / 4;
      if (row >= rows) continue;
      float* to = p.out + (static_cast<int64_t>(first_row + row) * heads + head) * p.head_size + lane % 4 * 2;
#pragma unroll
      for (int n = 0; n < kOutTiles; ++n)
        if (n * 8 < p.head_size)
          *reinterpret_cast<float2*>(to + n * 8) =
              make_float2(out[i][n][half * 2] * share, out[i][n][half * 2 + 1] * share);
    }
}

// Whether there is a kernel for this type of cache and head size.
inline bool SuitsFlashAttention(DType storage, int64_t head_size) {
  return (storage == DType::kBFloat16 || storage == DType::kFloat16) && head_size % 8 == 0 && head_size > 0 &&
         head_size <= 256;
}

// Checks that the sizes fit into 32 bits, and queues the kernel of one shape.
template <class T, int kSize, int kTiles>
Status RunFlashShape(CudaStream& stream, const char* op, const FlashAttention& p) {
  using Shape = FlashShape<kSize, kTiles>;
  const int64_t blocks = CeilDiv<int64_t>(p.rows, Shape::kRows) * p.heads;
  constexpr int64_t kLimit = 1 << 30;  // positions are counted in 32 bits
  SPECATTN_CHECK(blocks < kLimit && p.rows < kLimit && p.capacity < kLimit,
                 "[%s] %lld rows of %lld heads over %lld keys are too many", op,
                 static_cast<long long>(p.rows), static_cast<long long>(p.heads),
                 static_cast<long long>(p.capacity));
  return LaunchKernel(stream, op, Start::kInOrder, FlashAttentionKernel<T, kSize, kTiles>,
                      dim3(static_cast<unsigned>(blocks)), dim3(kFlashThreads), Shape::kSharedBytes, p);
}

// Uses blocks of 64 rows instead of 128 if blocks of 128 would leave multiprocessors idle. A row's result is the same.
template <class T, int kSize>
Status RunFlashSize(CudaStream& stream, const char* op, const FlashAttention& p) {
  const int64_t large = CeilDiv<int64_t>(p.rows, FlashShape<kSize, 2>::kRows) * p.heads;
  return large < stream.processors() ? RunFlashShape<T, kSize, 1>(stream, op, p)
                                     : RunFlashShape<T, kSize, 2>(stream, op, p);
}

// Queues the kernel for p.head_size; SuitsFlashAttention must hold.
template <class T>
Status RunFlashAttention(CudaStream& stream, const char* op, const FlashAttention& p) {
  if (p.head_size <= 64) return RunFlashSize<T, 64>(stream, op, p);
  if (p.head_size <= 128) return RunFlashSize<T, 128>(stream, op, p);
  return RunFlashShape<T, 256, 1>(stream, op, p);
}

}  // namespace gpu
}  // namespace specattn

// NucleusMask on the CPU. Threads share the rows.
#include "kernels/nucleus_mask.h"

#include "cpu/kernels.h"
#include "cpu/nucleus.h"
#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {

Status NucleusMask(Stream& stream, const Args& args) {
  NucleusMaskCall call = {};
  SPECATTN_RETURN_IF_ERROR(CheckNucleusMask(args, &call));
  const Tensor &weights = *call.weights, &mask = *call.mask;
  const int64_t rows = call.rows, capacity = call.capacity;
  const double p = call.p;
  if (mask.size() == 0) return Ok();

  // Each worker, not each row, has a slice of scratch memory: rows may be many and long.
  const int64_t room = NucleusScratch(capacity);
  const int64_t worth_sharing = 1 + 8192 / capacity;
  const int64_t threads = rows <= worth_sharing ? 1 : static_cast<CpuStream&>(stream).threads();
  const int64_t workers = threads < rows ? threads : rows;
  float* scratch = static_cast<float*>(stream.Scratch(static_cast<size_t>(workers * room) * sizeof(float)));
  SPECATTN_CHECK(scratch != nullptr, "[NucleusMask] no memory for %lld candidates",
                 static_cast<long long>(workers * room));

  const int64_t first = call.position->as<int32_t>()[0];
  ParallelFor(stream, workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      for (int64_t r = worker; r < rows; r += workers) {
        const float* row = weights.as<float>() + r * capacity;
        uint8_t* kept = mask.as<uint8_t>() + r * capacity;
        const int64_t last = first + r + 1;
        const int64_t visible = last < 0 ? 0 : last < capacity ? last : capacity;
        MarkKept(row, visible, NucleusOf(row, visible, p, scratch + worker * room), kept);
        std::memset(kept + visible, 0, static_cast<size_t>(capacity - visible));
      }
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

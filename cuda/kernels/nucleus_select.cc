// NucleusSelect on the CPU. First threads share the nuclei of all sets and steps, which are kept as a byte for each key;
// then they share the sets, whose keys are listed from these bytes.
#include "kernels/nucleus_select.h"

#include "cpu/compact.h"
#include "cpu/kernels.h"
#include "cpu/nucleus.h"
#include "cpu/parallel.h"

namespace specattn {
namespace {

// The sources of a step's weighted rows: the step's rows [R,C] and the fixed rows [U,C].
struct Sources {
  const float *step, *fixed;
};

// The weighted row of a set over the first n keys. If mix, the set's R + U weights, has a single nonzero weight of 1, this
// is the source itself; otherwise the row is written to `sum`.
const float* WeightedRow(const float* mix, const Sources& sources, const Selection& s, int64_t n,
                         float* sum) {
  const auto row_of = [&](int64_t r) {
    return r < s.step_sources ? sources.step + r * s.capacity
                              : sources.fixed + (r - s.step_sources) * s.capacity;
  };
  int64_t used = 0, source = 0;
  for (int64_t r = 0; r < s.sources; ++r) {
    if (mix[r] == 0) continue;
    source = r;
    ++used;
  }
  if (used == 1 && mix[source] == 1.0f) return row_of(source);
  std::memset(sum, 0, static_cast<size_t>(n) * sizeof(float));
  for (int64_t r = 0; r < s.sources; ++r) {
    if (mix[r] == 0) continue;
    const float* row = row_of(r);
    for (int64_t j = 0; j < n; ++j) sum[j] += mix[r] * row[j];
  }
  return sum;
}

// kept[j] = whether key j < past is in the nucleus of step i. scratch: capacity + NucleusScratch(capacity) floats.
void MarkStep(const float* mix, float p, const Sources& sources, int64_t i, const Selection& s,
              float* scratch, uint8_t* kept) {
  if (p >= 1) {
    std::memset(kept, 1, static_cast<size_t>(s.past));
    return;
  }
  const int64_t visible = s.Visible(i);
  const float* row = WeightedRow(mix, sources, s, visible, scratch);
  MarkKept(row, s.past, NucleusOf(row, visible, p, scratch + s.capacity), kept);
}

// bits[j] = the row mask of key j < past as far as nuclei decide. marks [N,past]: the nuclei.
void GatherRows(const uint8_t* marks, const Selection& s, int32_t* bits) {
  const int64_t past = s.past, steps = s.steps;
  int32_t rows[kMaxSteps];
  for (int64_t i = 0; i < steps; ++i) rows[i] = s.RowsOf(i);
  int64_t j = 0;
  for (; j + kLanes <= past; j += kLanes) {
    IVec sum = {};
    for (int64_t i = 0; i < steps; ++i) sum |= -LoadBytes(marks + i * past + j) & rows[i];
    StoreInts(bits + j, sum);
  }
  for (; j < past; ++j) {
    int32_t sum = 0;
    for (int64_t i = 0; i < steps; ++i) sum |= -static_cast<int32_t>(marks[i * past + j]) & rows[i];
    bits[j] = sum;
  }
}

// Lists the keys j < n with bits[j] != 0 in `keys`, moves their row masks to the front of `bits`, and returns their number.
int64_t ListKeys(int64_t n, int32_t* keys, int32_t* bits) {
  int64_t count = 0, j = 0;
  IVec key;
  for (int i = 0; i < kLanes; ++i) key[i] = i;
  for (; j + kLanes <= n; j += kLanes, key += kLanes) {
    const IVec b = LoadInts(bits + j), seen = b != 0;
    StoreSelected(keys + count, key, seen);
    count += StoreSelected(bits + count, b, seen);
  }
  for (; j < n; ++j) {
    const int32_t b = bits[j];
    keys[count] = static_cast<int32_t>(j);
    bits[count] = b;
    count += b != 0;
  }
  return count;
}

// How many of the listed keys the row sees.
int32_t CountRow(const int32_t* bits, int64_t count, int row) {
  IVec sums = {};
  int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) sums += LoadInts(bits + j) >> row & 1;
  int32_t sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += sums[i];
  for (; j < count; ++j) sum += bits[j] >> row & 1;
  return sum;
}

// Writes a set's outputs from its nuclei, marks [N,past].
void SelectKeys(const uint8_t* marks, const Selection& s, int32_t* keys, int32_t* bits, int32_t* count_out,
                int32_t* kept) {
  const int64_t past = s.past;
  GatherRows(marks, s, bits);
  for (int64_t j = 0; j < s.sinks && j < past; ++j) bits[j] = s.AllRows();
  const int64_t oldest = s.position - s.recent + 1;
  for (int64_t j = oldest < 0 ? 0 : oldest; j < past; ++j) bits[j] |= s.AlwaysSeen(j);

  int64_t count = ListKeys(past, keys, bits);
  for (int64_t j = s.position < 0 ? 0 : s.position; j < s.Visible(s.steps); ++j) {  // the block's own keys
    keys[count] = static_cast<int32_t>(j);
    bits[count++] = s.AllRows() & -(1 << (j - s.position));
  }
  *count_out = static_cast<int32_t>(count);
  for (int i = 0; i <= s.steps; ++i) kept[i] = CountRow(bits, count, i);
  const size_t rest = static_cast<size_t>(s.capacity - count) * sizeof(int32_t);
  std::memset(keys + count, 0, rest);
  std::memset(bits + count, 0, rest);
}

}  // namespace

namespace SPECATTN_ISA {

Status NucleusSelect(Stream& stream, const Args& args) {
  NucleusSelectCall call = {};
  SPECATTN_RETURN_IF_ERROR(CheckNucleusSelect(args, &call));
  const Tensor &mix = *call.mix, &p = *call.p;
  const Tensor &keys = *call.keys, &bits = *call.bits, &counts = *call.counts, &kept = *call.kept;
  if (keys.size() == 0) {
    for (int64_t i = 0; i < counts.size(); ++i) counts.as<int32_t>()[i] = 0;
    for (int64_t i = 0; i < kept.size(); ++i) kept.as<int32_t>()[i] = 0;
    return Ok();
  }

  Selection s = call.selection;
  s.Begin(call.position->as<int32_t>()[0]);
  const int64_t sets = s.sets, capacity = s.capacity;
  const float* fixed = call.fixed ? call.fixed->as<float>() : nullptr;
  const int steps = static_cast<int>(s.steps);

  // Scratch memory holds a slice for each worker, then the marks [S,N,past].
  const int64_t tasks = sets * steps;
  const int64_t worth_sharing = 1 + 8192 / (s.past + 1);
  const int64_t threads = tasks <= worth_sharing ? 1 : static_cast<CpuStream&>(stream).threads();
  const int64_t workers = threads < tasks ? threads : tasks;
  const int64_t room = capacity + NucleusScratch(capacity);
  const int64_t floats = workers * room;
  auto* scratch = static_cast<float*>(
      stream.Scratch(static_cast<size_t>(floats) * sizeof(float) + static_cast<size_t>(tasks * s.past)));
  SPECATTN_CHECK(scratch != nullptr || tasks == 0, "[NucleusSelect] no memory for %lld sets of %d steps",
                 static_cast<long long>(sets), steps);
  auto* marks = reinterpret_cast<uint8_t*>(scratch + floats);

  ParallelFor(stream, workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      for (int64_t task = worker; task < tasks; task += workers) {
        const int64_t set = task / steps, i = task % steps;
        MarkStep(mix.as<float>() + set * s.sources, p.as<float>()[set], {call.step[i].as<float>(), fixed}, i,
                 s, scratch + worker * room, marks + task * s.past);
      }
    }
  });
  ParallelFor(stream, sets, 1 + 16384 / (s.past + 1), [&](int64_t begin, int64_t end) {
    for (int64_t set = begin; set < end; ++set) {
      SelectKeys(marks + set * steps * s.past, s, keys.as<int32_t>() + set * capacity,
                 bits.as<int32_t>() + set * capacity, counts.as<int32_t>() + set,
                 kept.as<int32_t>() + set * (steps + 1));
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

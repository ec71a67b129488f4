// GateRow: the gate of SwiGLU, which Linear can apply to its result too.
#pragma once
#include "cpu/simd.h"

namespace specattn {
namespace {

inline Vec Gated(Vec gate, Vec up) { return gate / (1.0f + Exp(-gate)) * up; }

// y = silu(gate) * up
inline void GateRow(const float* gate, const float* up, float* y, int64_t width) {
  int64_t f = 0;
  for (; f + kLanes <= width; f += kLanes) Store(y + f, Gated(Load(gate + f), Load(up + f)));
  const size_t tail = static_cast<size_t>(width - f) * sizeof(float);
  if (tail > 0) {  // in a full vector, so that an element's bits do not depend on its place
    float gates[kLanes] = {}, ups[kLanes] = {}, out[kLanes];
    std::memcpy(gates, gate + f, tail);
    std::memcpy(ups, up + f, tail);
    Store(out, Gated(Load(gates), Load(ups)));
    std::memcpy(y + f, out, tail);
  }
}

}  // namespace
}  // namespace specattn

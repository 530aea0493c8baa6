// The tensor-core instructions of engine/cuda/mma.h in plain C++, with the lane layouts of the PTX ISA.
#pragma once
#include "tests/emulator/emulator.h"

namespace emulator {
// The row addresses that all lanes gave.
inline void rows_of_lanes(const __nv_bfloat16* row, uint64_t (&rows)[32]) {
  if (reinterpret_cast<uintptr_t>(row) % 16) misuse("ldmatrix: a row address is not a multiple of 16 bytes");
  gather(reinterpret_cast<uint64_t>(row), rows);
}
inline uint32_t element(uint64_t row, int column) { return reinterpret_cast<const uint16_t*>(row)[column]; }
}  // namespace emulator

inline Fragment load_fragment(const __nv_bfloat16* row) {
  uint64_t rows[32];
  emulator::rows_of_lanes(row, rows);
  const int l = emulator::lane(), column = l % 4 * 2;
  Fragment f;
  for (int m = 0; m < 4; m++)
    f.r[m] = emulator::element(rows[m * 8 + l / 4], column) | emulator::element(rows[m * 8 + l / 4], column + 1) << 16;
  __syncwarp();
  return f;
}

inline Fragment load_fragment_transposed(const __nv_bfloat16* row) {
  uint64_t rows[32];
  emulator::rows_of_lanes(row, rows);
  const int l = emulator::lane(), first = l % 4 * 2;
  Fragment f;
  for (int m = 0; m < 4; m++)
    f.r[m] = emulator::element(rows[m * 8 + first], l / 4) | emulator::element(rows[m * 8 + first + 1], l / 4) << 16;
  __syncwarp();
  return f;
}

inline void multiply_add(float (&c)[4], const Fragment& a, uint32_t b0, uint32_t b1) {
  emulator::multiply_add(c, a.r, b0, b1);
}

inline float power_of_2(float x) { return x < -126 ? 0 : std::exp2(x); }

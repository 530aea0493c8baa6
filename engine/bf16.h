// bfloat16: the upper half of a float.
// defines: bf16, to_bf16, from_bf16
#pragma once
#include <bit>
#include <cstdint>
#include "engine/math.h"

using bf16 = uint16_t;
// round to nearest even; NaN stays NaN
HD inline bf16 to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = x != x ? bits | 0x400000 : bits + 0x7FFF + (bits >> 16 & 1);
  return bf16(rounded >> 16);
}
HD inline float from_bf16(bf16 x) { return std::bit_cast<float>(uint32_t(x) << 16); }

// FNV-1a, 64 bits: tells bytes apart, no more.
// defines: fnv1a
#pragma once
#include <cstdint>
#include <string_view>

constexpr uint64_t fnv1a(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : bytes) hash = (hash ^ uint8_t(byte)) * 0x100000001b3;
  return hash;
}

// Files damaged in a way that can be repeated: the same number gives the same bytes.
// defines: mutated, right_checksum
#pragma once
#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <string>
#include <vector>
#include <zlib.h>

#include "engine/random.h"

// One of the seeds with one to four changes: bits, bytes and numbers set, ranges left out, repeated, swapped in from
// another seed, an early end.
inline std::string mutated(const std::vector<std::string>& seeds, uint64_t number) {
  Random random(number, 0, 0);
  const auto below = [&](size_t n) { return size_t(random.uniform() * double(n)); };
  std::string bytes = seeds[below(seeds.size())];
  for (size_t change = 0, changes = 1 + below(4); change < changes && !bytes.empty(); change++) {
    const size_t at = below(bytes.size()), size = 1 + below(std::min<size_t>(64, bytes.size() - at));
    switch (below(7)) {
      case 0: bytes[at] = char(bytes[at] ^ (1 << below(8))); break;
      case 1: bytes[at] = "\0\1\x7F\x80\xFF 9-"[below(8)]; break;
      case 2: bytes.replace(at, size, std::string(std::min<size_t>(size, 4), below(2) ? '\xFF' : '\x7F')); break;
      case 3: bytes.erase(at, size); break;
      case 4: bytes.insert(at, bytes.substr(at, size)); break;
      case 5: {
        const std::string& other = seeds[below(seeds.size())];
        if (!other.empty()) bytes.insert(at, other.substr(below(other.size()), 1 + below(64)));
        break;
      }
      default: bytes.resize(at);
    }
  }
  return bytes;
}

// Makes the checksum in the header of a safetensors file that of its data, so that what is behind it is read.
inline void right_checksum(std::string& bytes) {
  const std::string key = "\"crc32\":\"";
  const size_t at = bytes.find(key);
  uint64_t header = 0;
  if (at == bytes.npos || at + key.size() + 8 > bytes.size()) return;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header > bytes.size() - sizeof header) return;
  const std::string_view data = std::string_view(bytes).substr(sizeof header + header);
  const auto sum = crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size());
  bytes.replace(at + key.size(), 8, fmt::format("{:08x}", sum));
}

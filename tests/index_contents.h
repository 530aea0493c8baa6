// What an index holds.
// defines: bytes_of, labels_of
#pragma once
#include <string>
#include <vector>
#include "data/index.h"

inline std::string bytes_of(const Index& index, size_t i) {
  std::vector<uint8_t> bytes;
  index.read(i, bytes);
  return {bytes.begin(), bytes.end()};
}

inline std::vector<int> labels_of(const Index& index) {
  std::vector<int> labels;
  for (size_t i = 0; i < index.size(); i++) labels.push_back(index.label(i));
  return labels;
}

// Small shards, and what an index of them holds.
// defines: ShardFolder, sample, bytes_of, labels_of
#pragma once
#include <string>
#include <vector>
#include "data/index.h"
#include "tests/tar_builder.h"
#include "tests/temp_dir.h"

struct ShardFolder {
  TempDir dir;
  std::filesystem::path path(const std::string& name) const { return dir.path() / name; }
  std::string write(const std::string& bytes, const std::string& name = "s.tar") const {
    return write_file(path(name), bytes).string();
  }
};

// The members of a shard that make one sample.
inline std::string sample(const std::string& key, int label, const std::string& image = "image") {
  return tar_entry(key + ".cls", std::to_string(label)) + tar_entry(key + ".jpg", image);
}

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

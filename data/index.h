// All samples of a source: where each image lies, its label, and its bytes on request.
// defines: Index
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "data/scan.h"

class Index {
 public:
  // scans the shards, or reads their scans from cache_dir (see scan_cache.h); an empty cache_dir means no cache
  static Index open(const std::string& source, const std::filesystem::path& cache_dir);

  size_t size() const { return size_; }
  int label(size_t i) const { return at(i).sample.label; }
  int max_label() const { return max_label_; }
  std::string key(size_t i) const;
  std::string where(size_t i) const;    // "shard.tar:member.jpg", for messages
  // the image's bytes; any thread may call it; a shard that became shorter is a data error
  void read(size_t i, std::vector<uint8_t>& bytes) const;

  bool from_cache() const { return from_cache_; }
  const std::string& summary() const { return summary_; }    // shards, samples, what was skipped: one line
  // a label that the model has no class for is a data error that names the first such member
  void require_labels_below(int classes) const;

 private:
  struct Shard {
    File file;
    size_t first;    // number of its first sample
    Scan scan;
  };
  struct Location {
    const File& file;
    const Sample& sample;
  };
  Location at(size_t i) const;
  std::string member_name(size_t i) const;
  void scan_all(const std::filesystem::path& cache_dir);
  void count(const std::string& source, const std::filesystem::path& cache_dir);

  std::vector<Shard> shards_;
  size_t size_ = 0;
  int max_label_ = -1;
  bool from_cache_ = true, cache_written_ = true;
  std::string summary_;
};

// Writes samples into WebDataset tar shards: DIR/PREFIX-0000.tar, ... The same samples give the same bytes.
// defines: ShardWriter, Unfinished, unfinished_file
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

class ShardWriter {
 public:
  using Members = std::vector<std::pair<std::string, std::string>>;    // extension, bytes

  // refuses a folder that already holds shards of this prefix
  ShardWriter(const std::filesystem::path& dir, const std::string& prefix, size_t samples_per_shard);

  // a shard is kept in memory and written whole once it has its samples, or 256 MB
  void add(const std::string& key, Members members);
  void close();    // writes the last shard

 private:
  void append_member(const std::string& name, const std::string& bytes);

  std::filesystem::path dir_;
  std::string prefix_;
  size_t samples_per_shard_, samples_ = 0;
  int shard_ = 0;
  std::string tar_;
};

// Beside shards as long as there are more to come: whoever reads the folder sees that the set is not whole.
inline constexpr const char* unfinished_file = "pack-unfinished.txt";
class Unfinished {
 public:
  explicit Unfinished(const std::filesystem::path& dir);    // after all that may refuse, before the first shard  
  void finish();                                            // everything is written

 private:
  std::filesystem::path dir_;
};

// The cache of a tar's index: what is believed of it lies in the tar. Its last 8 bytes are made its checksum.
#include "data/shards/scan_cache.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "data/shards/shard.h"
#include "engine/hash.h"
#include "tests/fuzz/fuzz.h"
#include "tests/tar_builder.h"

namespace {
// The same file in each call: a cache is of one.
const std::filesystem::path& shard() {
  static const auto path = scratch("s.tar", tar_entry("a.jpg", "image") + tar_entry("a.cls", "7 3") + tar_end());
  return path;
}
std::filesystem::path cache() { return shard().parent_path() / "cache"; }
std::filesystem::path kept() {
  static const std::filesystem::path path = [] {
    write_cached_scan(cache(), File(shard()), open_shard(shard())->scan());
    return std::filesystem::directory_iterator(cache())->path();
  }();
  return path;
}
}  // namespace

void run(Bytes input) {
  std::string bytes = text_of(input);
  if (bytes.size() < 8) return;
  const uint64_t sum = fnv1a(std::string_view(bytes).substr(0, bytes.size() - 8));
  std::memcpy(&bytes[bytes.size() - 8], &sum, sizeof sum);
  std::ofstream(kept(), std::ios::binary) << bytes;
  const auto scan = read_cached_scan(cache(), File(shard()));
  for (const Sample& sample : scan ? scan->samples : std::vector<Sample>())
    if (sample.offset + sample.size > File(shard()).size() || scan->labels_of(sample).empty()) std::abort();
  if (const auto opened = open_shard(shard()); scan && opened->could_have(*scan))
    for (size_t k = 0; k < scan->samples.size(); k++) opened->where(*scan, k);
}

std::vector<std::string> seeds() {
  std::ifstream file(kept(), std::ios::binary);
  return {{std::istreambuf_iterator<char>(file), {}}};
}

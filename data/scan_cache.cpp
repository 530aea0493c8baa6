#include "data/scan_cache.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "engine/error.h"
#include "engine/files.h"
#include "engine/hash.h"

namespace fs = std::filesystem;

namespace {
// A cache file is this header, the shard's path, its classes' names, each ended by a zero byte, the sets of labels,
// the samples, and a checksum of all of it.
struct CacheHeader {
  char magic[8] = {'R', 'L', 'X', 'S', 'C', 'A', 'N', '4'};    // the last character is the format's version
  uint64_t shard_size = 0;
  int64_t shard_modified = 0;
  uint64_t path_size = 0, classes_size = 0, label_sets = 0, labels = 0, samples = 0, without_image = 0, skipped_members = 0;
};

std::string identity(const File& shard) { return fs::absolute(shard.path()).lexically_normal().string(); }

fs::path cache_file(const fs::path& cache_dir, const File& shard) {
  return cache_dir / fmt::format("{:016x}.scan", fnv1a(identity(shard)));
}

template <class T>
std::string_view view(const T* first, size_t count) {
  return {reinterpret_cast<const char*>(first), count * sizeof(T)};
}
}

fs::path default_cache_dir() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && cache[0] == '/') return fs::path(cache) / "relucent";
  if (const char* home = std::getenv("HOME"); home && home[0] == '/') return fs::path(home) / ".cache" / "relucent";
  return {};
}

std::optional<Scan> read_cached_scan(const fs::path& cache_dir, const File& shard) try {
  const fs::path path = cache_file(cache_dir, shard);
  if (!fs::exists(path)) return {};
  const MappedFile file(path);
  const std::string_view bytes = view(file.bytes().data(), file.bytes().size());
  CacheHeader header;
  uint64_t sum = 0;
  const std::string name = identity(shard);
  const size_t fixed = sizeof header + name.size() + sizeof sum;
  if (bytes.size() < fixed) return {};
  const size_t variable = bytes.size() - fixed;

  std::memcpy(&header, bytes.data(), sizeof header);
  std::memcpy(&sum, bytes.data() + bytes.size() - sizeof sum, sizeof sum);
  const std::string_view content = bytes.substr(0, bytes.size() - sizeof sum);
  if (std::memcmp(header.magic, CacheHeader().magic, sizeof header.magic) || sum != fnv1a(content) ||
      header.shard_size != shard.size() || header.shard_modified != shard.modified() ||
      content.substr(sizeof header, name.size()) != name || header.path_size != name.size() ||
      header.classes_size > variable || header.label_sets > (variable - header.classes_size) / sizeof(int32_t) ||
      header.samples != (variable - header.classes_size - header.label_sets * sizeof(int32_t)) / sizeof(Sample))
    return {};

  Scan scan;
  scan.labels = LabelKind(header.labels);
  scan.without_image = header.without_image;
  scan.skipped_members = header.skipped_members;
  std::string_view classes = content.substr(sizeof header + name.size(), header.classes_size);
  for (size_t end; (end = classes.find('\0')) != classes.npos; classes.remove_prefix(end + 1))
    scan.classes.emplace_back(classes.substr(0, end));
  const char* at = content.data() + sizeof header + name.size() + header.classes_size;
  const auto take = [&at](auto& values, uint64_t count) {
    values.resize(count);
    if (count) std::memcpy(values.data(), at, count * sizeof values[0]);
    at += count * sizeof values[0];
  };
  take(scan.label_sets, header.label_sets);
  take(scan.samples, header.samples);
  return scan;
} catch (const std::exception&) {    // whatever is wrong with it, the shard itself is there to be scanned
  return {};
}

bool write_cached_scan(const fs::path& cache_dir, const File& shard, const Scan& scan) try {
  fs::create_directories(cache_dir);
  CacheHeader header;
  const std::string name = identity(shard);
  std::string classes;
  for (const std::string& name_of_class : scan.classes) classes += name_of_class + '\0';
  header.shard_size = shard.size();
  header.shard_modified = shard.modified();
  header.path_size = name.size();
  header.classes_size = classes.size();
  header.label_sets = scan.label_sets.size();
  header.labels = uint64_t(scan.labels);
  header.samples = scan.samples.size();
  header.without_image = scan.without_image;
  header.skipped_members = scan.skipped_members;

  std::string bytes(view(&header, 1));
  bytes += name;
  bytes += classes;
  bytes += view(scan.label_sets.data(), scan.label_sets.size());
  bytes += view(scan.samples.data(), scan.samples.size());
  const uint64_t sum = fnv1a(bytes);
  bytes += view(&sum, 1);
  write_atomically(cache_file(cache_dir, shard), [&](Writer& writer) { writer.write(bytes); });
  return true;
} catch (const std::exception&) {    // the caller says so once; a run does not need the cache
  return false;
}

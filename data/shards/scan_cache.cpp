#include "data/shards/scan_cache.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "data/class_names.h"
#include "data/decimal.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/hash.h"

namespace fs = std::filesystem;

namespace {
// A cache file is this header, the shard's path, its classes' names, each ended by a zero byte, what was skipped, in
// the same way, the hard links, the sets of labels, the samples, and a checksum of all of it.
struct CacheHeader {
  char magic[8] = {'R', 'L', 'X', 'S', 'C', 'A', 'N', '5'};    // the last character is the format's version
  uint64_t shard_size = 0;
  File::State shard;
  uint64_t labels = 0;
  uint64_t path = 0, classes = 0, without_image = 0, skipped = 0;    // bytes
  uint64_t links = 0, label_sets = 0, samples = 0;                   // of these each has its size
};

std::string identity(const File& shard) { return fs::absolute(shard.path()).lexically_normal().string(); }

fs::path cache_file(const fs::path& cache_dir, const File& shard) {
  return cache_dir / fmt::format("{:016x}.scan", fnv1a(identity(shard)));
}

template <class T>
std::string_view view(const T* first, size_t count) {
  return {reinterpret_cast<const char*>(first), count * sizeof(T)};
}

// What follows the header, taken from the front; it does not fit where more is asked for than there is.
struct Parts {
  std::string_view rest;
  bool fit = true;

  std::string_view text(uint64_t size) {
    fit &= size <= rest.size();
    const std::string_view part = rest.substr(0, fit ? size : 0);
    rest.remove_prefix(part.size());
    return part;
  }
  template <class T>
  void take(std::vector<T>& values, uint64_t count) {
    fit &= count <= rest.size() / sizeof(T);
    const std::string_view part = text(fit ? count * sizeof(T) : 0);
    values.resize(part.size() / sizeof(T));
    if (!part.empty()) std::memcpy(values.data(), part.data(), part.size());
  }
};

std::string zero_ended(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += word + '\0';
  return text;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (size_t end; (end = text.find('\0')) != text.npos; text.remove_prefix(end + 1))
    words.emplace_back(text.substr(0, end));
  return words;
}

std::vector<std::string> words_of(const Tally& tally) {    // what, its count, what ...
  std::vector<std::string> words;
  for (const auto& [what, count] : tally.counts()) words.insert(words.end(), {what, std::to_string(count)});
  return words;
}

Tally tally_of(const std::vector<std::string>& words) {
  Tally tally;
  for (size_t i = 0; i + 1 < words.size(); i += 2) tally.add(words[i], uint64_t(decimal(words[i + 1]).value_or(0)));
  return tally;
}

// Whoever wrote the cache: labels that there are, and bytes that lie in the file. The shard checks the rest.
bool could_be_of(const Scan& scan, const File& shard) {
  const auto is_label = [&](int64_t label) {
    if (scan.labels == LabelKind::class_position) return label >= 0 && uint64_t(label) < scan.classes.size();
    return scan.labels == LabelKind::given ? label >= 0 && label < most_classes : label >= 1;
  };
  const auto is_set = [&](int64_t at) {
    const auto left = std::span(scan.label_sets).subspan(std::min(size_t(at), scan.label_sets.size()));
    if (left.empty() || left[0] < 1 || size_t(left[0]) >= left.size()) return false;
    const auto set = left.subspan(1, size_t(left[0]));
    return std::all_of(set.begin(), set.end(), is_label);
  };
  return std::all_of(scan.samples.begin(), scan.samples.end(), [&](const Sample& sample) {
    return sample.offset <= shard.size() && sample.size <= shard.size() - sample.offset &&
           (sample.label < 0 ? is_set(-1 - int64_t(sample.label)) : is_label(sample.label));
  });
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
  if (bytes.size() < sizeof header + sizeof sum) return {};
  std::memcpy(&header, bytes.data(), sizeof header);
  std::memcpy(&sum, bytes.data() + bytes.size() - sizeof sum, sizeof sum);
  const std::string_view content = bytes.substr(0, bytes.size() - sizeof sum);
  if (std::memcmp(header.magic, CacheHeader().magic, sizeof header.magic) || sum != fnv1a(content) ||
      header.shard_size != shard.size() || header.shard != shard.state() ||
      header.labels > uint64_t(LabelKind::image_number))
    return {};

  Parts parts{content.substr(sizeof header)};
  if (parts.text(header.path) != identity(shard)) return {};
  Scan scan;
  scan.labels = LabelKind(header.labels);
  scan.classes = words_of(parts.text(header.classes));
  scan.without_image = tally_of(words_of(parts.text(header.without_image)));
  scan.skipped = tally_of(words_of(parts.text(header.skipped)));
  parts.take(scan.links, header.links);
  parts.take(scan.label_sets, header.label_sets);
  parts.take(scan.samples, header.samples);
  if (!parts.fit || !parts.rest.empty() || !could_be_of(scan, shard)) return {};
  return scan;
} catch (const std::exception&) {    // whatever is wrong with it, the shard itself is there to be scanned
  return {};
}

bool write_cached_scan(const fs::path& cache_dir, const File& shard, const Scan& scan) try {
  fs::create_directories(cache_dir);
  CacheHeader header;
  const std::string name = identity(shard);
  const std::string classes = zero_ended(scan.classes), without_image = zero_ended(words_of(scan.without_image)),
                    skipped = zero_ended(words_of(scan.skipped));
  header.shard_size = shard.size();
  header.shard = shard.state();
  header.labels = uint64_t(scan.labels);
  header.path = name.size();
  header.classes = classes.size();
  header.without_image = without_image.size();
  header.skipped = skipped.size();
  header.links = scan.links.size();
  header.label_sets = scan.label_sets.size();
  header.samples = scan.samples.size();

  std::string bytes(view(&header, 1));
  bytes += name + classes + without_image + skipped;
  bytes += view(scan.links.data(), scan.links.size());
  bytes += view(scan.label_sets.data(), scan.label_sets.size());
  bytes += view(scan.samples.data(), scan.samples.size());
  const uint64_t sum = fnv1a(bytes);
  bytes += view(&sum, 1);
  write_atomically(cache_file(cache_dir, shard), [&](Writer& writer) { writer.write(bytes); });
  return true;
} catch (const std::exception&) {    // the caller says so once; a run does not need the cache
  return false;
}

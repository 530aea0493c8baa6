#include "data/index.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

#include "data/paths.h"
#include "data/shards/scan_cache.h"
#include "data/source.h"
#include "engine/error.h"

Index Index::open(const std::string& source, const std::filesystem::path& cache_dir, int classes) {
  Index index;
  raise_open_file_limit();
  for (const auto& path : expand_source(source)) index.shards_.push_back({open_shard(path), {}});
  index.scan_all(cache_dir);
  index.number_classes(source, classes);
  index.count(source, cache_dir);
  index.check_wnids(classes);
  return index;
}

Index Index::of(std::shared_ptr<const Members> members) {
  if (members->all().empty()) fail(ExitCode::data, "no images; {} skipped", members->passed_over().text());
  Index index;
  ScannedShard& all = index.shards_.emplace_back();
  all.shard = shard_of_members(members);
  all.scan = all.shard->scan();
  index.size_ = all.scan.samples.size();
  index.from_cache_ = false;
  index.summary_ = fmt::format("{} image{}", index.size_, index.size_ == 1 ? "" : "s");
  if (members->passed_over().total()) index.summary_ += fmt::format(", {} skipped", members->passed_over().text());
  return index;
}

// Scanning mostly waits for the disk: more threads than cores. Of several damaged shards the first one is reported.
void Index::scan_all(const std::filesystem::path& cache_dir) {
  std::vector<std::exception_ptr> errors(shards_.size());
  std::atomic<size_t> next = 0;
  std::atomic<bool> scanned = false, unwritable = false, stop = false;
  const auto scan = [&](ScannedShard& s) {
    const File* const file = cache_dir.empty() ? nullptr : s.shard->cached_file();
    if (file)
      if (auto scan = read_cached_scan(cache_dir, *file); scan && s.shard->could_have(*scan)) {
        s.scan = std::move(*scan);
        return;
      }
    scanned = true;
    s.scan = s.shard->scan();
    if (file && !write_cached_scan(cache_dir, *file, s.scan)) unwritable = true;
  };
  const auto work = [&] {
    for (size_t s; !stop && (s = next++) < shards_.size();) {
      try {
        scan(shards_[s]);
      } catch (...) {
        errors[s] = std::current_exception();
        stop = true;
      }
    }
  };
  std::vector<std::jthread> threads;
  for (size_t i = 1; i < std::min<size_t>(shards_.size(), 8); i++) threads.emplace_back(work);
  work();
  threads.clear();    // joins
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  from_cache_ = !scanned;
  cache_written_ = !unwritable;
}

void Index::count(const std::string& source, const std::filesystem::path& cache_dir) {
  Tally without_image, skipped;
  uint64_t in_subfolders = 0;
  for (ScannedShard& shard : shards_) {
    shard.first = size_;
    size_ += shard.scan.samples.size();
    without_image.add(shard.scan.without_image);
    skipped.add(shard.scan.skipped);
    in_subfolders += shard.scan.in_subfolders;
  }
  find_max_label();
  if (size_ == 0)
    fail(ExitCode::data, "no images in '{}': expected jpg, jpeg or png; {} samples without one, {} other members",
         source, without_image.text(), skipped.text());
  summary_ = fmt::format("{} shard{}, {} samples", shards_.size(), shards_.size() == 1 ? "" : "s", size_);
  if (by_name_)
    summary_ += fmt::format(", {} classes {}", classes_.size(), list_.empty() ? "by sorted name" : "of " + list_);
  if (by_place_)
    summary_ += fmt::format(", labels of {} shard{} without a class list taken by place", by_place_,
                            by_place_ == 1 ? "" : "s");
  if (in_subfolders) summary_ += fmt::format(", {} in folders within their class's", in_subfolders);
  if (without_image.total()) summary_ += fmt::format(", without an image skipped: {}", without_image.text());
  if (skipped.total()) summary_ += fmt::format(", other members skipped: {}", skipped.text());
  if (from_cache_) summary_ += ", index from the cache";
  if (!cache_written_) summary_ += fmt::format(", index not kept: {} cannot be written", cache_dir.string());
}

Labels Index::labels(size_t i) const {
  const auto [in, sample] = at(i);
  return in.scan.labels_of(in.scan.samples[sample]);
}

Index::Location Index::at(size_t i) const {
  const auto after = std::upper_bound(shards_.begin(), shards_.end(), i,
                                      [](size_t number, const ScannedShard& s) { return number < s.first; });
  const ScannedShard& in = *std::prev(after);
  return {in, i - in.first};
}

std::string Index::key(size_t i) const {
  const auto [in, sample] = at(i);
  std::string_view key, extension;
  const std::string name = in.shard->name_of(in.scan, sample);
  return split_member_name(name, key, extension) ? std::string(key) : name;
}

std::string Index::where(size_t i) const {
  const auto [in, sample] = at(i);
  return in.shard->where(in.scan, sample);
}

void Index::read(size_t i, std::vector<uint8_t>& bytes) const {
  const auto [in, sample] = at(i);
  in.shard->read(in.scan, sample, bytes);
}

Image Index::image(size_t i, std::vector<uint8_t>& bytes) const {
  read(i, bytes);
  try {
    return at(i).in.shard->decode(bytes);
  } catch (const Error& error) {    // where() reads from the shard: only now
    fail(error.code, "{}: {}", where(i), error.what());
  }
}

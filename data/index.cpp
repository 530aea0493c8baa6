#include "data/index.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

#include "data/cifar.h"
#include "data/folder.h"
#include "data/scan_cache.h"
#include "data/source.h"
#include "data/tar.h"
#include "engine/error.h"

Index Index::open(const std::string& source, const std::filesystem::path& cache_dir, int classes) {
  Index index;
  raise_open_file_limit();
  for (const auto& path : expand_source(source)) {
    Shard& shard = index.shards_.emplace_back();
    shard.path = path;
    if (!std::filesystem::is_directory(path)) shard.file = std::make_shared<const File>(path);
  }
  index.scan_all(cache_dir);
  index.number_classes(source, classes);
  index.count(source, cache_dir);
  index.check_wnids(classes);
  return index;
}

Index Index::of(std::shared_ptr<const Members> members) {
  if (members->all().empty()) fail(ExitCode::data, "no images; {} skipped", members->passed_over().text());
  Index index;
  Shard& shard = index.shards_.emplace_back();
  shard.scan.layout = Layout::files;
  const int32_t none = shard.scan.add_label_set({});
  for (size_t k = 0; k < members->all().size(); k++)
    shard.scan.samples.push_back({.offset = k, .header = 0, .size = 0, .label = none});
  index.size_ = members->all().size();
  index.from_cache_ = false;
  index.summary_ = fmt::format("{} image{}", index.size_, index.size_ == 1 ? "" : "s");
  if (members->passed_over().total()) index.summary_ += fmt::format(", {} skipped", members->passed_over().text());
  shard.members = std::move(members);
  return index;
}

const Member* Index::member_of(size_t i) const {
  const auto [shard, sample] = at(i);
  return shard.members ? &shard.members->all()[sample.offset] : nullptr;
}

// Scanning mostly waits for the disk: more threads than cores. Of several damaged shards the first one is reported.
void Index::scan_all(const std::filesystem::path& cache_dir) {
  std::vector<std::exception_ptr> errors(shards_.size());
  std::atomic<size_t> next = 0;
  std::atomic<bool> scanned = false, unwritable = false, stop = false;
  const auto scan = [&](Shard& shard) {
    const bool tar = shard.file && !is_cifar(shard.path), cached = tar && !cache_dir.empty();
    if (cached)
      if (auto scan = read_cached_scan(cache_dir, *shard.file)) {
        shard.scan = std::move(*scan);
        return;
      }
    scanned = true;
    shard.scan = !shard.file ? scan_folder(shard.path) : tar ? scan_tar(*shard.file) : scan_cifar(*shard.file);
    if (cached && !write_cached_scan(cache_dir, *shard.file, shard.scan)) unwritable = true;
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
  for (Shard& shard : shards_) {
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
  if (by_name_) summary_ += fmt::format(", {} classes {}", classes_.size(), list_.empty() ? "by sorted name" : "of " + list_);
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
  const auto [shard, sample] = at(i);
  return shard.scan.labels_of(sample);
}

Index::Location Index::at(size_t i) const {
  const auto after = std::upper_bound(shards_.begin(), shards_.end(), i,
                                      [](size_t number, const Shard& shard) { return number < shard.first; });
  const Shard& shard = *std::prev(after);
  return {shard, shard.scan.samples[i - shard.first]};
}

std::string Index::member_name(size_t i) const {
  const auto [shard, sample] = at(i);
  if (shard.members) return member_of(i)->path;
  if (shard.scan.layout == Layout::files) return shard.scan.names.c_str() + sample.offset;
  if (shard.scan.layout == Layout::records)
    return std::to_string((sample.offset - sample.header) / (sample.header + sample.size));
  if (sample.header) return TarReader::name_at(*shard.file, sample.offset - sample.header * tar_block);
  const auto& links = shard.scan.links;
  const auto before = [](const HardLink& link, uint64_t number) { return link.sample < number; };
  return TarReader::name_at(*shard.file, std::lower_bound(links.begin(), links.end(), i - shard.first, before)->header);
}

std::string Index::key(size_t i) const {
  std::string_view key, extension;
  const std::string name = member_name(i);
  return split_member_name(name, key, extension) ? std::string(key) : name;
}

std::string Index::where(size_t i) const {
  const auto [shard, sample] = at(i);
  if (shard.members) return member_of(i)->where;
  try {
    return shard.path.string() + (shard.file ? ":" : "/") + member_name(i);
  } catch (const Error&) {    // the shard changed below us; the place still helps
    return fmt::format("{}:(offset {})", shard.path.string(), uint64_t(sample.offset));
  }
}

void Index::read(size_t i, std::vector<uint8_t>& bytes) const {
  const auto [shard, sample] = at(i);
  if (shard.members) {
    const std::string member = shard.members->read(*member_of(i));
    bytes.assign(member.begin(), member.end());
    return;
  }
  std::optional<File> own;
  if (!shard.file) own.emplace(shard.path / member_name(i));
  const File& file = own ? *own : *shard.file;
  const uint64_t offset = own ? 0 : sample.offset;
  bytes.resize(own ? file.size() : sample.size);
  const size_t got = file.read(offset, bytes.data(), bytes.size());
  if (got < bytes.size())
    fail(ExitCode::data, "{}: got {} of {} bytes at offset {}: the shard changed since it was indexed; start again",
         where(i), got, bytes.size(), offset);
}

Image Index::image(size_t i, std::vector<uint8_t>& bytes) const {
  read(i, bytes);
  if (at(i).shard.scan.layout == Layout::records) return decode_cifar(bytes);
  try {
    return decode_image(bytes);
  } catch (const Error& error) {    // where() reads from the shard: only now
    fail(error.code, "{}: {}", where(i), error.what());
  }
}

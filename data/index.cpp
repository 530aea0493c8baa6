#include "data/index.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <set>
#include <thread>

#include "data/cifar.h"
#include "data/folder.h"
#include "data/imagenet.h"
#include "data/labels.h"
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
    if (!std::filesystem::is_directory(path)) shard.file.emplace(path);
  }
  index.scan_all(cache_dir);
  index.number_classes(source, classes);
  index.count(source, cache_dir);
  index.check_wnids(classes);
  return index;
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

// One numbering for all shards: by the class list, else by the list of ImageNet that is asked for, else by the sorted
// names of all classes that any of them has.
void Index::number_classes(const std::string& source, int classes) {
  std::set<std::string> found;
  const Shard* named = nullptr;
  const Shard* numbered = nullptr;
  for (Shard& shard : shards_) {
    if (shard.scan.labels == LabelKind::image_number) take_label_file(shard.path, shard.scan);
    if (shard.scan.labels == LabelKind::class_position) found.insert(shard.scan.classes.begin(), shard.scan.classes.end());
    if (!shard.scan.samples.empty()) (shard.scan.labels == LabelKind::given ? numbered : named) = &shard;
  }
  classes_ = class_list(shards_.front().path);
  if (!named) return;
  if (classes_.empty() && numbered)
    fail(ExitCode::data, "'{}' mixes classes by name, as in {}, and by number, as in {}: expected a classes.txt beside "
         "{} that numbers the names", source, named->path.string(), numbered->path.string(),
         shards_.front().path.string());
  by_name_ = classes_.empty();
  if (by_name_) {
    classes_.assign(found.begin(), found.end());
    const ImagenetList* list = imagenet_list_with(classes_);
    if (const ImagenetList* asked = imagenet_list_of(classes);
        asked && std::includes(asked->wnids.begin(), asked->wnids.end(), classes_.begin(), classes_.end())) list = asked;
    if (list) classes_ = list->wnids, list_ = list->title;
  }
  for (Shard& shard : shards_)
    if (shard.scan.labels == LabelKind::class_position) label_by_name(shard.path, shard.scan, classes_);
}

// Labels that are numbers, against the wnids that keys start with: a set whose labels are shifted by one trains as well,
// and only its accuracy on other data shows it.
void Index::check_wnids(int classes) {
  std::vector<std::string> wnids;
  for (const Shard& shard : shards_) {
    if (shard.scan.labels != LabelKind::given) continue;
    if (wnids.size() < shard.scan.classes.size()) wnids.resize(shard.scan.classes.size());
    for (size_t label = 0; label < shard.scan.classes.size(); label++) {
      const std::string& wnid = shard.scan.classes[label];
      if (wnids[label].empty()) wnids[label] = wnid;
      if (!wnid.empty() && wnid != wnids[label])
        fail(ExitCode::data, "{}: its keys have label {} for {}, but other shards for {}: these shards do not belong together",
             shard.path.string(), label, wnid, wnids[label]);
    }
  }
  if (wnids.empty()) return;
  const auto differs_at = [&](const std::vector<std::string>& list) {
    size_t label = 0;
    while (label < wnids.size() && (wnids[label].empty() || (label < list.size() && wnid_of(list[label]) == wnids[label]))) label++;
    return label;
  };
  const ImagenetList* asked = imagenet_list_of(classes);
  const bool listed = !classes_.empty() && !wnid_of(classes_[0]).empty();
  if (!listed && !asked) {
    const auto& lists = imagenet_lists();
    const auto list = std::find_if(lists.begin(), lists.end(), [&](const auto& l) { return differs_at(l.wnids) == wnids.size(); });
    summary_ += ", labels as in " + (list == lists.end() ? "no list of ImageNet" : list->title);
    return;
  }
  const std::vector<std::string>& names = listed ? classes_ : asked->wnids;
  const size_t label = differs_at(names);
  if (label == wnids.size()) return;
  for (size_t i = 0; i < size_; i++)
    if (this->label(i) == int(label))
      fail(ExitCode::data, "{}: label {} for {}, but {} has {} there: correct the labels or the class list", where(i), label, wnids[label],
           listed ? "the class list" : asked->title, label < names.size() ? names[label] : "no class");
}

void Index::count(const std::string& source, const std::filesystem::path& cache_dir) {
  uint64_t without_image = 0, skipped_members = 0;
  for (Shard& shard : shards_) {
    shard.first = size_;
    size_ += shard.scan.samples.size();
    without_image += shard.scan.without_image;
    skipped_members += shard.scan.skipped_members;
    for (const Sample& sample : shard.scan.samples)
      for (const int32_t label : shard.scan.labels_of(sample)) max_label_ = std::max(max_label_, int(label));
  }
  if (size_ == 0)
    fail(ExitCode::data, "no images in '{}': {} samples without a jpg, jpeg, png or webp, {} other members", source,
         without_image, skipped_members);
  summary_ = fmt::format("{} shard{}, {} samples", shards_.size(), shards_.size() == 1 ? "" : "s", size_);
  if (by_name_) summary_ += fmt::format(", {} classes {}", classes_.size(), list_.empty() ? "by sorted name" : "of " + list_);
  if (without_image) summary_ += fmt::format(", {} without an image skipped", without_image);
  if (skipped_members) summary_ += fmt::format(", {} other members skipped", skipped_members);
  if (from_cache_) summary_ += ", index from the cache";
  if (!cache_written_) summary_ += fmt::format(", index not kept: {} cannot be written", cache_dir.string());
}

Labels Index::labels(size_t i) const {
  const auto [shard, sample] = at(i);
  return shard.scan.labels_of(sample);
}

void Index::take_real_labels(const std::filesystem::path& path) {
  const std::vector<std::vector<int32_t>> labels = read_real_labels(path);
  max_label_ = -1;
  for (Shard& shard : shards_)
    for (size_t k = 0; k < shard.scan.samples.size(); k++) {
      const size_t i = shard.first + k, number = size_t(validation_number(key(i)));
      if (number == 0 || number > labels.size())
        fail(ExitCode::data, "{}: {} has labels for ILSVRC2012_val_00000001 to {:08d}; this is none of them", where(i), path.string(), labels.size());
      const std::vector<int32_t>& set = labels[number - 1];
      shard.scan.samples[k].label = shard.scan.add_label_set(set);
      for (const int32_t label : set) max_label_ = std::max(max_label_, int(label));
    }
  summary_ += ", labels of " + path.string();
}

Index::Location Index::at(size_t i) const {
  const auto after = std::upper_bound(shards_.begin(), shards_.end(), i,
                                      [](size_t number, const Shard& shard) { return number < shard.first; });
  const Shard& shard = *std::prev(after);
  return {shard, shard.scan.samples[i - shard.first]};
}

std::string Index::member_name(size_t i) const {
  const auto [shard, sample] = at(i);
  if (shard.scan.layout == Layout::files) return shard.scan.names.c_str() + sample.offset;
  if (shard.scan.layout == Layout::records)
    return std::to_string((sample.offset - sample.header) / (sample.header + sample.size));
  TarReader reader(*shard.file, sample.offset - sample.header * tar_block, shard.file->size());
  TarMember member;
  reader.next(member);
  return member.name;
}

std::string Index::key(size_t i) const {
  std::string_view key, extension;
  const std::string name = member_name(i);
  return split_member_name(name, key, extension) ? std::string(key) : name;
}

std::string Index::where(size_t i) const {
  const auto [shard, sample] = at(i);
  try {
    return shard.path.string() + (shard.file ? ":" : "/") + member_name(i);
  } catch (const Error&) {    // the shard changed below us; the place still helps
    return fmt::format("{}:(offset {})", shard.path.string(), uint64_t(sample.offset));
  }
}

void Index::read(size_t i, std::vector<uint8_t>& bytes) const {
  const auto [shard, sample] = at(i);
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

void Index::require_labels_below(int classes) const {
  if (max_label_ < classes) return;
  for (size_t i = 0; i < size_; i++)
    for (const int32_t label : labels(i))
      if (label >= classes)
        fail(ExitCode::data, "{}: label {}, expected 0 to {}: the model has {} classes and labels count from 0", where(i),
             label, classes - 1, classes);
}

// One tar: which members are images, and their labels. A WebDataset shard, ILSVRC2012's training tar (a tar of each
// class in it), or its validation tar (no labels in it).
#include <algorithm>
#include <fstream>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "data/class_names.h"
#include "data/decimal.h"
#include "data/imagenet.h"
#include "data/paths.h"
#include "data/shards/shard.h"
#include "data/shards/tar.h"
#include "engine/error.h"
#include "engine/signals.h"
#include "engine/text.h"

namespace {
constexpr int32_t most_named = 100'000;    // labels below it are compared with the wnids in keys

// Of a sample's images the one whose extension comes first counts.
size_t image_rank(std::string_view lower) {
  return size_t(std::find(image_extensions.begin(), image_extensions.end(), lower) - image_extensions.begin());
}

[[noreturn]] void refuse(const File& file, const TarMember& member, const std::string& why) {
  fail(ExitCode::data, "{}:{} at offset {}: {}", file.name(), member.name, member.offset, why);
}

void add_sample(Scan& scan, const File& file, const TarMember& member, int32_t label) {
  const uint64_t header = member.link.empty() ? (member.offset - member.header) / tar_block : 0;
  if (member.size > UINT32_MAX || header > UINT16_MAX)
    refuse(file, member, fmt::format("{} bytes after {} header blocks are too large", member.size, header));
  if (!member.link.empty()) scan.links.push_back({scan.samples.size(), member.header});
  scan.samples.push_back(
      {.offset = member.offset, .header = uint16_t(header), .size = uint32_t(member.size), .label = label});
}

// "__name__" and "__name__/...": WebDataset's own notes
bool is_meta(std::string_view name) {
  const std::string_view first = name.substr(0, name.find('/'));
  return first.size() >= 4 && first.starts_with("__") && first.ends_with("__");
}

// What a member of a sample is called.
bool split_sample_member(const TarMember& member, std::string_view& key, std::string_view& extension) {
  return member.regular && !is_meta(member.name) && split_member_name(member.name, key, extension);
}

std::string what_is(const TarMember& member) {
  return !member.regular ? member.what : is_meta(member.name) ? "notes of WebDataset" : kind_of_name(member.name);
}

// Keys are compared by hashes, of 8 bytes for each sample; only where two are equal all names are read again.
void require_distinct_keys(const File& file, std::vector<size_t> hashes) {
  std::sort(hashes.begin(), hashes.end());
  if (std::adjacent_find(hashes.begin(), hashes.end()) == hashes.end()) return;
  std::unordered_set<std::string> keys;
  std::string last;
  TarReader reader(file, 0, file.size());
  for (TarMember member; reader.next(member);) {
    std::string_view key, extension;
    if (!split_sample_member(member, key, extension) || key == last) continue;
    last = key;
    if (!keys.insert(last).second) refuse(file, member, "its key appears before, apart from it; sort the tar by name");
  }
}

// Collects the members of one sample at a time.
class Grouping {
 public:
  Grouping(const File& file, Scan& scan) : file_(file), scan_(scan) {}

  void add(const TarMember& member, TarReader& reader) {
    stop_if_asked();
    std::string_view key, extension;
    if (!split_sample_member(member, key, extension)) {
      scan_.skipped.add(what_is(member));
      return;
    }
    if (key != key_) {
      finish();
      key_ = key;
      keys_.push_back(std::hash<std::string_view>()(key));
    }
    std::string lower = lower_case(extension);
    if (std::find(extensions_.begin(), extensions_.end(), lower) != extensions_.end())
      refuse(member, "its sample has this extension twice");
    if (lower == "cls") label_ = read_labels(member, reader);
    if (const size_t rank = image_rank(lower); rank < image_rank_) {
      image_rank_ = rank;
      image_ = member;
    }
    extensions_.push_back(std::move(lower));
  }

  // After the last member.
  void end() {
    finish();
    require_distinct_keys(file_, std::move(keys_));
  }

 private:
  void finish() {
    if (image_rank_ < image_extensions.size()) {
      const bool labelled = label_.has_value();
      const int32_t number = labelled ? 0 : validation_number(key_);
      const LabelKind kind = labelled ? LabelKind::given : LabelKind::image_number;
      if (scan_.samples.empty()) scan_.labels = kind;
      if ((!labelled && !number) || kind != scan_.labels) {
        require_distinct_keys(file_, keys_);    // is it there, but elsewhere?
        refuse(image_, "no .cls with its label beside it");
      }
      if (labelled && *label_ >= 0) note_wnid(*label_);
      add_sample(scan_, file_, image_, label_.value_or(number));
    } else if (!extensions_.empty()) {
      const auto holds = std::find_if(extensions_.begin(), extensions_.end(), [](auto& name) { return name != "cls"; });
      scan_.without_image.add(holds == extensions_.end() ? ".cls" : kind_of_name("x." + *holds));
    }
    image_rank_ = image_extensions.size();
    label_.reset();
    extensions_.clear();
  }

  [[noreturn]] void refuse(const TarMember& member, const std::string& why) const { ::refuse(file_, member, why); }

  // One label, or several with white space or commas between them.
  int32_t read_labels(const TarMember& member, TarReader& reader) {
    constexpr uint64_t longest = 4096;
    constexpr std::string_view between = " \t\r\n,";
    if (member.size > longest) refuse(member, fmt::format("expected a label, got {} bytes", member.size));
    const std::string_view content = without_mark(reader.content(member));
    several_.clear();
    for (size_t begin = 0, end; (begin = content.find_first_not_of(between, begin)) != content.npos; begin = end) {
      end = std::min(content.find_first_of(between, begin), content.size());
      const std::optional<int64_t> label = decimal(content.substr(begin, end - begin));
      if (!label || *label < 0) refuse_label(member, content);
      if (*label >= most_classes)
        refuse(member, fmt::format("label {}, expected at most {}", *label, most_classes - 1));
      several_.push_back(int32_t(*label));
    }
    if (several_.empty()) refuse_label(member, content);
    return several_.size() == 1 ? several_[0] : scan_.add_label_set(several_);
  }

  [[noreturn]] void refuse_label(const TarMember& member, std::string_view content) const {
    const std::string_view shown = content.substr(0, std::min(content.find_last_not_of(" \t\r\n") + 1, size_t(64)));
    refuse(member, fmt::format("expected a label, a decimal number from 0, got '{}'", shown));
  }

  // Keys such as n02692877_10026 say which class the label should be.
  void note_wnid(int32_t label) {
    const std::string_view wnid = wnid_of(key_);
    if (wnid.empty() || label >= most_named) return;
    if (scan_.classes.size() <= size_t(label)) scan_.classes.resize(size_t(label) + 1);
    std::string& known = scan_.classes[size_t(label)];
    if (known.empty()) known = wnid;
    if (known != wnid)
      refuse(image_, fmt::format("label {} for {}, but for {} before it: which one is it?", label, wnid, known));
  }

  const File& file_;
  Scan& scan_;
  std::vector<size_t> keys_;    // hashes
  std::string key_;
  std::vector<std::string> extensions_;
  size_t image_rank_ = image_extensions.size();
  std::optional<int32_t> label_;    // as Sample has it
  std::vector<int32_t> several_;    // of one .cls: kept, for its memory
  TarMember image_;
};

bool is_hidden(std::string_view name) { return file_name(name).starts_with('.'); }

// ILSVRC2012_img_train.tar: members n01440764.tar ..., in each the images of that class. Labels follow the order of the
// classes' names, whatever their order in the tar.
Scan scan_nested(const File& file) {
  std::vector<std::pair<std::string, TarMember>> tars;
  Scan scan;
  TarReader outer(file, 0, file.size());
  for (TarMember member; outer.next(member);) {
    if (!member.link.empty()) refuse(file, member, "a hard link, but to count images twice is no set of classes");
    if (member.regular && member.name.ends_with(".tar") && !is_hidden(member.name))
      tars.emplace_back(std::filesystem::path(member.name).stem().string(), member);
    else scan.skipped.add(what_is(member));
  }
  std::vector<std::string> order;
  for (const auto& [name, tar] : tars) order.push_back(name);
  sort_classes(order);
  std::unordered_map<std::string_view, size_t> place;
  for (size_t i = 0; i < order.size(); i++) place[order[i]] = i;
  const auto before = [&](const auto& a, const auto& b) { return place.at(a.first) < place.at(b.first); };
  std::stable_sort(tars.begin(), tars.end(), before);
  for (const auto& [name, tar] : tars) {
    if (!scan.classes.empty() && scan.classes.back() == name) refuse(file, tar, "a second tar of this class");
    const size_t before = scan.samples.size();
    TarReader inner(file, tar.offset, tar.offset + tar.size);
    for (TarMember member; inner.next(member);) {
      stop_if_asked();
      if (member.regular && is_image_name(member.name) && !is_hidden(member.name))
        add_sample(scan, file, member, int32_t(scan.classes.size()));
      else scan.skipped.add(what_is(member));
    }
    if (scan.samples.size() == before) refuse(file, tar, "no image in the tar of this class");
    scan.classes.push_back(name);
  }
  scan.labels = LabelKind::class_position;
  return scan;
}

bool is_nested(const File& file) {
  TarReader reader(file, 0, file.size());
  TarMember member;
  while (reader.next(member))
    if (member.regular && !is_hidden(member.name)) return member.name.ends_with(".tar");
  return false;
}

// WebDataset: adjacent members with one key are a sample. An image without a label, a label that is no number, an
// extension or key that appears twice, one label for keys of two wnids: data errors that name shard, member and offset.
// A .cls may hold several labels.
Scan scan_tar(const File& file) {
  if (is_nested(file)) return scan_nested(file);
  Scan scan;
  TarReader reader(file, 0, file.size());
  Grouping grouping(file, scan);
  for (TarMember member; reader.next(member);) grouping.add(member, reader);
  grouping.end();
  return scan;
}

class TarShard : public FileShard {
 public:
  using FileShard::FileShard;

  Scan scan() const override { return scan_tar(file()); }
  std::string name_of(const Scan& scan, size_t k) const override {
    const Sample& sample = scan.samples[k];
    if (sample.header) return TarReader::name_at(file(), sample.offset - sample.header * tar_block);
    const auto before = [](const HardLink& link, uint64_t number) { return link.sample < number; };
    return TarReader::name_at(file(),
                              std::lower_bound(scan.links.begin(), scan.links.end(), k, before)->header);
  }
  const File* cached_file() const override { return &file(); }
  // Each sample has its header before it, or as a hard link elsewhere.
  bool could_have(const Scan& scan) const override {
    size_t links = 0;
    for (size_t k = 0; k < scan.samples.size(); k++) {
      const Sample& sample = scan.samples[k];
      if (sample.offset < std::max<uint64_t>(sample.header, 1) * tar_block) return false;
      if (sample.header) continue;
      if (links == scan.links.size() || scan.links[links].sample != k || scan.links[links].header >= file().size())
        return false;
      links++;
    }
    return links == scan.links.size();
  }
  // A tar by its name, with a .cls: another archive is one of pictures.
  bool has_labels() const override {
    if (path().extension() != ".tar") return false;
    TarReader reader(file(), 0, file().size());
    for (TarMember member; reader.next(member);)
      if (member.name.ends_with(".cls")) return true;
    return false;
  }
};

// By name, or as it starts with a member's header.
bool is_tar(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path)) return false;
  if (path.extension() == ".tar") return true;
  char block[tar_block] = {};
  std::ifstream(path, std::ios::binary).read(block, sizeof block);
  return std::string_view(block + 257, 5) == "ustar";
}
}

extern const ShardFormat tar_format{.recognises = is_tar, .open = open_as<TarShard>};

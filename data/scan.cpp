#include "data/scan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <unordered_set>

#include "data/tar.h"
#include "engine/error.h"

namespace {
constexpr std::array<std::string_view, 4> image_extensions = {"jpg", "jpeg", "png", "webp"};    // the first one counts
constexpr int64_t no_label = -1;

// "__name__" and "__name__/...": WebDataset's own notes
bool is_meta(std::string_view name) {
  const std::string_view first = name.substr(0, name.find('/'));
  return first.size() >= 4 && first.starts_with("__") && first.ends_with("__");
}

// Collects the members of one sample at a time.
class Grouping {
 public:
  Grouping(const File& file, Scan& scan) : file_(file), scan_(scan) {}

  void add(const TarMember& member, TarReader& reader) {
    std::string_view key, extension;
    if (!member.regular || is_meta(member.name) || !split_member_name(member.name, key, extension)) {
      scan_.skipped_members++;
      return;
    }
    if (key != key_) {
      finish();
      key_ = key;
      if (!keys_.insert(key_).second) refuse(member, "its key appears before, apart from it; sort the tar by name");
    }
    std::string lower(extension);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
    if (std::find(extensions_.begin(), extensions_.end(), lower) != extensions_.end())
      refuse(member, "its sample has this extension twice");
    if (lower == "cls") label_ = read_label(member, reader);
    const auto rank = std::find(image_extensions.begin(), image_extensions.end(), lower) - image_extensions.begin();
    if (size_t(rank) < image_rank_) take_image(member, size_t(rank));
    extensions_.push_back(std::move(lower));
  }

  void finish() {
    if (image_rank_ < image_extensions.size()) {
      if (label_ == no_label) refuse(image_, "no .cls with its label beside it");
      sample_.label = int32_t(label_);
      scan_.samples.push_back(sample_);
    } else if (!extensions_.empty()) {
      scan_.without_image++;
    }
    image_rank_ = image_extensions.size();
    label_ = no_label;
    extensions_.clear();
  }

 private:
  [[noreturn]] void refuse(const TarMember& member, const std::string& why) const {
    fail(ExitCode::data, "{}:{} at offset {}: {}", file_.name(), member.name, member.offset, why);
  }

  int32_t read_label(const TarMember& member, TarReader& reader) const {
    constexpr uint64_t longest = 64;
    if (member.size > longest) refuse(member, fmt::format("expected a label, got {} bytes", member.size));
    const std::string_view content = reader.content(member);
    const std::string_view text = content.substr(0, content.find_last_not_of(" \t\r\n") + 1);
    int32_t label = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), label);
    if (error != std::errc() || end != text.data() + text.size() || label < 0) {
      std::string shown(text);
      std::replace_if(shown.begin(), shown.end(), [](unsigned char c) { return !std::isprint(c); }, '?');
      refuse(member, fmt::format("expected a label, a decimal number from 0, got '{}'", shown));
    }
    return label;
  }

  void take_image(const TarMember& member, size_t rank) {
    const uint64_t header = (member.offset - member.header) / tar_block;
    if (member.size > UINT32_MAX || header > UINT16_MAX)
      refuse(member, fmt::format("{} bytes after {} header blocks are too large", member.size, header));
    image_rank_ = rank;
    image_ = member;
    sample_.offset = member.offset;
    sample_.header = header;
    sample_.size = uint32_t(member.size);
  }

  const File& file_;
  Scan& scan_;
  std::unordered_set<std::string> keys_;
  std::string key_;
  std::vector<std::string> extensions_;
  size_t image_rank_ = image_extensions.size();
  int64_t label_ = no_label;
  TarMember image_;
  Sample sample_{};
};
}

bool split_member_name(std::string_view name, std::string_view& key, std::string_view& extension) {
  const size_t base = name.rfind('/') + 1;    // npos + 1 is 0
  const size_t dot = name.find('.', base);
  if (dot == name.npos || dot == base) return false;
  key = name.substr(0, dot);
  extension = name.substr(dot + 1);
  return true;
}

Scan scan_shard(const File& file) {
  Scan scan;
  TarReader reader(file, 0, file.size());
  Grouping grouping(file, scan);
  for (TarMember member; reader.next(member);) grouping.add(member, reader);
  grouping.finish();
  return scan;
}

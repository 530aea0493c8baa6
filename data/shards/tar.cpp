#include "data/shards/tar.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <tuple>

#include "engine/error.h"

namespace {
constexpr uint64_t max_name = 4096, max_pax = 1 << 20;

template <size_t N>
std::string_view text(const char (&field)[N]) {
  return {field, size_t(std::find(field, field + N, '\0') - field)};
}

template <size_t N>
std::string_view raw(const char (&field)[N]) { return {field, N}; }

uint64_t padded(uint64_t size) { return (size + tar_block - 1) / tar_block * tar_block; }

bool all_zero(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; });
}

// Octal digits between spaces and a NUL, or base-256 where the first bit is set.
std::optional<uint64_t> number(std::string_view field) {
  uint64_t value = 0;
  if (field[0] & 0x80) {
    for (size_t i = 0; i < field.size(); i++) {
      if (value >> 56) return {};
      value = value << 8 | static_cast<unsigned char>(i == 0 ? field[0] & 0x7F : field[i]);
    }
    return value;
  }
  while (!field.empty() && field.front() == ' ') field.remove_prefix(1);
  while (!field.empty() && (field.back() == ' ' || field.back() == '\0')) field.remove_suffix(1);
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
  if (!field.empty() && (error != std::errc() || end != field.data() + field.size())) return {};
  return value;
}

// Links, devices and folders (types 1 to 6) have no bytes, whatever their size field says.
bool has_bytes(char type) { return type < '1' || type > '6'; }

// Old tars summed signed characters.
int32_t signed_checksum(const TarHeader& header) {
  const char* bytes = reinterpret_cast<const char*>(&header);
  int32_t sum = 8 * ' ';
  for (size_t i = 0; i < sizeof header; i++)
    if (bytes + i < header.checksum || bytes + i >= header.checksum + sizeof header.checksum)
      sum += static_cast<signed char>(bytes[i]);
  return sum;
}

std::string_view without_dot(std::string_view name) {
  while (name.starts_with("./")) name.remove_prefix(2);
  return name;
}

const char* kind_of(char type) {
  switch (type) {
    case '2': return "links";
    case '5': return "folders";
    case '3': case '4': case '6': return "devices";
    default: return "of odd types";
  }
}
}

// What headers before a member's own say of it.
struct TarReader::Extensions {
  std::string name, link;
  std::optional<uint64_t> size;
  bool sparse = false;

  bool any() const { return !name.empty() || !link.empty() || size || sparse; }
  // The records "LENGTH key=value\n" of a pax header; of its keys only these move bytes or names.
  bool read_pax(std::string_view records) {
    while (!records.empty()) {
      size_t length = 0;
      const auto [after, error] = std::from_chars(records.data(), records.data() + records.size(), length);
      const size_t digits = size_t(after - records.data());
      if (error != std::errc() || length > records.size() || length < digits + 3) return false;
      const std::string_view record = records.substr(digits + 1, length - digits - 2);
      const size_t equals = record.find('=');
      if (records[digits] != ' ' || records[length - 1] != '\n' || equals == record.npos) return false;
      if (!take(record.substr(0, equals), record.substr(equals + 1))) return false;
      records.remove_prefix(length);
    }
    return true;
  }

 private:
  bool take(std::string_view key, std::string_view value) {
    if (key == "path") name = value;
    if (key == "linkpath") link = value;
    sparse |= key.starts_with("GNU.sparse.");
    if (key != "size") return true;
    uint64_t bytes = 0;
    const auto [end, bad] = std::from_chars(value.data(), value.data() + value.size(), bytes);
    size = bytes;
    return bad == std::errc() && end == value.data() + value.size();
  }
};

uint32_t tar_checksum(const TarHeader& header) {
  uint32_t sum = 8 * ' ';
  const auto* bytes = reinterpret_cast<const unsigned char*>(&header);
  for (size_t i = 0; i < sizeof header; i++) sum += bytes[i];
  for (char c : header.checksum) sum -= static_cast<unsigned char>(c);
  return sum;
}

TarReader::TarReader(const File& file, uint64_t begin, uint64_t end)
    : file_(file), begin_(begin), end_(end), position_(begin) {}

// Members close together are read in ever larger pieces, members far apart in small ones that skip what lies between.
std::string_view TarReader::window(uint64_t offset, uint64_t size) {
  constexpr uint64_t far = 8 << 10, near = 256 << 10, gap = 16 << 10;
  const uint64_t window_end = window_begin_ + window_.size();
  if (offset < window_begin_ || offset + size > window_end) {
    const bool dense = offset >= window_begin_ && offset < window_end + gap;
    const uint64_t piece = dense ? std::clamp<uint64_t>(4 * window_.size(), far, near) : far;
    window_.resize(std::min(end_ - offset, std::max(size, piece)));
    window_begin_ = offset;
    const size_t got = file_.read(offset, window_.data(), window_.size());
    if (got < window_.size())
      fail(ExitCode::data, "{} shrank while it was read: {} bytes at offset {}, expected {}", file_.name(), got, offset,
           window_.size());
  }
  return {window_.data() + (offset - window_begin_), size_t(size)};
}

std::string_view TarReader::content(const TarMember& member) { return window(member.offset, member.size); }

void TarReader::check_extent(const std::string& name, uint64_t data, uint64_t size) const {
  if (size > end_ - data || padded(size) > end_ - data)
    fail(ExitCode::data, "{}: member {} at offset {} is cut off: it has {} bytes, the file only {} more; copy it again",
         file_.name(), name, data, size, end_ - data);
}

void TarReader::check_header(const TarHeader& header, uint64_t at) const {
  const std::optional<uint64_t> sum = number(raw(header.checksum));
  if (sum && (*sum == tar_checksum(header) || int64_t(*sum) == signed_checksum(header))) return;
  if (at == begin_)
    fail(ExitCode::data, "{} is no tar: no header at offset {}; unpack compressed tars first", file_.name(), at);
  fail(ExitCode::data, "{}: damaged header at offset {}: its bytes sum to {}, expected {}; copy the file again",
       file_.name(), at, tar_checksum(header), text(header.checksum));
}

// After the first zero block only zeros may follow: a second archive appended by `cat` would be lost silently.
void TarReader::check_end(uint64_t from) {
  for (uint64_t at = from; at < end_; at += tar_block)
    if (!all_zero(window(at, std::min(tar_block, end_ - at))))
      fail(ExitCode::data, "{}: more data at offset {} after the end of the archive at {}; join tars with tar "
           "--concatenate, not cat", file_.name(), at, from);
}

bool TarReader::next(TarMember& member) {
  if (!read_member(member)) return false;
  if (!member.link.empty()) follow(member);
  else if (has_links_ && member.regular) places_[std::string(without_dot(member.name))] = {member.offset, member.size};
  return true;
}

// At the first link all members before it are read again: tars without links keep no names in memory.
void TarReader::follow(TarMember& link) {
  if (!has_links_) {
    TarReader before(file_, begin_, link.header);
    for (TarMember member; before.next(member);)
      if (member.regular) places_[std::string(without_dot(member.name))] = {member.offset, member.size};
    has_links_ = true;
  }
  const auto target = places_.find(std::string(without_dot(link.link)));
  if (target == places_.end())
    fail(ExitCode::data, "{}: member {} at offset {} is a hard link to {}, which is not before it; pack the tar anew",
         file_.name(), link.name, link.header, link.link);
  std::tie(link.offset, link.size) = target->second;
  link.regular = true;
  places_[std::string(without_dot(link.name))] = target->second;
}

std::string TarReader::name_at(const File& file, uint64_t header) {
  TarReader reader(file, header, file.size());
  TarMember member;
  reader.read_member(member);
  return member.name;
}

void TarReader::take_extension(char type, uint64_t at, std::string_view bytes, Extensions& extensions) const {
  if (type == 'L') extensions.name = bytes.substr(0, bytes.find('\0'));
  else if (type == 'K') extensions.link = bytes.substr(0, bytes.find('\0'));
  else if (!extensions.read_pax(bytes))
    fail(ExitCode::data, "{}: damaged pax header at offset {}", file_.name(), at);
}

void TarReader::set_kind(TarMember& member, const TarHeader& header, const std::string& name,
                         const Extensions& extensions) const {
  const auto refuse = [&](const char* why) {
    fail(ExitCode::data, "{}: member {} at offset {} {}", file_.name(), name, member.header, why);
  };
  member.regular = (header.type == '0' || header.type == '\0' || header.type == '7') && !name.ends_with('/');
  member.what = kind_of(name.ends_with('/') ? '5' : header.type);
  member.link.clear();
  if (header.type == 'S' || (extensions.sparse && member.regular))
    refuse("is sparse: its bytes do not lie in one piece; pack the tar anew, without --sparse");
  if (header.type != '1') return;
  member.link = extensions.link.empty() ? std::string(text(header.link)) : extensions.link;
  if (member.link.empty()) refuse("is a hard link to nothing; pack the tar anew");
}

bool TarReader::read_member(TarMember& member) {
  Extensions extensions;
  member.header = position_;
  while (position_ < end_) {
    const uint64_t at = position_, data = at + tar_block;
    if (end_ - at < tar_block)
      fail(ExitCode::data, "{}: cut off in the header at offset {}: {} bytes left of {}; copy it again", file_.name(),
           at, end_ - at, tar_block);
    TarHeader header;
    window(at, tar_block).copy(reinterpret_cast<char*>(&header), tar_block);
    if (all_zero({reinterpret_cast<const char*>(&header), sizeof header})) {
      check_end(at);
      position_ = end_;
      break;
    }
    check_header(header, at);

    const bool extension = header.type == 'L' || header.type == 'K' || header.type == 'x';
    std::string name(text(header.name));
    if (text(header.magic) == "ustar" && header.prefix[0]) name = fmt::format("{}/{}", text(header.prefix), name);
    const std::optional<uint64_t> field = has_bytes(header.type) ? number(raw(header.size)) : 0;
    if (!field) fail(ExitCode::data, "{}: member {} at offset {}: bad size field", file_.name(), name, at);
    uint64_t size = *field;
    if (!extension) {
      if (!extensions.name.empty()) name = std::move(extensions.name);
      if (extensions.size && has_bytes(header.type)) size = *extensions.size;
    }
    if (name.size() > max_name) fail(ExitCode::data, "{}: member name of {} bytes at offset {}, at most {} are allowed",
                                     file_.name(), name.size(), at, max_name);
    check_extent(name, data, size);
    position_ = data + padded(size);

    if (extension) {
      if (size > (header.type == 'x' ? max_pax : max_name))
        fail(ExitCode::data, "{}: the name at offset {} is too long: {} bytes", file_.name(), at, size);
      take_extension(header.type, at, window(data, size), extensions);
      continue;
    }
    if (header.type == 'g') {
      if (!extensions.any()) member.header = position_;
      continue;
    }
    set_kind(member, header, name, extensions);
    member.name = std::move(name);
    member.offset = data;
    member.size = size;
    return true;
  }
  if (member.header < position_ && extensions.any())
    fail(ExitCode::data, "{}: cut off at offset {}: a long name without its member; copy it again", file_.name(), end_);
  return false;
}

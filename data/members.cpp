#include "data/members.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>
#include <unordered_map>

#include "data/archive.h"
#include "data/image.h"
#include "data/shards/file.h"
#include "data/walk.h"
#include "engine/error.h"

namespace fs = std::filesystem;
using namespace std::string_view_literals;

namespace {
std::string reason() { return std::generic_category().message(errno); }
}

Members::~Members() {
  if (scratch_ >= 0) ::close(scratch_);
}

void Members::open_scratch() {
  std::error_code error;
  fs::create_directories(scratch_folder_, error);
  std::string name = (scratch_folder_ / "scratch-XXXXXX").string();
  scratch_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (scratch_ < 0) fail(ExitCode::failed, "cannot create a file in {}: {}", scratch_folder_.string(), reason());
  ::unlink(name.c_str());
}

void Members::append(std::string_view bytes) {
  if (scratch_ < 0) open_scratch();
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(scratch_, bytes.data(), bytes.size(), off_t(scratch_size_));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0)
      fail(ExitCode::failed, "cannot keep the archive's images for a while in {}, {} bytes so far: {}",
           scratch_folder_.string(), scratch_size_, reason());
    scratch_size_ += uint64_t(done);
    bytes.remove_prefix(size_t(done));
  }
}

bool Members::try_archive(const fs::path& file, const Keep& keep) {
  std::unordered_map<std::string, size_t> places;    // in all_, of this archive's
  const auto visit = [&](const ArchiveEntry& entry) {
    if (const auto target = places.find(entry.link); target != places.end()) {
      const Member& linked = all_[target->second];
      all_.push_back({entry.path, entry.where, linked.offset, linked.size, true});
    } else if (!entry.link.empty() || !keep(entry.path, entry.head)) {
      return passed_over_.add(entry.link.empty() ? kind_of_name(entry.path) : "hard links to what was passed over");
    } else {
      const uint64_t begin = scratch_size_;
      entry.pass([&](std::string_view bytes) { append(bytes); });
      all_.push_back({entry.path, entry.where, begin, scratch_size_ - begin, true});
    }
    places[entry.path] = all_.size() - 1;
  };
  return walk_archive(file, visit, passed_over_);
}

void Members::add_archive(const fs::path& file, const Keep& keep) {
  if (!fs::is_regular_file(file)) fail(ExitCode::data, "no such file: {}", file.string());
  if (!try_archive(file, keep))
    fail(ExitCode::data, "{} is no tar or zip, plain or compressed; unpack it and use pack folder", file.string());
}

void Members::add_file(const fs::path& file) {
  all_.push_back({safe_path(file.string()), file.string(), 0, File(file).size()});
}

void Members::add(const fs::path& path, const Keep& keep) {
  if (fs::is_directory(path)) add_folder(path, keep);
  else if (!fs::exists(path)) fail(ExitCode::data, "no such file: {}", path.string());
  else if (!try_archive(path, keep)) add_file(path);
}

void Members::add_folder(const fs::path& folder, const Keep& keep) try {
  if (!fs::is_directory(folder)) fail(ExitCode::data, "no such folder: {}", folder.string());
  const size_t first = all_.size();
  walk_folder(folder, [&](const fs::directory_entry& entry, const std::string& name) {
    const std::string path = safe_path(name);
    if (keep(path, "")) all_.push_back({path, entry.path().string(), 0, entry.file_size()});
    else passed_over_.add(is_packable_image(path, "") ? "images in no class's folder" : kind_of_name(path));
  }, passed_over_);
  std::sort(all_.begin() + long(first), all_.end(), [](const Member& a, const Member& b) { return a.path < b.path; });
} catch (const fs::filesystem_error& error) {
  fail(ExitCode::data, "cannot read {}: {}", error.path1().string(), error.code().message());
}

std::string Members::read(const Member& member) const { return read(member, 0, member.size); }

std::string Members::read(const Member& member, uint64_t offset, size_t size) const {
  std::string bytes(size, '\0');
  size_t got = 0;
  if (!member.in_scratch) got = File(member.where).read(offset, bytes.data(), size);
  for (ssize_t more = 1; member.in_scratch && got < size && more > 0; got += size_t(more)) {
    more = ::pread(scratch_, &bytes[got], size - got, off_t(member.offset + offset + got));
    if (more < 0) fail(ExitCode::failed, "cannot read the scratch file in {}: {}", scratch_folder_.string(), reason());
  }
  if (got < size) fail(ExitCode::data, "{} has become shorter: {} bytes, expected {}", member.where, got, size);
  return bytes;
}

bool is_packable_image(std::string_view path, std::string_view head) {
  const std::string lower = lower_case(path.substr(path.rfind('.') + 1));
  for (const std::string_view extension : {"jpg"sv, "jpeg"sv, "png"sv, "tif"sv, "tiff"sv, "webp"sv, "gif"sv, "bmp"sv})
    if (lower == extension) return true;
  const std::string_view kind = image_kind({reinterpret_cast<const uint8_t*>(head.data()), head.size()});
  return kind == "JPEG" || kind == "PNG" || kind == "TIFF";
}

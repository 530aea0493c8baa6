#include "data/archive.h"

#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <exception>
#include <locale.h>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "engine/files.h"

namespace fs = std::filesystem;
using namespace std::string_view_literals;

namespace {
constexpr int deepest = 4;
constexpr uint64_t largest_member = uint64_t(1) << 30;
constexpr size_t piece = size_t(1) << 16;

// "a/b.tar.gz" -> "a/b"
std::string without_extensions(std::string path) {
  for (const std::string_view extension :
       {".gz"sv, ".bz2"sv, ".xz"sv, ".zst"sv, ".tgz"sv, ".tbz"sv, ".txz"sv, ".tar"sv, ".zip"sv})
    if (path.ends_with(extension) && path.size() > extension.size()) path.resize(path.size() - extension.size());
  return path;
}

// Bytes that are, or hide, a tar or zip.
bool looks_like_archive(std::string_view head) {
  for (const std::string_view magic : {"PK\3\4"sv, "\x1F\x8B"sv, "BZh"sv, "\xFD" "7zXZ\0"sv, "\x28\xB5\x2F\xFD"sv})
    if (head.starts_with(magic)) return true;
  return head.size() >= 262 && head.substr(257, 5) == "ustar";
}

bool hidden(std::string_view path) {
  return path.starts_with('.') || path.find("/.") != path.npos || path.starts_with("__MACOSX/") ||
         path.find("/__MACOSX/") != path.npos;
}

// What is left to unpack, for all levels together.
struct Budget {
  std::string file;
  uint64_t left;
  void spend(size_t bytes) {
    if (bytes > left)
      fail(ExitCode::data,
           "{} unpacks to more than {} times its size, as no archive of images does; unpack it with other "
           "tools if it is one",
           file, unpacked_ratio);
    left -= bytes;
  }
};

// libarchive turns names into the locale's character set: while it works here, UTF-8, whatever the user's locale.
class Utf8 {
 public:
  Utf8() : utf8_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", locale_t{})), before_(::uselocale(utf8_)) {}
  ~Utf8() {
    ::uselocale(before_);
    if (utf8_) ::freelocale(utf8_);
  }
  Utf8(const Utf8&) = delete;

 private:
  const locale_t utf8_, before_;
};

class Level {
 public:
  Level(std::string where, std::string folder, int depth, Budget& budget, Tally& passed_over)
      : where_(std::move(where)), folder_(std::move(folder)), depth_(depth), budget_(budget), passed_over_(passed_over),
        archive_(archive_read_new(), archive_read_free) {
    archive_read_support_filter_all(archive_.get());
    archive_read_support_format_tar(archive_.get());
    archive_read_support_format_zip(archive_.get());
  }

  // False where the bytes are no archive.
  bool open(const fs::path& file) {
    return first(archive_read_open_filename(archive_.get(), file.c_str(), piece));
  }
  bool open(Level& outer) {
    outer_ = &outer;
    return first(archive_read_open(archive_.get(), this, nullptr, pull, nullptr));
  }

  void walk(const std::function<void(const ArchiveEntry&)>& visit) {
    for (; entry_; next()) {
      const std::string path = safe_path(entry_name());
      const char* const link = archive_entry_hardlink(entry_);
      const auto type = archive_entry_filetype(entry_);
      if (path.empty() || hidden(path)) continue;
      if (type != AE_IFREG && !link) {
        if (type != AE_IFDIR) passed_over_.add(type == AE_IFLNK ? "links" : "devices");
        continue;
      }
      member_ = where_ + ":" + path;
      member_bytes_ = 0;
      if (archive_entry_is_encrypted(entry_)) fail(ExitCode::data, "{} is encrypted; unpack it first", member_);
      if (link && archive_entry_size(entry_) == 0) {
        visit({folder_ + "/" + path, member_, "", {}, folder_ + "/" + safe_path(link)});
        continue;
      }
      fill_head();
      if (looks_like_archive(head_)) {
        if (depth_ == deepest)
          fail(ExitCode::data, "{}: an archive within {} others; unpack it first", member_, deepest);
        Level inner(member_, folder_ + "/" + without_extensions(path), depth_ + 1, budget_, passed_over_);
        if (inner.open(*this)) inner.walk(visit);
        else show(path, visit);    // something compressed that is no archive; damaged, if it should be an image
      } else {
        show(path, visit);
      }
    }
  }

 private:
  bool first(int status) {
    if (status == ARCHIVE_OK) status = archive_read_next_header(archive_.get(), &entry_);
    if (status == ARCHIVE_FATAL && !outer_error_ && archive_format(archive_.get()) == 0) return false;
    check_header(status);
    return true;
  }
  void next() { check_header(archive_read_next_header(archive_.get(), &entry_)); }

  void check_header(int status) {
    if (status == ARCHIVE_EOF) entry_ = nullptr;
    else if (status < ARCHIVE_WARN) damaged(member_.empty() ? where_ : "after " + member_);
  }

  [[noreturn]] void damaged(const std::string& what) {
    if (outer_error_) std::rethrow_exception(outer_error_);
    if (archive_errno(archive_.get()) == ENOMEM) throw std::bad_alloc();
    const char* reason = archive_error_string(archive_.get());
    fail(ExitCode::data, "{}: damaged archive: {}; fetch it again", what, reason ? reason : "no reason given");
  }

  std::string entry_name() const {
    const char* name = archive_entry_pathname(entry_);
    if (!name)
      fail(ExitCode::data, "{}: the name after '{}' is not text; unpack it and use pack folder", where_, member_);
    return name;
  }

  size_t read(char* to, size_t size) {
    const la_ssize_t got = archive_read_data(archive_.get(), to, size);
    if (got < 0) damaged(member_);
    member_bytes_ += uint64_t(got);
    if (member_bytes_ > largest_member && !looks_like_archive(head_))
      fail(ExitCode::data, "{} has more than {} bytes, too large for an image", member_, largest_member);
    budget_.spend(size_t(got));
    return size_t(got);
  }

  void fill_head() {
    head_.resize(512);
    size_t used = 0;
    for (size_t got = 1; got && used < head_.size(); used += got) got = read(&head_[used], head_.size() - used);
    head_.resize(used);
  }

  void show(const std::string& path, const std::function<void(const ArchiveEntry&)>& visit) {
    visit({folder_ + "/" + path, member_, head_, [this](const auto& take) { pass(take); }, ""});
  }

  void pass(const std::function<void(std::string_view)>& take) {
    take(head_);
    std::string bytes(piece, '\0');
    while (const size_t got = read(bytes.data(), piece)) take({bytes.data(), got});
  }

  // libarchive asks an inner archive for the bytes of its member in the outer one: first those that were sniffed.
  static la_ssize_t pull(archive* reader, void* self, const void** bytes) {
    Level& inner = *static_cast<Level*>(self);
    Level& outer = *inner.outer_;
    try {
      if (std::exchange(inner.head_pulled_, true)) {
        inner.pulled_.resize(piece);
        inner.pulled_.resize(outer.read(inner.pulled_.data(), piece));
      } else {
        inner.pulled_ = outer.head_;
      }
    } catch (...) {    // must not fly through C: libarchive fails, and then it is thrown again
      inner.outer_error_ = std::current_exception();
      return archive_set_error(reader, EIO, "the archive around it"), -1;
    }
    *bytes = inner.pulled_.data();
    return la_ssize_t(inner.pulled_.size());
  }

  const std::string where_, folder_;
  const int depth_;
  Budget& budget_;
  Tally& passed_over_;
  const std::unique_ptr<archive, decltype(&archive_read_free)> archive_;
  archive_entry* entry_ = nullptr;
  std::string member_, head_, pulled_;
  uint64_t member_bytes_ = 0;
  Level* outer_ = nullptr;
  std::exception_ptr outer_error_;
  bool head_pulled_ = false;
};
}

std::string safe_path(std::string_view name) {
  std::string path;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (!part.empty() && part != "." && part != "..") path += (path.empty() ? "" : "/") + std::string(part);
    begin = end + 1;
  }
  std::replace_if(path.begin(), path.end(), [](unsigned char c) { return c < 32 || c == 127; }, '_');
  return path;
}

bool walk_archive(const fs::path& file, const std::function<void(const ArchiveEntry&)>& visit, Tally& passed_over) {
  const Utf8 names;
  Budget budget{file.string(), most_unpacked(fs::file_size(file))};
  Level level(file.string(), without_extensions(file.filename().string()), 1, budget, passed_over);
  if (!level.open(file)) return false;
  level.walk(visit);
  return true;
}

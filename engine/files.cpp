#include "engine/files.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "engine/console.h"
#include "engine/error.h"

namespace {
// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags) : value_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() { if (value_ >= 0) ::close(value_); }
  operator int() const { return value_; }

 private:
  int value_;
};

[[noreturn]] void fail_write(const std::filesystem::path& path, const std::string& reason) {
  std::error_code ignored;
  fail(ExitCode::failed, "cannot write {}: {}; {}", path.string(), reason,
       std::filesystem::exists(path, ignored) ? "the old file is untouched" : "no file was left behind");
}
constexpr std::string_view temporary_prefix = ".relucent-", temporary_suffix = ".tmp";

// A file that no other process writes: its name is new, and a lock says that its writer lives, wherever that runs.
// It is removed unless it got its final name.
class Temporary {
 public:
  explicit Temporary(const std::filesystem::path& folder) {
    static std::atomic<int> files = 0;
    do {
      if (file_ >= 0) ::close(file_);    // another process took it for one left behind
      path_ = folder / fmt::format("{}{}-{}{}", temporary_prefix, ::getpid(), files++, temporary_suffix);
      file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
      if (file_ < 0 && errno != EEXIST) return;    // the caller reports
    } while (file_ < 0 || (::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) ||
             ::access(path_.c_str(), F_OK) != 0);
  }
  Temporary(const Temporary&) = delete;
  ~Temporary() {
    if (file_ < 0) return;
    if (!renamed_) ::unlink(path_.c_str());
    ::close(file_);
  }
  operator int() const { return file_; }    // below 0: it could not be made, errno says why
  bool rename_to(const std::filesystem::path& path) { return renamed_ = ::rename(path_.c_str(), path.c_str()) == 0; }

 private:
  std::filesystem::path path_;
  int file_ = -1;
  bool renamed_ = false;
};

bool same_file(int descriptor, const std::filesystem::path& path) {
  struct stat open, named;
  return ::fstat(descriptor, &open) == 0 && ::lstat(path.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
         open.st_ino == named.st_ino;
}

// What processes that were killed left in the folder: nobody holds its lock. Looked for once a process and folder.
void remove_left_behind(const std::filesystem::path& folder) {
  static std::mutex mutex;
  static std::set<std::filesystem::path> seen;
  std::error_code error;
  {
    const std::lock_guard lock(mutex);
    if (!seen.insert(std::filesystem::absolute(folder, error)).second) return;
  }
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(temporary_prefix) || !name.ends_with(temporary_suffix)) continue;
    const Descriptor file(entry->path(), O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    if (file >= 0 && ::flock(file, LOCK_EX | LOCK_NB) == 0) ::unlink(entry->path().c_str());
  }
}

// Some file systems know no such sync, above all of folders; others tell of what is lost.
bool synced(int descriptor) {
  return ::fsync(descriptor) == 0 || (errno != EIO && errno != ENOSPC && errno != EDQUOT);
}
}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY | O_NONBLOCK);    // opening a pipe must not wait for its writer
  struct stat status;
  if (file < 0 || ::fstat(file, &status) != 0)
    fail(ExitCode::failed, "cannot read {}: {}", path.string(), std::strerror(errno));
  if (!S_ISREG(status.st_mode))
    fail(ExitCode::failed, "cannot read {}: expected a file, got {}", path.string(),
         S_ISDIR(status.st_mode) ? "a folder" : "a pipe or device");
  const size_t size = size_t(status.st_size);
  if (size == 0) return;    // there is no empty mapping
  void* const start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  if (start == MAP_FAILED) fail(ExitCode::failed, "cannot read {}: mmap: {}", path.string(), std::strerror(errno));
  bytes_ = {static_cast<const std::byte*>(start), size};
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void Writer::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_write(path_, std::strerror(errno));
    bytes = bytes.subspan(size_t(written));
  }
}

void write_atomically(const std::filesystem::path& path, const std::function<void(Writer&)>& write, uint64_t size) {
  std::error_code error;
  if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error))
    fail_write(path, "it exists and is not a regular file");
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const auto space = std::filesystem::space(folder, error);
  if (!error && space.capacity > 0 && space.available < size)    // 0 bytes in all: a file system that does not count
    fail_write(path, fmt::format("it needs {} bytes, the disk has {} free", size, space.available));

  remove_left_behind(folder);
  Temporary file(folder);
  if (file < 0) fail_write(path, std::strerror(errno));
  Writer writer(path, file);
  write(writer);
  if (!synced(file) || !file.rename_to(path)) fail_write(path, std::strerror(errno));

  const Descriptor directory(folder, O_RDONLY | O_DIRECTORY);    // the new name must survive a power loss too
  if (directory >= 0 && !synced(directory))
    fail(ExitCode::failed, "wrote {}, but cannot sync its folder: {}", path.string(), std::strerror(errno));
}

void append_line(const std::filesystem::path& path, const std::string& line) {
  std::ofstream out(path, std::ios::app);
  out << line << "\n" << std::flush;
  if (!out) fail(ExitCode::failed, "{}: cannot be written; is the disk full?", path.string());
}

void sync_file(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY);
  if (file < 0 || !synced(file)) fail(ExitCode::failed, "cannot sync {}: {}", path.string(), std::strerror(errno));
}

FolderLock::FolderLock(const std::filesystem::path& folder) : folder_(folder) {
  std::error_code error;
  made_ = std::filesystem::create_directories(folder, error);
  if (!std::filesystem::is_directory(folder, error))
    fail(ExitCode::failed, "cannot make the folder {}: {}", folder.string(),
         error ? error.message() : std::string("a file of that name is there"));
  const std::filesystem::path name = folder / ".lock";
  for (int tries = 0; tries < 100; tries++) {
    file_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (file_ < 0) fail(ExitCode::failed, "cannot write into the folder {}: {}", folder.string(), std::strerror(errno));
    const int error_number = ::flock(file_, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
    if (error_number != 0 && error_number != EWOULDBLOCK)
      print_log("note    {} cannot be locked ({}): start nothing else that writes there\n", folder.string(),
                 std::strerror(error_number));
    if (error_number != EWOULDBLOCK && (error_number != 0 || same_file(file_, name))) return;
    ::close(std::exchange(file_, -1));
    if (error_number == EWOULDBLOCK)
      fail(ExitCode::failed, "{}: another process writes into this folder; wait for its end, or choose another --out",
           folder.string());
  }    // its holder ended in between, and took the name away
  fail(ExitCode::failed, "{}: its lock changes hands all the time; choose another --out", folder.string());
}

FolderLock::~FolderLock() {
  ::unlink((folder_ / ".lock").c_str());
  ::close(file_);
  if (made_) ::rmdir(folder_.c_str());
}

#include "engine/files.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "engine/error.h"

namespace {
// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags) : value_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  operator int() const { return value_; }
  int close() { return value_ < 0 ? 0 : ::close(std::exchange(value_, -1)); }

 private:
  int value_;
};

// Removes the temporary file unless it got its final name.
struct Temporary {
  std::filesystem::path path;
  bool renamed = false;
  ~Temporary() { if (!renamed) ::unlink(path.c_str()); }
};

[[noreturn]] void fail_write(const std::filesystem::path& path, const std::string& reason) {
  std::error_code ignored;
  fail(ExitCode::failed, "cannot write {}: {}; {}", path.string(), reason,
       std::filesystem::exists(path, ignored) ? "the old file is untouched" : "no file was left behind");
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
  if (!error && space.available < size)
    fail_write(path, fmt::format("it needs {} bytes, the disk has {} free", size, space.available));

  Temporary temporary{path.string() + ".tmp"};
  Descriptor file(temporary.path, O_WRONLY | O_CREAT | O_TRUNC);
  if (file < 0) fail_write(path, std::strerror(errno));
  Writer writer(path, file);
  write(writer);
  if (::fsync(file) != 0 || file.close() != 0) fail_write(path, std::strerror(errno));
  if (::rename(temporary.path.c_str(), path.c_str()) != 0) fail_write(path, std::strerror(errno));
  temporary.renamed = true;

  const Descriptor directory(folder, O_RDONLY | O_DIRECTORY);    // the new name must survive a power loss too
  if (directory < 0 || (::fsync(directory) != 0 && errno != EINVAL))    // EINVAL: a file system that has no such sync
    fail(ExitCode::failed, "wrote {}, but cannot sync its folder: {}", path.string(), std::strerror(errno));
}

// Files as bytes: read through a mapping, written whole or not at all, in folders that one process at a time writes.
// defines: most_unpacked, MappedFile, Writer, write_atomically, append_line, sync_file, FolderLock
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

// How many bytes a compressed file of this size may unpack to, whatever it says: none of images or weights has more.
constexpr uint64_t unpacked_ratio = 250;
constexpr uint64_t most_unpacked(uint64_t size) {
  constexpr uint64_t least = uint64_t(256) << 20;
  return size > least / unpacked_ratio ? unpacked_ratio * size : least;
}

// A whole regular file, read-only, in memory for as long as the object lives.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

// What write_atomically hands out; every call writes all of its bytes or throws.
class Writer {
 public:
  Writer(const std::filesystem::path& path, int descriptor) : path_(path), descriptor_(descriptor) {}
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

 private:
  const std::filesystem::path& path_;
  int descriptor_;
};

// Runs `write` on a file of a name of its own beside `path`, syncs and renames: a reader, or a power loss, finds the
// old file or the new one. Stops with one line, the old file untouched and nothing else left, on any failure; when
// `size` bytes (a lower bound of what will be written, 0: unknown) do not fit on the disk, before anything is written.
// What killed processes left behind in the folder is removed.
void write_atomically(const std::filesystem::path& path, const std::function<void(Writer&)>& write, uint64_t size = 0);

// Appends the line and a line end; fails where they cannot be written.
void append_line(const std::filesystem::path& path, const std::string& line);
// What was appended survives a power loss.
void sync_file(const std::filesystem::path& path);

// This process alone writes into the folder, which is made if it is not there, as long as the object lives; the lock
// ends with the process however that ends. Fails where another process has it. A file system without locks gets a note
// on stderr.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  FolderLock(const FolderLock&) = delete;
  ~FolderLock();    // leaves no trace of the lock, nor of a folder that was made for it and stayed empty

 private:
  std::filesystem::path folder_;
  bool made_;
  int file_ = -1;
};

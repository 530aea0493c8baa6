// Files as bytes: read through a mapping, written whole or not at all.
// defines: MappedFile, Writer, write_atomically
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

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

// Runs `write` on path.tmp, syncs and renames: a reader, or a power loss, finds the old file or the new one.
// Stops with one line, the old file untouched and no path.tmp left, on any failure; when `size` bytes (a lower bound of
// what will be written, 0: unknown) do not fit on the disk, before anything is written.
void write_atomically(const std::filesystem::path& path, const std::function<void(Writer&)>& write, uint64_t size = 0);

// A file that is read at any position from any thread.
// defines: File, raise_open_file_limit
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

class File {
 public:
  explicit File(const std::filesystem::path& path);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&&) = delete;

  // reads up to `size` bytes at `offset`; fewer only where the file ends
  size_t read(uint64_t offset, void* to, size_t size) const;
  std::string name() const { return path_.string(); }
  const std::filesystem::path& path() const { return path_; }
  uint64_t size() const { return size_; }
  int64_t modified() const { return modified_; }    // nanoseconds since 1970

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
  int64_t modified_ = 0;
};

// A set may have more shards than the usual limit of 1024 open files.
void raise_open_file_limit();

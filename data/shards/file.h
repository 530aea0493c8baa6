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
  // What tells that the file is not what it was, though path and size are. A program can set the time of the last
  // change to the bytes back (rsync -t, cp -p, tar), but not the change to the file's entry, nor that another file took
  // its name. All but the number come from the server where the file lies on one, so that all its clients see the same;
  // some such file systems number files anew at each mount, which costs a scan.
  struct State {
    int64_t modified = 0, changed = 0;    // nanoseconds since 1970
    uint64_t number = 0;                  // of the inode
    bool operator==(const State&) const = default;
  };
  State state() const { return state_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
  State state_;
};

// A set may have more shards than the usual limit of 1024 open files.
void raise_open_file_limit();

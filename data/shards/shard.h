// One shard of a source, whatever its format: which images it holds, what they are called, and their bytes.
// A format is a file in this folder and its name in formats.cpp; index, loader, cache and labels know no format.
// defines: Shard, FileShard, ShardFormat, format_of, open_shard, shard_of_members, is_plain_class_list
#pragma once
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/image.h"
#include "data/shards/file.h"
#include "data/shards/scan.h"

class Members;

// Any thread may call what it has. Samples are numbers of a scan of this shard, in which the index may have numbered
// labels anew and dropped samples.
class Shard {
 public:
  explicit Shard(const std::filesystem::path& path) : path_(path) {}
  virtual ~Shard() = default;
  Shard(const Shard&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Read from the shard itself. A shard that is damaged or no such shard is a data error that says where.
  virtual Scan scan() const = 0;
  // Of a sample within the shard, as in "cat/1.jpg"; its key is that name without the extension.
  virtual std::string name_of(const Scan& scan, size_t sample) const = 0;
  // "shard.tar:cat/1.jpg", for messages.
  virtual std::string where(const Scan& scan, size_t sample) const = 0;
  // The bytes of a sample's image as they are stored; a data error where the shard became shorter since it was scanned.
  virtual void read(const Scan& scan, size_t sample, std::vector<uint8_t>& bytes) const = 0;
  virtual Image decode(std::span<const uint8_t> bytes) const { return decode_image(bytes); }

  // It says what its images show, so eval predict takes it as a source; else as pictures in an archive or a folder.
  virtual bool has_labels() const { return true; }
  // The file by whose state a cached scan is known to be still true; null where scanning is as fast as the cache.
  virtual const File* cached_file() const { return nullptr; }
  // A scan from the cache, whose labels and extents are sound, can be one of this shard: name_of() may trust it.
  virtual bool could_have(const Scan&) const { return true; }

 protected:
  // `size` bytes of `file` from `offset` on, which are the sample's.
  void read_range(const File& file, uint64_t offset, uint64_t size, const Scan& scan, size_t sample,
                  std::vector<uint8_t>& bytes) const;

 private:
  std::filesystem::path path_;
};

// Images that are ranges of one file: Sample::offset and Sample::size say which.
class FileShard : public Shard {
 public:
  explicit FileShard(const std::filesystem::path& path) : Shard(path), file_(path) {}
  std::string where(const Scan& scan, size_t sample) const override;
  void read(const Scan& scan, size_t sample, std::vector<uint8_t>& bytes) const override;

 protected:
  const File& file() const { return file_; }

 private:
  File file_;
};

struct ShardFormat {
  bool (*recognises)(const std::filesystem::path& path);    // by its name, its kind or its first bytes
  std::shared_ptr<const Shard> (*open)(const std::filesystem::path& path);
  // Names of lists of classes that come with it, beside a shard: a name a line.
  std::span<const char* const> class_lists = {};
};

template <class T> std::shared_ptr<const Shard> open_as(const std::filesystem::path& path) {
  return std::make_shared<const T>(path);
}

// The format of what lies at a path; null where it is none.
const ShardFormat* format_of(const std::filesystem::path& path);
// What has no format is opened as a folder of images or as a tar, whose scan says what is wrong with it.
std::shared_ptr<const Shard> open_shard(const std::filesystem::path& path);
// It is called as one of the formats' own class lists is.
bool is_plain_class_list(const std::filesystem::path& file);

// The images that `members` lists, in its order and without labels: a shard that no source names.
std::shared_ptr<const Shard> shard_of_members(std::shared_ptr<const Members> members);

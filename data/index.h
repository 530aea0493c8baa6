// All samples of a source: where each image lies, its label, and its bytes on request.
// defines: Index, Labels
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/class_names.h"
#include "data/image.h"
#include "data/members.h"
#include "data/shards/scan.h"
#include "data/shards/shard.h"

// The classes of an image: one, several in a set with multi-hot labels, or none that counts.
using Labels = std::span<const int32_t>;

class Index {
 public:
  // Scans the shards, or reads scans from cache_dir (see scan_cache.h); an empty cache_dir means no cache. Where
  // classes are named by wnids and `classes` is the size of a list of ImageNet that has them, that list numbers them.
  static Index open(const std::string& source, const std::filesystem::path& cache_dir, int classes = 0);
  // The images that `members` lists, in its order and without labels. Data error where there is none.
  static Index of(std::shared_ptr<const Members> members);

  size_t size() const { return size_; }
  Labels labels(size_t i) const;    // valid as long as the index
  int label(size_t i) const { return labels(i).empty() ? -1 : labels(i)[0]; }    // the first one
  int max_label() const { return max_label_; }
  // names by label: the class list beside the shards (the first list, then what the others add to it), else folders or
  // wnids in the order that numbers them; may be empty
  const std::vector<std::string>& classes() const { return classes_; }
  std::string key(size_t i) const;
  std::string where(size_t i) const;    // "shard.tar:member.jpg", for messages
  // the image's bytes; any thread may call it; a shard that became shorter is a data error
  void read(size_t i, std::vector<uint8_t>& bytes) const;
  // the image itself, read into `bytes` and decoded as its shard says; errors name it
  Image image(size_t i, std::vector<uint8_t>& bytes) const;

  bool from_cache() const { return from_cache_; }
  const std::string& summary() const { return summary_; }    // shards, samples, what was skipped: one line
  // Replaces the labels of ILSVRC2012's validation images by those of "Are we done with ImageNet?" (real.json): in
  // place k the list of labels of image k + 1; images with none stay without. Classes are then ImageNet-1k's.
  void take_real_labels(const std::filesystem::path& path);
  // Moves `count` samples into an index of their own with the same classes: those that a shuffle of positions puts
  // first, so that neither the order of classes nor a period of it matters; of as many samples always the same
  // positions. Usage error unless some are left on both sides.
  Index hold_out(size_t count);
  // From here on labels count `wanted`. Where both sides have names, by name: another order or a part of them is
  // mapped, and an image of a class that `wanted` has not is a data error that names both. Where one has none, labels
  // stay as they are, but folders named by number are the classes of those numbers. Returns a line that says so, or "".
  std::string count_as(const Classes& wanted);
  // a label that `of` has no class for is a data error that names the first such member
  void require_labels_below(int classes, const std::string& of = "the model") const;

 private:
  struct ScannedShard {
    std::shared_ptr<const Shard> shard;
    Scan scan;           // its labels as the index counts them
    size_t first = 0;    // number of its first sample
    const std::filesystem::path& path() const { return shard->path(); }
  };
  struct Location {
    const ScannedShard& in;
    size_t sample;    // of in.scan
  };
  Location at(size_t i) const;
  void scan_all(const std::filesystem::path& cache_dir);
  void number_classes(const std::string& source, int classes);
  void number_by_lists(const std::string& source, const std::vector<const std::vector<std::string>*>& lists);
  void check_wnids(int classes);
  void hold_wnids_against(const std::vector<std::string>& names, const std::string& title) const;
  bool place_of_numbers(int count);
  void find_max_label();
  void keep(const std::function<bool(size_t)>& wanted);
  void count(const std::string& source, const std::filesystem::path& cache_dir);

  std::vector<ScannedShard> shards_;
  std::vector<std::string> classes_;
  size_t size_ = 0;
  int max_label_ = -1;
  bool from_cache_ = true, cache_written_ = true;
  bool by_name_ = false;    // no class list: labels count the sorted names of those present
  size_t by_place_ = 0;     // shards without a class list, whose labels count that of others
  std::vector<std::string> key_wnids_;    // by label, where labels are given and keys start with wnids
  std::string list_;        // of ImageNet, whose classes these are
  std::string summary_;
};

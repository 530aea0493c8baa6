// The samples of one tar: which members are images, and their labels.
// defines: Sample, HardLink, Layout, LabelKind, Scan, scan_tar, split_member_name, is_image_name, validation_number
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/file.h"
#include "data/tally.h"

// Where one image lies. 13 million of them stay in memory, so names stay in the tar: `header` leads back to them.
struct Sample {
  uint64_t offset : 48;    // of the image's bytes in the shard; with Layout::files, of its name in Scan::names
  uint64_t header
      : 16;  // what lies before the bytes: tar blocks of the member's header (0: see HardLink), or labels of
             // the record
  uint32_t size;
  int32_t label;           // -1 - p: several, in Scan::label_sets from p on
};
static_assert(sizeof(Sample) == 16);

// Of a sample whose image is a hard link: its number, and where its own header lies, far from the bytes that it shares.
struct HardLink {
  uint64_t sample, header;
};

// Where images lie and so what decodes them: members and files hold JPEG or PNG, records bare pixels.
enum class Layout : uint32_t { members, files, records };

// What Sample::label says until the index has numbered it: the label, a position in Scan::classes, or the number of an
// ILSVRC2012 validation image, whose label lies in a file beside.
enum class LabelKind : uint32_t { given, class_position, image_number };

struct Scan {
  std::vector<Sample> samples;
  Layout layout = Layout::members;
  LabelKind labels = LabelKind::given;
  std::vector<std::string> classes;    // names, where the shard has them: wnids, folders; with labels given, the wnid that keys of a label start with
  std::vector<int32_t> label_sets;     // how many labels, then the labels, of each sample that has not one
  std::string names;                   // of files, from the shard's folder, each ended by a zero byte
  int32_t add_label_set(std::span<const int32_t> labels);              // what Sample::label says of them
  std::span<const int32_t> labels_of(const Sample& sample) const;
  void relabel(std::span<const int32_t> map);    // each label k becomes map[k]; all are below its size
  std::vector<HardLink> links;         // in the order of the samples
  Tally without_image;                 // samples that hold no jpg, jpeg, png or webp, by what they hold
  Tally skipped;                       // members: folders, links, __meta__ and hidden names, names without extension
  uint64_t in_subfolders = 0;          // samples of an image folder that lie in folders within their class's
};

// A WebDataset shard, ILSVRC2012's training tar (a tar of each class in it), or its validation tar (no labels in it).
// WebDataset: adjacent members with one key are a sample. An image without a label, a label that is no number, an
// extension or key that appears twice, one label for keys of two wnids: data errors that name shard, member and offset.
// A .cls may hold several labels.
Scan scan_tar(const File& file);

// "a/22.0/1.1.png" -> key "a/22.0/1", extension "1.png": the first dot of the last component. False where there is no
// such dot, or the name is hidden (".x").
bool split_member_name(std::string_view name, std::string_view& key, std::string_view& extension);

// It ends as a jpg, jpeg, png or webp does.
bool is_image_name(std::string_view name);

// 123 of a key "ILSVRC2012_val_00000123"; 0 if it is none
int32_t validation_number(std::string_view key);

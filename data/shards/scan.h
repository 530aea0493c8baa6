// What one shard holds: where each image lies, and its label.
// defines: Sample, HardLink, LabelKind, Scan
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/tally.h"

// Where one image lies. 13 million of them stay in memory, so names stay in the tar: `header` leads back to them.
struct Sample {
  uint64_t offset : 48;    // bytes: of the image in the shard's file, or of its name in Scan::names
  uint64_t header : 16;    // what lies before the image: blocks of a tar member's header (0: see HardLink), or the
                           // bytes of a record's labels
  uint32_t size;           // bytes of the image; 0 where it is a file of its own
  int32_t label;           // -1 - p: several, in Scan::label_sets from p on
};
static_assert(sizeof(Sample) == 16);

// Of a sample whose image is a hard link: its number, and where its own header lies, far from the bytes that it shares.
struct HardLink {
  uint64_t sample, header;
};

// What Sample::label says until the index has numbered it: the label, a position in Scan::classes, or the number of an
// ILSVRC2012 validation image, whose label lies in a file beside.
enum class LabelKind : uint32_t { given, class_position, image_number };

struct Scan {
  std::vector<Sample> samples;
  LabelKind labels = LabelKind::given;
  // names, where the shard has them: wnids, folders; with labels given, the wnid that keys of a label start with
  std::vector<std::string> classes;
  std::vector<int32_t> label_sets;     // how many labels, then the labels, of each sample that has not one
  std::string names;                   // of files, from the shard's folder, each ended by a zero byte
  std::vector<HardLink> links;         // in the order of the samples
  Tally without_image;                 // samples that hold no jpg, jpeg, png or webp, by what they hold
  Tally skipped;                       // members: folders, links, __meta__ and hidden names, names without extension
  uint64_t in_subfolders = 0;          // samples of an image folder that lie in folders within their class's

  int32_t add_label_set(std::span<const int32_t> labels);              // what Sample::label says of them
  std::span<const int32_t> labels_of(const Sample& sample) const;
  void relabel(std::span<const int32_t> map);    // each label k becomes map[k]; all are below its size
  void keep(const std::function<bool(size_t sample)>& wanted);    // drops the others; asks once of each, in order
};

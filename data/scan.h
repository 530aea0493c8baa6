// The samples of one WebDataset shard: which members of the tar are images, and their labels.
// defines: Sample, Scan, scan_shard, split_member_name
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/file.h"

// Where one image lies. 13 million of them stay in memory, so names stay in the tar: `header` leads back to them.
struct Sample {
  uint64_t offset : 48;    // of the image's bytes in the shard
  uint64_t header : 16;    // tar blocks from the member's first header block to its bytes
  uint32_t size;
  int32_t label;
};
static_assert(sizeof(Sample) == 16);

struct Scan {
  std::vector<Sample> samples;
  uint64_t without_image = 0;      // samples that hold no jpg, jpeg, png or webp
  uint64_t skipped_members = 0;    // folders, links, __meta__ and hidden names, names without extension
};

// Groups adjacent members with one key to a sample. An image without a label, a label that is no number, an extension
// or key that appears twice: data errors that name shard, member and offset.
Scan scan_shard(const File& file);

// "a/22.0/1.1.png" -> key "a/22.0/1", extension "1.png": the first dot of the last component. False where there is no
// such dot, or the name is hidden (".x").
bool split_member_name(std::string_view name, std::string_view& key, std::string_view& extension);

// Which image becomes which sample of which shards, and the writing of them.
// defines: PlannedImage, ShardPlan, plan_classes, order_by_md5, PackOptions, Packed, write_planned
#pragma once
#include <map>
#include <string>
#include <vector>

#include "data/class_folder.h"
#include "data/md5.h"
#include "data/members.h"
#include "data/parallel.h"
#include "engine/machine.h"

struct PlannedImage {
  size_t member;           // in Members::all()
  std::string part;        // shards PART-0000.tar, ...: train, val, test
  std::string key;         // what its place in the order is computed from
  int label;
  Md5 place = {};
  std::string folder = {};    // of its sample's key; empty: the folder that it lies in
  int64_t record = -1;     // of one of CIFAR-100's binary files, else the member is the image
};

struct ShardPlan {
  std::vector<std::string> classes;
  std::vector<PlannedImage> images;
  std::string note;       // what was chosen where that is not plain; or ""
  Tally passed_over;      // images of no class
};

// Classes and parts are those that `folders` finds (see class_folder.h); classes by sorted name or, where `names` are
// given, by their order. Without parts all is train, and of those the last `validation` of them, by md5, are val.
ShardPlan plan_classes(const Members& members, ClassFolders (&folders)(const std::vector<std::string_view>&),
                       const std::vector<std::string>& names, double validation);

// TensorFlow Datasets' order of a split: by the 128 bits of md5(split || key). Every shard then has a mix of the
// classes.
void order_by_md5(std::vector<PlannedImage>& images);

struct PackOptions {
  std::filesystem::path out;
  int size = 0;                // shrink images to this shorter side; 0: keep their bytes
  bool stop_at_bad = false;    // at an image that cannot be decoded; else it is left out
  int threads = usable_cores();
};
struct Packed {
  std::map<std::string, size_t> samples;    // by part
  size_t encoded = 0;                       // images whose bytes are not those of the source
  std::vector<std::string> bad;             // images left out: where and why
};

// Every image is decoded to be sure of it. JPEG and PNG keep their bytes; other kinds become PNG; what is shrunk
// becomes PNG again, or JPEG of quality 95 if it was JPEG.
Packed write_planned(const ShardPlan& plan, const Members& members, const PackOptions& options);

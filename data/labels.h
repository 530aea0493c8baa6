// Labels that lie beside a shard: names of classes, and a class for each image of a tar without .cls.
// defines: class_list_file, read_class_list, class_list, share_class_list, take_label_file, label_by_name,
//          read_real_labels
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "data/shards/scan.h"

// The list that names a shard's classes: classes.txt or SET-classes.txt ("label<TAB>name" a line), or its format's own
// list (a name a line), beside the shard or in its folder; empty if none.
std::filesystem::path class_list_file(const std::filesystem::path& shard);
std::vector<std::string> read_class_list(const std::filesystem::path& file);    // names by label
std::vector<std::string> class_list(const std::filesystem::path& shard);        // both; empty if none

// FOLDER/classes.txt, for shards to be written there: a new one, or the one that numbers the shards already there,
// which stays as it is. Returns for each of `names` its label. Data error where that list lacks one, or shards lie
// there without it.
std::vector<int32_t> share_class_list(const std::filesystem::path& folder, const std::vector<std::string>& names);

// Replaces the numbers of ILSVRC2012's validation images by labels. Beside the tar must lie one of
// - NAME-labels.txt of NAME.tar: in line k the class of image k, as an index from 0 or as a wnid;
// - the devkit's ILSVRC2012_validation_ground_truth.txt and ILSVRC2012_wnids.txt: in line k the wnid of its ID k.
void take_label_file(const std::filesystem::path& shard, Scan& scan);

// Replaces positions in scan.classes by positions in `names`, where a class stands by its name or first word (wnid).
// Where none does and all are numbers, number k is the place k: then it returns true.
bool label_by_name(const std::filesystem::path& shard, Scan& scan, const std::vector<std::string>& names);

// real.json of "Are we done with ImageNet?" (2006.07159): in place k the labels of validation image k + 1, perhaps
// none.
std::vector<std::vector<int32_t>> read_real_labels(const std::filesystem::path& path);

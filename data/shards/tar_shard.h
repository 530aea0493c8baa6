// The samples of one tar: which members are images, and their labels.
// defines: scan_tar
#pragma once
#include "data/shards/file.h"
#include "data/shards/scan.h"

// A WebDataset shard, ILSVRC2012's training tar (a tar of each class in it), or its validation tar (no labels in it).
// WebDataset: adjacent members with one key are a sample. An image without a label, a label that is no number, an
// extension or key that appears twice, one label for keys of two wnids: data errors that name shard, member and offset.
// A .cls may hold several labels.
Scan scan_tar(const File& file);

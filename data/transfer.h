// The eight sets that few-shot accuracy is measured on, from their official archives.
// defines: TransferSet, transfer_sets, find_transfer_set, keep_for_transfer, plan_transfer
#pragma once
#include <span>
#include <string>

#include "data/shard_plan.h"

class TransferFiles;

struct TransferSet {
  const char* name;
  const char* archives;                          // which files to give
  const char* split;                             // how train and test come about
  std::pair<const char*, size_t> official[3];    // images of each part of the whole set
  void (*plan)(const TransferFiles& files, ShardPlan& plan);
  size_t first = 0;        // all images are one split of TensorFlow Datasets, whose first so many are train
  size_t of_class = 0;     // the same, so many of each class
};

std::span<const TransferSet> transfer_sets();
const TransferSet& find_transfer_set(const std::string& name);

// Images, and the lists and binaries that may say more about them.
bool keep_for_transfer(std::string_view path, std::string_view head);

// Labels, parts and order of TensorFlow Datasets, where those can be had.
ShardPlan plan_transfer(const TransferSet& set, const Members& members);

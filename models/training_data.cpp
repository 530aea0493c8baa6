#include "models/training_data.h"
#include <filesystem>
#include "data/paths.h"
#include "data/shards/scan_cache.h"
#include "engine/console.h"
#include "models/classes.h"

namespace {
namespace fs = std::filesystem;

// A folder of folders or of tars: one with images in it is a class.
bool is_part(const fs::path& folder) {
  if (!fs::is_directory(folder)) return false;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && is_image_name(entry.path().filename().string())) return false;
  return true;
}
}  // namespace

void split_of_folder(TrainOptions& o) {
  const fs::path folder = o.train;
  if (!is_part(folder / "train")) return;
  for (const char* name : {"val", "valid", "validation"}) {
    if (!is_part(folder / name)) continue;
    o.train = (folder / "train").string();
    const bool both = o.val.empty() && o.holdout.empty();
    if (both) o.val = (folder / name).string();
    print_log("note    {} is a split: --train {}{}\n", folder.string(), o.train, both ? " --val " + o.val : "");
    return;
  }
}

TrainingData open_training_data(const TrainOptions& o) {
  TrainingData data{Index::open(o.train, default_cache_dir(), o.classes), {}, 0};
  Index& train = data.train;
  print_log("train   {}\n", train.summary());
  const int known = train.classes().empty() ? train.max_label() + 1 : int(train.classes().size());
  data.classes = o.classes ? o.classes : known;
  train.require_labels_below(data.classes);
  if (known == 1) print_log("note    all images are of one class: there is nothing to tell apart\n");
  if (!o.holdout.empty()) {
    data.val.emplace(train.hold_out(o.held_out(train.size())));
    print_log("val     {} images of --train are held out, {} are left\n", data.val->size(), train.size());
  }
  if (!o.val.empty()) data.val.emplace(open_counting("val", o.val, {"--train", data.classes, train.classes()}));
  return data;
}

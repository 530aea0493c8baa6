#include "models/classes.h"
#include <filesystem>
#include <fstream>
#include <unordered_map>
#include "data/imagenet.h"
#include "data/shards/scan_cache.h"
#include "engine/console.h"
#include "engine/error.h"
#include "engine/safetensors.h"
#include "engine/text.h"
#include "models/checkpoint.h"

namespace {

std::vector<std::string> wanted_classes(const std::string& wanted) {
  std::string lists;
  for (const ImagenetList& list : imagenet_lists()) {
    if (list.name == wanted) return list.wnids;
    lists += list.name + ", ";
  }
  if (!std::filesystem::exists(wanted))
    fail(ExitCode::usage, "--restrict-to: '{}' is neither one of {}nor a file", wanted, lists);
  std::vector<std::string> classes;
  for (std::string line : lines_of_file(wanted)) {
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (!line.empty()) classes.push_back(printable(line));
  }
  return classes;
}

}  // namespace

Restriction restrict_to(const std::string& wanted, const Classes& model) {
  const ImagenetList* list = model.names.empty() ? imagenet_list_of(model.count) : nullptr;
  if (model.names.empty() && !list)
    fail(ExitCode::usage,
         "--restrict-to: the checkpoint does not name its {} classes, and no list of ImageNet has as many; train with "
         "a classes.txt beside the images",
         model.count);
  const std::vector<std::string>& own = list ? list->wnids : model.names;
  Restriction r{{"--restrict-to " + wanted, 0, wanted_classes(wanted)}, {}, {}};
  r.classes.count = int(r.classes.names.size());
  const std::vector<int32_t> map = class_map(r.classes.names, own);
  for (size_t i = 0; i < map.size(); i++) {
    if (map[i] == several_classes)
      fail(ExitCode::usage, "--restrict-to {}: '{}' stands twice in it or in {}; name each class once", wanted,
           r.classes.names[i], model.of);
    r.columns.push_back(map[i]);
    if (map[i] == no_class) r.absent.push_back(r.classes.names[i]);
  }
  if (r.absent.size() == r.columns.size())
    fail(ExitCode::usage, "--restrict-to {}: the model has none of its {} classes; its first one is named '{}'", wanted,
         r.columns.size(), own.front());
  return r;
}

Index open_counting(const char* title, const std::string& source, const Classes& wanted, const std::string& real) {
  // names that are wnids say which classes these are, and their number does not
  const bool by_wnid = !wanted.names.empty() && !wnid_of(wanted.names[0]).empty();
  Index index = Index::open(source, default_cache_dir(), by_wnid ? 0 : wanted.count);
  if (!real.empty()) index.take_real_labels(real);
  const std::string note = index.count_as(wanted);
  print_log("{:<8}{}\n", title, index.summary());
  if (!note.empty()) print_log("note    {}\n", note);
  index.require_labels_below(wanted.count, wanted.of);
  return index;
}

void require_classes_of_run(const std::filesystem::path& weights, const Classes& now) {
  if (!std::filesystem::exists(weights)) return;
  const std::vector<std::string> begun = class_names(SafeTensors(weights).metadata(), now.count, weights);
  if (begun == now.names) return;
  size_t label = 0;
  while (label < begun.size() && label < now.names.size() && begun[label] == now.names[label]) label++;
  const auto name = [&](const std::vector<std::string>& names) {
    return label < names.size() ? "'" + names[label] + "'" : "without a name";
  };
  fail(ExitCode::usage,
       "{}: the run was started with class {} {}, now it is {}; resume with the same images and classes.txt, or start "
       "anew in another --out",
       weights.string(), label, name(begun), name(now.names));
}

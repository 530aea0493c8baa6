#include "models/classes.h"
#include <filesystem>
#include <unordered_map>
#include "data/imagenet.h"
#include "engine/error.h"
#include "engine/text.h"

namespace {

// What identifies a class: its wnid where the name starts with one
std::string identity(const std::string& name) {
  const std::string_view wnid = wnid_of(name);
  return std::string(wnid.empty() ? std::string_view(name) : wnid);
}

std::vector<std::string> wanted_classes(const std::string& wanted) {
  std::string lists;
  for (const ImagenetList& list : imagenet_lists()) {
    if (list.name == wanted) return list.wnids;
    lists += list.name + ", ";
  }
  if (!std::filesystem::exists(wanted)) fail(ExitCode::usage, "--restrict-to: '{}' is neither one of {}nor a file", wanted, lists);
  std::vector<std::string> classes;
  for (std::string line : lines_of_file(wanted)) {
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (!line.empty()) classes.push_back(printable(line));
  }
  return classes;
}

}  // namespace

std::vector<int> class_columns(const std::string& wanted, const std::vector<std::string>& names, int classes, std::vector<std::string>& absent) {
  const ImagenetList* list = names.empty() ? imagenet_list_of(classes) : nullptr;
  if (names.empty() && !list)
    fail(ExitCode::usage, "--restrict-to: the checkpoint does not name its {} classes, and no list of ImageNet has as many; train with a classes.txt beside the images", classes);
  const std::vector<std::string>& own = list ? list->wnids : names;
  std::unordered_map<std::string, int> column;
  for (size_t i = 0; i < own.size(); i++) column.emplace(identity(own[i]), int(i));
  std::vector<int> columns;
  for (const std::string& name : wanted_classes(wanted)) {
    const auto found = column.find(identity(name));
    columns.push_back(found == column.end() ? -1 : found->second);
    if (found == column.end()) absent.push_back(name);
  }
  if (absent.size() == columns.size()) fail(ExitCode::usage, "--restrict-to {}: the model has none of its {} classes; its first one is named '{}'", wanted, columns.size(), own.front());
  return columns;
}

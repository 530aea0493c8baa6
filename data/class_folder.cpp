#include "data/class_folder.h"

#include <algorithm>
#include <fmt/ranges.h>
#include <map>
#include <set>

#include "data/paths.h"
#include "engine/text.h"

namespace {
using Folders = std::vector<std::string>;

Folders folders_of(std::string_view path) {
  Folders folders = split(path, "/");
  folders.pop_back();
  return folders;
}

std::string parent_path(std::string_view path) { return std::string(path.substr(0, path.rfind('/'))); }

// The nearest folder above the class's that is named as a part; their size if there is none.
size_t place_of_part(const Folders& folders) {
  for (size_t i = folders.size(); i-- > 1;)
    if (!part_of(folders[i - 1]).empty()) return i - 1;
  return folders.size();
}

// Names the first class whose images lie in several folders of its name.
std::string several_folders(const std::vector<std::string_view>& paths, const ClassFolders& found) {
  std::map<std::pair<std::string, std::string>, std::set<std::string>> parents;
  for (size_t i = 0; i < paths.size(); i++)
    parents[{found.places[i].part, found.places[i].name}].insert(parent_path(paths[i]));
  for (const auto& [place, folders] : parents)
    if (folders.size() > 1)
      return fmt::format("an image's class is the folder that it lies in: '{}' has the images of {} folders, {} and {}",
                         place.second, folders.size(), *folders.begin(),
                         folders.size() == 2 ? *folders.rbegin() : "others");
  return "";
}

// The classes are the first folders that differ; false where they do not.
bool take_differing(const std::vector<std::string_view>& paths, ClassFolders& found) {
  std::vector<Folders> above;    // without the folder that all share, and without parts
  for (const std::string_view path : paths) {
    Folders& folders = above.emplace_back(folders_of(path));
    if (const size_t part = place_of_part(folders); part < folders.size()) folders.erase(folders.begin() + long(part));
    folders.pop_back();
  }
  const Folders& first = above[0];
  size_t common = first.size();
  for (const Folders& folders : above) {
    const auto differs = std::mismatch(first.begin(), first.end(), folders.begin(), folders.end()).first;
    common = std::min(common, size_t(differs - first.begin()));
  }
  std::set<std::string> names;
  for (const Folders& folders : above)
    if (folders.size() > common) names.insert(folders[common]);
  if (names.size() < 2) return false;
  for (size_t i = 0; i < paths.size(); i++) {
    const bool known = above[i].size() > common;
    if (known && found.note.empty())
      found.note = fmt::format(
          "all images lie in folders named '{}': their class is the first folder in which they "
          "differ, as '{}' of {}",
          found.places[i].name, above[i][common], paths[i]);
    if (!known) found.passed_over.add("images in no class's folder");
    found.places[i].name = known ? above[i][common] : "";
  }
  return true;
}
}

std::string part_of(std::string_view folder) {
  if (folder == "train" || folder == "test") return std::string(folder);
  return folder == "val" || folder == "valid" || folder == "validation" ? "val" : "";
}

ClassFolders first_folders(const std::vector<std::string_view>& paths) {
  ClassFolders found;
  std::vector<std::string> within;                         // the folders within the class's, joined
  std::set<std::pair<std::string, std::string>> direct;    // part and class of images in their class's own folder
  for (const std::string_view path : paths) {
    Folders folders = folders_of(path);
    const std::string part = folders.size() > 1 ? part_of(folders[0]) : "";
    if (!part.empty()) folders.erase(folders.begin());
    found.places.push_back({part, folders[0]});
    folders.erase(folders.begin());
    within.push_back(fmt::format("{}", fmt::join(folders, "/")));
    if (folders.empty()) direct.emplace(part, found.places.back().name);
  }
  const auto is_direct = [&](size_t i) { return direct.contains({found.places[i].part, found.places[i].name}); };
  std::set<std::string> names;
  for (size_t i = 0; i < paths.size(); i++)
    if (!is_direct(i)) names.insert(within[i]);
  size_t taken = 0;
  for (size_t i = 0; i < paths.size(); i++) {
    if (within[i].empty()) continue;
    if (names.size() == 1 && !is_direct(i)) taken++;
    else found.passed_over.add("images in folders within their class's"), found.places[i].name.clear();
  }
  if (taken)
    found.note = fmt::format("{} images lie in a folder {} within their class's: the class is the first folder", taken,
                             *names.begin());
  return found;
}

ClassFolders nearest_folders(const std::vector<std::string_view>& paths) {
  ClassFolders found;
  std::set<std::string> names, parents;
  for (const std::string_view path : paths) {
    const Folders folders = folders_of(path);
    const size_t part = place_of_part(folders);
    found.places.push_back({part < folders.size() ? part_of(folders[part]) : "", std::string(parent_name(path))});
    names.insert(found.places.back().name);
    parents.insert(parent_path(path));
  }
  const bool differing = names.size() == 1 && parents.size() > 1 && take_differing(paths, found);
  if (!differing) found.note = several_folders(paths, found);
  return found;
}

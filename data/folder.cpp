#include "data/folder.h"

#include <algorithm>

#include "data/class_names.h"
#include "engine/error.h"
#include "engine/signals.h"
#include "engine/text.h"

namespace fs = std::filesystem;

namespace {
bool hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

std::vector<std::string> classes_of(const fs::path& folder) {
  std::vector<std::string> classes;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && !hidden(entry.path())) classes.push_back(entry.path().filename().string());
  sort_classes(classes);
  return classes;
}
}

bool is_image_folder(const fs::path& folder) { return !classes_of(folder).empty(); }

Scan scan_folder(const fs::path& folder) try {
  Scan scan;
  scan.layout = Layout::files;
  scan.labels = LabelKind::class_position;
  scan.classes = classes_of(folder);
  if (scan.classes.empty())
    fail(ExitCode::data, "no folder of a class in {0}: expected {0}/<class>/<image>", folder.string());
  for (size_t label = 0; label < scan.classes.size(); label++) {
    const fs::path class_folder = folder / scan.classes[label];
    std::vector<std::string> images;
    for (const auto& entry : fs::directory_iterator(class_folder)) {
      stop_if_asked();
      const std::string name = entry.path().filename().string();
      if (!hidden(name) && is_image_name(name) && entry.is_regular_file()) images.push_back(name);
      else scan.skipped_members++;
    }
    if (images.empty())
      fail(ExitCode::data, "no image in {}: expected {}/<class>/<image>, images jpg, jpeg, png or webp",
           class_folder.string(), folder.string());
    std::sort(images.begin(), images.end());
    for (const std::string& name : images) {
      scan.samples.push_back({.offset = scan.names.size(), .header = 0, .size = 0, .label = int32_t(label)});
      scan.names += scan.classes[label] + '/' + name + '\0';
    }
  }
  for (std::string& name : scan.classes) name = printable(name);    // as in a class list; paths keep their bytes
  return scan;
} catch (const fs::filesystem_error& error) {
  fail(ExitCode::data, "cannot read {}: {}", error.path1().string(), error.code().message());
}

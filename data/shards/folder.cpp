// A folder of images, FOLDER/class/image: each image a file of its own.
#include <algorithm>

#include "data/class_folder.h"
#include "data/class_names.h"
#include "data/paths.h"
#include "data/shards/shard.h"
#include "data/walk.h"
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

// Names from the class's folder on.
std::vector<std::string> images_of(const fs::path& class_folder, Tally& others) {
  std::vector<std::string> images;
  for (const auto& entry : fs::directory_iterator(class_folder)) {
    stop_if_asked();
    const std::string name = entry.path().filename().string();
    if (!hidden(name) && is_image_name(name) && entry.is_regular_file()) images.push_back(name);
    else others.add(entry.is_directory() ? "folders" : entry.exists() ? kind_of_name(name) : "links to nothing");
  }
  return images;
}

// The same of a class whose own folder has no image: those at any depth, where all lie in `within` as in
// CLASS/images/NAME, which is then one name for all classes. Else nothing says which of these folders the classes are.
std::vector<std::string> images_within(const fs::path& class_folder, std::string& within, Tally& others) {
  std::vector<std::string> images;
  const bool part = !part_of(class_folder.filename().string()).empty();
  bool one = !part;
  walk_folder(class_folder, [&](const fs::directory_entry&, const std::string& name) {
    if (!is_image_name(name)) return others.add(kind_of_name(name));
    const std::string folder = fs::path(name).parent_path().string();
    if (within.empty()) within = folder;
    one &= folder == within;
    images.push_back(name);
  }, others);
  return one ? images : std::vector<std::string>();
}

// Classes as sort_classes has them and, within each, images sorted by name; of a class without images in its own folder
// those in the one folder within it that has the same name for all such classes, as in CLASS/images/NAME. Links are
// followed. Only names are read: listing a million files takes seconds.
Scan scan_folder(const fs::path& folder) try {
  Scan scan;
  scan.labels = LabelKind::class_position;
  scan.classes = classes_of(folder);
  if (scan.classes.empty())
    fail(ExitCode::data, "no folder of a class in {0}: expected {0}/<class>/<image>", folder.string());
  std::string within;
  for (size_t label = 0; label < scan.classes.size(); label++) {
    Tally others, deep;
    std::vector<std::string> images = images_of(folder / scan.classes[label], others);
    if (images.empty()) {
      images = images_within(folder / scan.classes[label], within, deep);
      scan.in_subfolders += images.size();
      if (!images.empty()) others = deep;
    }
    scan.skipped.add(others);
    if (images.empty())
      fail(ExitCode::data, "no image in {}: expected {}/<class>/<image>, images jpg, jpeg or png; other members: {}",
           (folder / scan.classes[label]).string(), folder.string(), scan.skipped.text());
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

class FolderShard : public Shard {
 public:
  using Shard::Shard;

  Scan scan() const override { return scan_folder(path()); }
  std::string name_of(const Scan& scan, size_t k) const override {
    return scan.names.c_str() + scan.samples[k].offset;
  }
  std::string where(const Scan& scan, size_t k) const override { return path().string() + "/" + name_of(scan, k); }
  void read(const Scan& scan, size_t k, std::vector<uint8_t>& bytes) const override {
    const File image(path() / name_of(scan, k));
    read_range(image, 0, image.size(), scan, k, bytes);
  }
  // The name of an image's folder may be a class of the model, or anything else.
  bool has_labels() const override { return false; }
};

bool is_image_folder(const fs::path& path) try {
  return fs::is_directory(path) && !classes_of(path).empty();
} catch (const fs::filesystem_error&) {    // scan() says why it cannot be read
  return false;
}
}

extern const ShardFormat folder_format{.recognises = is_image_folder, .open = open_as<FolderShard>};

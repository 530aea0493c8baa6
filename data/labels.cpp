#include "data/labels.h"

#include <algorithm>
#include <unordered_map>

#include "data/class_names.h"
#include "data/decimal.h"
#include "data/shards/shard.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/json.h"
#include "engine/text.h"

namespace fs = std::filesystem;

namespace {
constexpr const char* list_name = "classes.txt";

std::vector<std::string> read_lines(const fs::path& path) {
  std::vector<std::string> lines = lines_of_file(path);
  for (std::string& line : lines) line.erase(line.find_last_not_of(" \r") + 1);
  return lines;
}

// "cifar10-train-0000.tar" belongs to the set "cifar10"
std::string set_name(const fs::path& shard) {
  const std::string name = shard.stem().string();
  for (const char* split_name : {"-train", "-val", "-test"})
    if (const size_t at = name.rfind(split_name); at != name.npos) return name.substr(0, at);
  const size_t dash = name.rfind('-');
  const bool numbered = dash != name.npos && dash + 1 < name.size() &&
                        name.find_first_not_of("0123456789", dash + 1) == name.npos;
  return numbered ? name.substr(0, dash) : name;
}

std::vector<std::string> read_numbered_names(const fs::path& path) {
  const std::vector<std::string> lines = read_lines(path);
  std::vector<std::string> names(lines.size());
  std::vector<bool> named(lines.size());
  int number = 0;
  for (const std::string& line : lines) {
    number++;
    const size_t tab = line.find('\t');
    const auto label = decimal(line.substr(0, tab));
    if (tab == line.npos || !label)
      fail(ExitCode::data, "{}:{}: expected 'label<TAB>name', got '{}'", path.string(), number, line);
    if (*label < 0 || *label >= int64_t(lines.size()))
      fail(ExitCode::data, "{}:{}: label {}, expected 0 to {}: as many labels as lines", path.string(), number, *label,
           lines.size() - 1);
    if (named[size_t(*label)]) fail(ExitCode::data, "{}:{}: label {} appears twice", path.string(), number, *label);
    named[size_t(*label)] = true;
    std::string& name = names[size_t(*label)] = line.substr(tab + 1);
    std::replace(name.begin(), name.end(), '\t', ' ');
    name = printable(name);
  }
  return names;
}

std::vector<std::string> read_plain_names(const fs::path& path) {
  std::vector<std::string> names = read_lines(path);
  while (!names.empty() && names.back().empty()) names.pop_back();
  for (std::string& name : names) name = printable(name);
  return names;
}

std::string first_word(const std::string& name) { return name.substr(0, name.find(' ')); }

// The classes in the sorted order of ImageNet's wnids, and for each line its class.
void take_wnids(const std::vector<std::string>& lines, const fs::path& path, Scan& scan, std::vector<int64_t>& labels) {
  scan.classes = lines;
  std::sort(scan.classes.begin(), scan.classes.end());
  scan.classes.erase(std::unique(scan.classes.begin(), scan.classes.end()), scan.classes.end());
  if (!scan.classes.empty() && scan.classes.front().empty())
    fail(ExitCode::data, "{}: an empty line, expected a class in each", path.string());
  for (const std::string& wnid : lines)
    labels.push_back(std::lower_bound(scan.classes.begin(), scan.classes.end(), wnid) - scan.classes.begin());
  scan.labels = LabelKind::class_position;
}

int64_t number_in(const std::vector<std::string>& lines, size_t i, const fs::path& path, int64_t low, int64_t high) {
  const auto value = decimal(lines[i]);
  if (!value || *value < low || *value > high)
    fail(ExitCode::data, "{}:{}: expected a number from {} to {}, got '{}'", path.string(), i + 1, low, high, lines[i]);
  return *value;
}

// In line k the class of image k.
std::vector<int64_t> labels_of_lines(const fs::path& path, Scan& scan) {
  const std::vector<std::string> lines = read_plain_names(path);
  std::vector<int64_t> labels;
  if (lines.empty() || !decimal(lines.front())) {
    take_wnids(lines, path, scan, labels);
  } else {
    for (size_t i = 0; i < lines.size(); i++) labels.push_back(number_in(lines, i, path, 0, most_classes - 1));
    scan.labels = LabelKind::given;
  }
  return labels;
}

// In line k of `truth` the ILSVRC2012_ID of image k, in line n of `ids` the wnid of ILSVRC2012_ID n.
std::vector<int64_t> labels_of_devkit(const fs::path& truth, const fs::path& ids, Scan& scan) {
  std::vector<std::string> wnids = read_plain_names(ids);
  for (std::string& wnid : wnids) wnid = first_word(wnid);
  std::vector<int64_t> label_of_id, labels;
  take_wnids(wnids, ids, scan, label_of_id);
  if (scan.classes.size() < wnids.size()) fail(ExitCode::data, "{}: a wnid stands in two lines", ids.string());
  const std::vector<std::string> lines = read_plain_names(truth);
  for (size_t i = 0; i < lines.size(); i++)
    labels.push_back(label_of_id[size_t(number_in(lines, i, truth, 1, int64_t(wnids.size())) - 1)]);
  return labels;
}

// It is a shard whose labels are numbers.
bool has_given_labels(const fs::path& path) try {
  const ShardFormat* format = fs::is_regular_file(path) ? format_of(path) : nullptr;
  if (!format) return false;
  const Scan scan = format->open(path)->scan();
  return scan.labels == LabelKind::given && !scan.samples.empty();
} catch (const Error&) {    // an archive of another kind
  return false;
}
}

fs::path class_list_file(const fs::path& shard) {
  const fs::path folder = shard.parent_path();
  const std::string of_set = set_name(shard) + "-classes.txt";
  for (const fs::path& list : {shard / list_name, folder / list_name, folder / of_set})
    if (fs::exists(list)) return list;
  if (const ShardFormat* format = format_of(shard))
    for (const char* list : format->class_lists)
      if (fs::exists(folder / list)) return folder / list;
  return {};
}

std::vector<std::string> read_class_list(const fs::path& file) {
  return is_plain_class_list(file) ? read_plain_names(file) : read_numbered_names(file);
}

std::vector<std::string> class_list(const fs::path& shard) {
  const fs::path file = class_list_file(shard);
  return file.empty() ? std::vector<std::string>() : read_class_list(file);
}

std::vector<int32_t> share_class_list(const fs::path& folder, const std::vector<std::string>& names) {
  const fs::path list = folder / list_name;
  if (!fs::exists(list)) {
    for (const auto& entry : fs::directory_iterator(folder))
      if (has_given_labels(entry.path()))
        fail(ExitCode::data,
             "{} is there already, and no {} says what its labels count, but one would be written beside it: choose "
             "another folder",
             entry.path().string(), list_name);
    write_atomically(list, [&](Writer& writer) {
      for (size_t label = 0; label < names.size(); label++)
        writer.write(fmt::format("{}\t{}\n", label, printable(names[label])));
    });
    return class_map(names, names);
  }
  const std::vector<std::string> known = read_numbered_names(list);
  const std::vector<int32_t> labels = class_map(names, known);
  for (size_t i = 0; i < names.size(); i++)
    if (labels[i] < 0)
      fail(ExitCode::data,
           "{}: its {} classes, which number the images beside it, have {} '{}': choose another folder, or pack all "
           "images in one call",
           list.string(), known.size(), labels[i] == no_class ? "no class" : "more than one, as the images to pack,",
           names[i]);
  return labels;
}

void take_label_file(const fs::path& shard, Scan& scan) {
  const fs::path folder = shard.parent_path(), lines = folder / (shard.stem().string() + "-labels.txt"),
                 truth = folder / "ILSVRC2012_validation_ground_truth.txt", ids = folder / "ILSVRC2012_wnids.txt";
  const bool devkit = !fs::exists(lines);
  if (devkit && (!fs::exists(truth) || !fs::exists(ids)))
    fail(ExitCode::data, "{}: images without labels; expected beside it {} (line k: the class of image k, an index "
         "from 0 or a wnid), or the devkit's {} and {} (line k: the wnid of ILSVRC2012_ID k)", shard.string(),
         lines.filename().string(), truth.filename().string(), ids.filename().string());
  const std::vector<int64_t> labels = devkit ? labels_of_devkit(truth, ids, scan) : labels_of_lines(lines, scan);
  for (Sample& sample : scan.samples) {
    if (size_t(sample.label) > labels.size())
      fail(ExitCode::data, "{} has {} lines, but {} an image {}: expected a line for each image",
           (devkit ? truth : lines).string(), labels.size(), shard.string(), sample.label);
    sample.label = int32_t(labels[size_t(sample.label) - 1]);
  }
}

bool label_by_name(const fs::path& shard, Scan& scan, const std::vector<std::string>& names) {
  std::vector<std::string> words;
  for (const std::string& name : names) words.push_back(first_word(name));
  std::vector<int32_t> labels = class_map(scan.classes, names);
  const std::vector<int32_t> by_word = class_map(scan.classes, words);
  for (size_t i = 0; i < labels.size(); i++)
    if (labels[i] == no_class) labels[i] = by_word[i];
  const bool none = std::all_of(labels.begin(), labels.end(), [](int32_t label) { return label == no_class; });
  const bool numbers = none && all_numbers(scan.classes);
  for (size_t i = 0; i < labels.size(); i++) {
    const std::string& name = scan.classes[i];
    if (numbers) {
      const auto number = decimal(name);
      labels[i] = number && *number < int64_t(names.size()) ? int32_t(*number) : no_class;
    }
    if (labels[i] == several_classes)
      fail(ExitCode::data, "{}: several lines of the class list are named '{}'", shard.string(), name);
    if (labels[i] == no_class)
      fail(ExitCode::data, "{}: its class '{}' is none of the {} in the class list; correct the list or the name",
           shard.string(), name, names.size());
  }
  scan.relabel(labels);
  return numbers;
}

std::vector<std::vector<int32_t>> read_real_labels(const fs::path& path) {
  const std::string text = text_of_file(path);
  std::vector<std::vector<int32_t>> labels;
  try {
    labels = parse_json(text).get<std::vector<std::vector<int32_t>>>();
  } catch (const nlohmann::json::exception&) {
    fail(ExitCode::data, "{}: expected a JSON list with a list of labels for each validation image, as in real.json",
         path.string());
  }
  for (const std::vector<int32_t>& set : labels)
    for (const int32_t label : set)
      if (label < 0 || label >= most_classes)
        fail(ExitCode::data, "{}: image {} has label {}, expected 0 to {}", path.string(), &set - labels.data() + 1,
             label, most_classes - 1);
  return labels;
}

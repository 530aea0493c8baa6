// What the labels of an index count: the numbering of its own shards, and that of another source or a model.
#include <algorithm>
#include <map>

#include "data/decimal.h"
#include "data/imagenet.h"
#include "data/index.h"
#include "data/labels.h"
#include "engine/error.h"

namespace {
using Names = std::vector<std::string>;

// The first label of `wnids` that has another one in `names`; their size if there is none.
size_t first_other_wnid(const Names& wnids, const Names& names) {
  size_t label = 0;
  const auto same = [&] { return label < names.size() && wnid_of(names[label]) == wnids[label]; };
  while (label < wnids.size() && (wnids[label].empty() || same())) label++;
  return label;
}

// "bird, cat, dog", or the first few of many
std::string listed(const Names& names) {
  constexpr size_t most = 5;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), most); i++) text += (i ? ", " : "") + names[i];
  return names.size() > most ? text + ", ..." : text;
}

// Appends what `list` has and `names` has not.
void merge_names(Names& names, const Names& list, const std::filesystem::path& shard) {
  const std::vector<int32_t> map = class_map(list, names);
  for (size_t i = 0; i < list.size(); i++) {
    if (map[i] == several_classes)
      fail(ExitCode::data,
           "{}: its class list and those of the other shards differ, and '{}' stands twice in one of them: give each "
           "class a name of its own",
           shard.string(), list[i]);
    if (map[i] == no_class) names.push_back(list[i]);
  }
}
}

// One numbering for all shards: by the class lists beside them, else by the list of ImageNet that is asked for, else by
// the sorted names of all classes that any of them has.
void Index::number_classes(const std::string& source, int classes) {
  std::map<std::filesystem::path, Names> read;
  std::vector<const Names*> lists;
  Names found;
  const ScannedShard* named = nullptr;
  const ScannedShard* numbered = nullptr;
  for (ScannedShard& shard : shards_) {
    if (shard.scan.labels == LabelKind::image_number) take_label_file(shard.path(), shard.scan);
    const std::filesystem::path file = class_list_file(shard.path());
    if (!file.empty() && !read.contains(file)) read[file] = read_class_list(file);
    lists.push_back(file.empty() ? nullptr : &read[file]);
    if (shard.scan.labels == LabelKind::class_position)
      found.insert(found.end(), shard.scan.classes.begin(), shard.scan.classes.end());
    if (!shard.scan.samples.empty()) (shard.scan.labels == LabelKind::given ? numbered : named) = &shard;
  }
  if (!read.empty()) return number_by_lists(source, lists);
  if (!named) {
    const std::filesystem::path folder = shards_.front().path().parent_path();
    const auto elsewhere = [&](const ScannedShard& shard) { return shard.path().parent_path() != folder; };
    if (std::any_of(shards_.begin(), shards_.end(), elsewhere)) by_place_ = shards_.size();
    return;
  }
  if (numbered)
    fail(ExitCode::data, "'{}' mixes classes by name, as in {}, and by number, as in {}: expected a classes.txt beside "
         "{} that numbers the names", source, named->path().string(), numbered->path().string(),
         shards_.front().path().string());
  by_name_ = true;
  sort_classes(found);
  classes_ = std::move(found);
  const ImagenetList* list = imagenet_list_with(classes_);
  const ImagenetList* asked = all_numbers(classes_) ? nullptr : imagenet_list_of(classes);
  if (asked && std::includes(asked->wnids.begin(), asked->wnids.end(), classes_.begin(), classes_.end())) list = asked;
  if (list) classes_ = list->wnids, list_ = list->title;
  for (ScannedShard& shard : shards_)
    if (shard.scan.labels == LabelKind::class_position) label_by_name(shard.path(), shard.scan, classes_);
}

// A shard's labels count the list beside it; all are put in terms of the first list and of what the others add to it.
void Index::number_by_lists(const std::string& source, const std::vector<const Names*>& lists) {
  const Names* first = nullptr;
  const ScannedShard* other = nullptr;    // its list differs from the first one
  for (size_t s = 0; s < shards_.size(); s++) {
    if (!lists[s]) continue;
    if (!first) classes_ = *(first = lists[s]);
    if (*lists[s] == *first) continue;
    other = &shards_[s];
    if (*lists[s] != classes_) merge_names(classes_, *lists[s], other->path());
  }
  for (size_t s = 0; s < shards_.size(); s++) {
    Scan& scan = shards_[s].scan;
    const bool by_name = scan.labels == LabelKind::class_position;
    if (scan.samples.empty()) continue;
    const bool by_place = !by_name || label_by_name(shards_[s].path(), scan, lists[s] ? *lists[s] : classes_);
    if (!lists[s] && by_place) {
      if (other)
        fail(ExitCode::data,
             "{}: no class list says what its labels count, and those of '{}' differ, as beside {}: put a classes.txt "
             "beside it",
             shards_[s].path().string(), source, other->path().string());
      by_place_++;
    }
    if (!lists[s] || *lists[s] == classes_) continue;
    for (const Sample& sample : scan.samples)
      for (const int32_t label : scan.labels_of(sample))
        if (size_t(label) >= lists[s]->size())
          fail(ExitCode::data,
               "{}: label {}, but the class list beside it names {}, and other shards have another list: correct the "
               "list or the label",
               shards_[s].path().string(), label, lists[s]->size());
    const std::vector<int32_t> map = class_map(*lists[s], classes_);
    scan.relabel(map);
    if (by_name || scan.classes.empty()) continue;
    Names wnids(classes_.size());        // of keys, by label
    for (size_t label = 0; label < std::min(scan.classes.size(), map.size()); label++)
      wnids[size_t(map[label])] = scan.classes[label];
    scan.classes = std::move(wnids);
  }
}

// Labels that are numbers, against the wnids that keys start with: a set whose labels are shifted by one trains as
// well, and only its accuracy on other data shows it.
void Index::check_wnids(int classes) {
  for (const ScannedShard& shard : shards_) {
    if (shard.scan.labels != LabelKind::given) continue;
    if (key_wnids_.size() < shard.scan.classes.size()) key_wnids_.resize(shard.scan.classes.size());
    for (size_t label = 0; label < shard.scan.classes.size(); label++) {
      const std::string& wnid = shard.scan.classes[label];
      if (key_wnids_[label].empty()) key_wnids_[label] = wnid;
      if (!wnid.empty() && wnid != key_wnids_[label])
        fail(ExitCode::data,
             "{}: its keys have label {} for {}, but other shards for {}: these shards do not belong together",
             shard.path().string(), label, wnid, key_wnids_[label]);
    }
  }
  if (key_wnids_.empty()) return;
  const ImagenetList* asked = imagenet_list_of(classes);
  if (!classes_.empty() && !wnid_of(classes_[0]).empty()) return hold_wnids_against(classes_, "the class list");
  if (asked) return hold_wnids_against(asked->wnids, asked->title);
  const auto& lists = imagenet_lists();
  const auto list = std::find_if(lists.begin(), lists.end(), [&](const ImagenetList& l) {
    return first_other_wnid(key_wnids_, l.wnids) == key_wnids_.size();
  });
  summary_ += ", labels as in " + (list == lists.end() ? "no list of ImageNet" : list->title);
}

void Index::hold_wnids_against(const Names& names, const std::string& title) const {
  const size_t label = first_other_wnid(key_wnids_, names);
  if (label == key_wnids_.size()) return;
  for (size_t i = 0; i < size_; i++)
    if (this->label(i) == int(label))
      fail(ExitCode::data, "{}: label {} for {}, but {} has {} there: correct the labels or the class list", where(i),
           label, key_wnids_[label], title, label < names.size() ? names[label] : "no class");
}

void Index::take_real_labels(const std::filesystem::path& path) {
  const std::vector<std::vector<int32_t>> labels = read_real_labels(path);
  for (ScannedShard& shard : shards_)
    for (size_t k = 0; k < shard.scan.samples.size(); k++) {
      const size_t i = shard.first + k, number = size_t(validation_number(key(i)));
      if (number == 0 || number > labels.size())
        fail(ExitCode::data, "{}: {} has labels for ILSVRC2012_val_00000001 to {:08d}; this is none of them", where(i),
             path.string(), labels.size());
      shard.scan.samples[k].label = shard.scan.add_label_set(labels[number - 1]);
    }
  find_max_label();
  classes_ = imagenet_list_of(1000)->wnids;
  key_wnids_.clear();
  summary_ += ", labels of " + path.string();
}

void Index::find_max_label() {
  max_label_ = -1;
  for (const ScannedShard& shard : shards_)
    for (const Sample& sample : shard.scan.samples)
      for (const int32_t label : shard.scan.labels_of(sample)) max_label_ = std::max(max_label_, int(label));
}

std::string Index::count_as(const Classes& wanted) {
  const bool nameless = wanted.names.empty();
  if (nameless || classes_.empty()) {
    if (!nameless && !wnid_of(wanted.names[0]).empty()) hold_wnids_against(wanted.names, wanted.of);
    const bool numbers = nameless && place_of_numbers(wanted.count);
    return fmt::format("labels are taken by place, {} as class k: {} no classes",
                       numbers ? "folder k" : "label k", nameless ? wanted.of + " names" : "the images name");
  }
  if (classes_ == wanted.names) return "";
  const std::vector<int32_t> map = class_map(classes_, wanted.names);
  for (size_t i = 0; i < size_; i++)
    for (const int32_t label : labels(i)) {
      if (size_t(label) >= map.size())
        fail(ExitCode::data,
             "{}: label {} has no name among the {} of its class list ({}), which is not that of {}: correct the list "
             "or the label",
             where(i), label, map.size(), listed(classes_), wanted.of);
      if (map[size_t(label)] == several_classes)
        fail(ExitCode::data,
             "{}: its class '{}' stands twice among those of the images or those of {}: give each class a name of its "
             "own",
             where(i), classes_[size_t(label)], wanted.of);
      if (map[size_t(label)] == no_class)
        fail(ExitCode::data,
             "{}: its class '{}' is none of the {} of {} ({}): leave such images out, or name classes alike{}",
             where(i), classes_[size_t(label)], wanted.names.size(), wanted.of, listed(wanted.names),
             all_numbers(classes_) ? ", as a classes.txt beside the folders does, whose label k is folder k" : "");
    }
  for (ScannedShard& shard : shards_) shard.scan.relabel(map);
  classes_ = wanted.names;
  find_max_label();
  return "";
}

// Folders named by number are those classes, unless there are `count` of them: then their order is that of the classes,
// also where they count from 1.
bool Index::place_of_numbers(int count) {
  if (!by_name_ || !all_numbers(classes_) || classes_.size() == size_t(count)) return false;
  std::vector<int32_t> map;
  Names names(count);
  for (const std::string& name : classes_) {
    const auto number = decimal(name);
    if (!number || *number >= count || !names[size_t(*number)].empty())
      fail(ExitCode::data,
           "folder {}: expected numbers from 0 to {}, each once, as nothing else says which class folder k is; put a "
           "classes.txt beside the folders, whose label k is folder k",
           name, count - 1);
    names[size_t(*number)] = name;
    map.push_back(int32_t(*number));
  }
  for (ScannedShard& shard : shards_) shard.scan.relabel(map);
  classes_ = std::move(names);
  find_max_label();
  return true;
}

void Index::require_labels_below(int classes, const std::string& of) const {
  if (max_label_ < classes) return;
  for (size_t i = 0; i < size_; i++)
    for (const int32_t label : labels(i))
      if (label >= classes)
        fail(ExitCode::data, "{}: label {}, expected 0 to {}: {} has {} classes and labels count from 0", where(i),
             label, classes - 1, of, classes);
}

#include "data/transfer.h"

#include <algorithm>
#include <map>
#include <set>

#include "data/decimal.h"
#include "data/matlab.h"
#include "data/shards/cifar.h"
#include "data/transfer_files.h"
#include "engine/error.h"
#include "engine/text.h"

namespace {
int number(const std::string& text, const std::string& where) {
  const auto value = decimal(text);
  if (!value || *value < 0 || *value > 1'000'000) fail(ExitCode::data, "{}: expected a number, got '{}'", where, text);
  return int(*value);
}

// Sets the name of a class that its images repeat.
void name_class(ShardPlan& plan, int label, const std::string& name, const std::string& where) {
  if (label < 0 || label > 10'000) fail(ExitCode::data, "{}: class number {}, expected them from 1", where, label + 1);
  if (plan.classes.size() <= size_t(label)) plan.classes.resize(size_t(label) + 1);
  plan.classes[size_t(label)] = name;
}

void plan_birds(const TransferFiles& files, ShardPlan& plan) {
  const auto images = files.lines("images.txt", 2), splits = files.lines("train_test_split.txt", 2);
  const std::string& where = files.named("train_test_split.txt").where;
  for (size_t i = 0; i < images.size(); i++) {
    if (i >= splits.size() || splits[i][0] != images[i][0])
      fail(ExitCode::data, "{}: line {} is not of image {}, as in images.txt", where, i + 1, images[i][0]);
    const std::string& path = images[i][1];    // "001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111.jpg"
    const std::string name(parent_name(path));
    const int label = number(name.substr(0, name.find('.')), path) - 1;
    name_class(plan, label, name.substr(name.find('.') + 1), path);
    plan.images.push_back({files.image(path_tail(path)), splits[i][1] == "1" ? "train" : "test",
                           "CUB_200_2011/images/" + path, label});
  }
}

void plan_dtd(const TransferFiles& files, ShardPlan& plan) {
  std::set<std::string> classes;
  for (const auto& [list, part] : {std::pair{"train1.txt", "train"}, {"val1.txt", "val"}, {"test1.txt", "test"}})
    for (const auto& line : files.lines(list, 1)) {
      classes.emplace(parent_name(line[0]));
      plan.images.push_back({files.image(line[0]), part, line[0], 0});
    }
  plan.classes.assign(classes.begin(), classes.end());
  for (PlannedImage& image : plan.images)
    image.label = int(std::distance(classes.begin(), classes.find(std::string(parent_name(image.key)))));
}

void plan_pets(const TransferFiles& files, ShardPlan& plan) {
  for (const auto& [list, part] : {std::pair{"trainval.txt", "train"}, {"test.txt", "test"}})
    for (const auto& line : files.lines(list, 2)) {
      const int label = number(line[1], line[0]) - 1;
      name_class(plan, label, line[0].substr(0, line[0].rfind('_')), line[0]);
      plan.images.push_back({files.image("images/" + line[0] + ".jpg"), part, line[0] + ".jpg", label});
    }
}

// cars_train/00001.jpg and cars_test/00001.jpg
void add_car(const TransferFiles& files, ShardPlan& plan, const std::string& part, const std::string& file, int label) {
  plan.images.push_back(
      {files.image(fmt::format("cars_{}/{}", part, file)), part, std::string(file_stem(file)), label});
}

void plan_cars_of_csv(const TransferFiles& files, const Member& list, ShardPlan& plan) {
  const std::string name(file_name(list.path));
  for (const auto& line : files.lines(name, 2, ',')) {
    const std::string folder(parent_name(line[0]));
    const std::string part = line.size() > 2 ? line[2] : folder == "cars_test" ? "test" : "train";
    if (line[0] == "file") continue;    // a header
    if (part != "train" && part != "test")
      fail(ExitCode::data, "{}: split '{}', expected train or test", list.where, part);
    const int label = number(line[1], list.where) - 1;
    name_class(plan, label, line[1], list.where);
    add_car(files, plan, part, std::string(file_name(line[0])), label);
  }
}

void plan_cars196(const TransferFiles& files, ShardPlan& plan) {
  for (const Member& member : files.all())
    if (member.path.ends_with(".csv")) plan_cars_of_csv(files, member, plan);
  if (plan.images.empty())
    for (const auto& [list, part] :
         {std::pair{"cars_train_annos.mat", "train"}, {"cars_test_annos_withlabels.mat", "test"}})
      for (const auto& [file, number] : read_car_annotations(files.read(list), files.named(list).where)) {
        name_class(plan, number - 1, std::to_string(number), files.named(list).where);
        add_car(files, plan, part, file, number - 1);
      }
  if (files.has("cars_meta.mat")) {
    const auto names = read_car_names(files.read("cars_meta.mat"), files.named("cars_meta.mat").where);
    for (size_t i = 0; i < std::min(names.size(), plan.classes.size()); i++) plan.classes[i] = names[i];
  }
}

void plan_cifar100(const TransferFiles& files, ShardPlan& plan) {
  constexpr uint64_t record = cifar100_labels + cifar_pixels;
  for (const auto& line : files.lines("fine_label_names.txt", 1)) plan.classes.push_back(line[0]);
  for (const std::string part : {"train", "test"}) {
    const Member& file = files.named(part + ".bin");
    if (file.size % record) fail(ExitCode::data, "{}: {} bytes, expected records of {}", file.where, file.size, record);
    for (uint64_t i = 0; i < file.size / record; i++) {
      const int label = uint8_t(files.read(file, i * record + cifar100_labels - 1, 1)[0]);
      plan.images.push_back({size_t(&file - files.all().data()), part, std::to_string(i), label, {}, {}, int64_t(i)});
    }
  }
}

// A folder for each class, all in a folder of the name `above`. Classes are in lower case, in the order of their
// folders, without the number that stands before some.
template <class KeyOf>
void plan_folders(const TransferFiles& files, ShardPlan& plan, std::string_view above, std::string_view extension,
                  KeyOf key_of) {
  std::vector<size_t> images;
  std::map<std::string, int> labels;    // by folder, in lower case
  for (size_t i = 0; i < files.all().size(); i++) {
    const std::string_view path = files.all()[i].path;
    if (!lower_case(path).ends_with(extension) || parent_name(path.substr(0, path.rfind('/'))) != above) continue;
    images.push_back(i);
    labels[lower_case(parent_name(path))] = 0;
  }
  for (auto& [folder, label] : labels) {
    label = int(plan.classes.size());
    plan.classes.push_back(
        folder.substr(std::isdigit(static_cast<unsigned char>(folder[0])) ? folder.find('_') + 1 : 0));
  }
  for (const size_t i : images) {
    const std::string& path = files.all()[i].path;
    const std::string folder(parent_name(path)), name(file_name(path));
    const int label = labels[lower_case(folder)];
    plan.images.push_back(
        {files.image(path_tail(path)), "train", key_of(folder, plan.classes[size_t(label)], name), label});
  }
}

using Text = const std::string&;

void plan_caltech101(const TransferFiles& files, ShardPlan& plan) {
  plan_folders(files, plan, "101_ObjectCategories", ".jpg",
               [](Text folder, Text, Text name) { return folder + "/" + name; });
}

void plan_col_hist(const TransferFiles& files, ShardPlan& plan) {
  plan_folders(files, plan, "Kather_texture_2016_image_tiles_5000", ".tif",
               [](Text, Text name_of_class, Text name) { return name_of_class + "/" + name; });
}

void plan_uc_merced(const TransferFiles& files, ShardPlan& plan) {
  plan_folders(files, plan, "Images", ".tif", [](Text, Text, Text name) { return name; });
}

constexpr TransferSet sets[] = {
    {.name = "birds",
     .archives = "CUB_200_2011.tgz",
     .split = "train_test_split.txt",
     .official = {{"train", 5994}, {"test", 5794}},
     .plan = plan_birds},
    {.name = "caltech101",
     .archives = "caltech-101.zip",
     .split = "30 images of each class for train, by md5; TensorFlow "
              "Datasets takes 30 others, by the order in which a disk lists them, which cannot be repeated",
     .official = {{"train", 3060}, {"test", 6084}},
     .plan = plan_caltech101,
     .of_class = 30},
    {.name = "cars196",
     .archives = "cars_train.tgz cars_test.tgz car_devkit.tgz cars_test_annos_withlabels.mat, or in "
                 "place of the last two a CSV of file,class[,split], classes counted from 1",
     .split = "the lists of the devkit",
     .official = {{"train", 8144}, {"test", 8041}},
     .plan = plan_cars196},
    {.name = "cifar100",
     .archives = "cifar-100-binary.tar.gz",
     .split = "train.bin, test.bin",
     .official = {{"train", 50000}, {"test", 10000}},
     .plan = plan_cifar100},
    {.name = "dtd",
     .archives = "dtd-r1.0.1.tar.gz",
     .split = "labels/train1.txt, val1.txt, test1.txt",
     .official = {{"train", 1880}, {"val", 1880}, {"test", 1880}},
     .plan = plan_dtd},
    {.name = "col_hist",
     .archives = "Kather_texture_2016_image_tiles_5000.zip",
     .split = "the first 2000 by md5 are train",
     .official = {{"train", 2000}, {"test", 3000}},
     .plan = plan_col_hist,
     .first = 2000},
    {.name = "pets",
     .archives = "images.tar.gz annotations.tar.gz",
     .split = "trainval.txt, test.txt",
     .official = {{"train", 3680}, {"test", 3669}},
     .plan = plan_pets},
    {.name = "uc_merced",
     .archives = "UCMerced_LandUse.zip",
     .split = "the first 1000 by md5 are train",
     .official = {{"train", 1000}, {"test", 1100}},
     .plan = plan_uc_merced,
     .first = 1000},
};

// Of one split in its order, the first so many (of each class) stay train; the others are test.
void split_train(const TransferSet& set, std::vector<PlannedImage>& images) {
  std::map<int, size_t> taken;
  for (PlannedImage& image : images)
    if (++taken[set.of_class ? image.label : 0] > std::max(set.first, set.of_class)) image.part = "test";
  std::stable_sort(images.begin(), images.end(),
                   [](const PlannedImage& a, const PlannedImage& b) { return a.part < b.part; });
}
}

std::span<const TransferSet> transfer_sets() { return sets; }

const TransferSet& find_transfer_set(const std::string& name) {
  std::vector<std::string> names;
  for (const TransferSet& set : sets) names.push_back(set.name);
  const std::string known = same_name(name, names);
  for (const TransferSet& set : sets)
    if (set.name == known) return set;
  fail(ExitCode::usage, "transfer set {}", unknown_name(name, names));
}

bool keep_for_transfer(std::string_view path, std::string_view head) {
  return path.ends_with(".txt") || path.ends_with(".bin") || path.ends_with(".mat") || path.ends_with(".csv") ||
         is_packable_image(path, head);
}

ShardPlan plan_transfer(const TransferSet& set, const Members& members) {
  ShardPlan plan;
  set.plan(TransferFiles(members), plan);
  if (plan.images.empty()) fail(ExitCode::data, "no images of {}; expected {}", set.name, set.archives);
  for (const PlannedImage& image : plan.images)
    if (image.label >= int(plan.classes.size()))
      fail(ExitCode::data, "{}: label {} of {} classes", members.all()[image.member].where, image.label,
           plan.classes.size());
  order_by_md5(plan.images);
  if (set.first || set.of_class) split_train(set, plan.images);
  return plan;
}

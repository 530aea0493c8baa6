#include "data/shard_plan.h"

#include <fmt/ranges.h>
#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "data/class_names.h"
#include "data/encode.h"
#include "data/labels.h"
#include "data/parallel.h"
#include "data/shard_writer.h"
#include "data/shards/cifar.h"
#include "data/tiff.h"
#include "data/transform.h"
#include "engine/error.h"
#include "engine/progress.h"
#include "engine/text.h"

namespace {
constexpr size_t samples_per_shard = 10'000;
constexpr uint64_t largest_file = uint64_t(1) << 28;
constexpr size_t longest_name = 80;    // so that class, name and extension fit a tar header

std::span<const uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string short_name(std::string_view name) {
  if (name.size() <= longest_name) return std::string(name);
  const Md5 digest = md5(name);
  return fmt::format("{}_{:02x}", name.substr(0, longest_name - 33), fmt::join(digest, ""));
}

// A sample's key is CLASS/NAME: no dot in its last component, no "__x__" first (WebDataset reads past it), each once.
std::string unique_key(const Member& member, const PlannedImage& image, std::unordered_set<std::string>& taken) {
  std::string name = short_name(file_stem(member.path));
  std::string folder = short_name(image.folder.empty() ? parent_name(member.path) : image.folder);
  if (image.record >= 0) folder = name, name = fmt::format("{:05}", image.record);
  std::replace(name.begin(), name.end(), '.', '_');
  if (folder.starts_with("__")) folder = "class" + folder;
  const std::string key = folder.empty() ? name : folder + "/" + name;
  std::string free = key;
  for (int i = 2; !taken.insert(free).second; i++) free = fmt::format("{}_{}", key, i);
  return free;
}

struct Encoded {
  std::string extension, bytes, bad;
  bool changed = false;
};

Image decode(const std::string& bytes, bool record) {
  if (record) return decode_cifar(as_bytes(bytes));
  return image_kind(as_bytes(bytes)) == "TIFF" ? decode_tiff(as_bytes(bytes)) : decode_image(as_bytes(bytes));
}

Image shrink(const Image& image, int side) {
  const double scale = double(side) / std::min(image.height, image.width);
  const int height = int(std::lround(image.height * scale)), width = int(std::lround(image.width * scale));
  return resize_area(image, height, width, {0, 0, height, width});
}

Encoded encode(std::string bytes, bool record, int size) {
  Image image = decode(bytes, record);
  const std::string_view kind = record ? "pixels" : image_kind(as_bytes(bytes));
  const bool smaller = size && std::min(image.height, image.width) > size;
  if (smaller) image = shrink(image, size);
  if (kind == "JPEG") return {"jpg", smaller ? encode_jpeg(image, 95) : std::move(bytes), "", smaller};
  const bool kept = kind == "PNG" && !smaller;
  return {"png", kept ? std::move(bytes) : encode_png(image), "", !kept};
}
}

ShardPlan plan_classes(const Members& members, ClassFolders (&folders)(const std::vector<std::string_view>&),
                       const std::vector<std::string>& names, double validation) {
  ShardPlan plan;
  Scan scan;    // numbers classes as the index does
  std::vector<std::string_view> paths;
  for (const Member& member : members.all()) {
    if (member.path.find('/') == member.path.npos)
      fail(ExitCode::data, "{}: expected a folder of its class around the image", member.where);
    paths.push_back(member.path);
  }
  const ClassFolders found = folders(paths);
  plan.note = found.note;
  plan.passed_over = found.passed_over;
  for (const auto& [part, name] : found.places)
    if (!name.empty()) scan.classes.push_back(name);
  sort_classes(scan.classes);
  std::unordered_map<std::string, int32_t> place;
  for (const std::string& name : scan.classes) place.emplace(name, int32_t(place.size()));
  bool parts = false;
  for (size_t i = 0; i < paths.size(); i++) {
    const auto& [part, name] = found.places[i];
    if (name.empty()) continue;
    parts |= !part.empty();
    scan.samples.push_back({.offset = 0, .header = 0, .size = 0, .label = place.at(name)});
    plan.images.push_back(
        {i, part.empty() ? "train" : part, fmt::format("{}/{}", name, file_name(paths[i])), 0, {}, name});
  }
  if (plan.images.empty())
    fail(ExitCode::data, "no images, other files: {}; expected CLASS/IMAGE, jpg, png or tif",
         members.passed_over().text());
  if (parts && validation > 0)
    fail(ExitCode::usage, "--split {}: the source has its own parts in folders named train, val or test", validation);
  for (std::string& name : scan.classes) name = printable(name);
  if (!names.empty()) label_by_name(members.all().front().where, scan, names);
  plan.classes = names.empty() ? scan.classes : names;
  for (size_t i = 0; i < plan.images.size(); i++) plan.images[i].label = scan.samples[i].label;
  order_by_md5(plan.images);
  const size_t count = size_t(std::llround(validation * double(plan.images.size())));
  for (size_t i = plan.images.size() - count; i < plan.images.size(); i++) plan.images[i].part = "val";
  return plan;
}

void order_by_md5(std::vector<PlannedImage>& images) {
  for (PlannedImage& image : images)
    image.place = md5((image.part == "val" ? "validation" : image.part) + image.key);
  std::stable_sort(images.begin(), images.end(), [](const PlannedImage& a, const PlannedImage& b) {
    return a.part != b.part ? a.part < b.part : a.place < b.place;
  });
}

Packed write_planned(const ShardPlan& plan, const Members& members, const PackOptions& options) {
  std::map<std::string, ShardWriter> writers;    // all of them first: each refuses a folder that has its shards
  for (const PlannedImage& image : plan.images)
    if (!writers.contains(image.part)) writers.try_emplace(image.part, options.out, image.part, samples_per_shard);
  // may refuse: then the set there stays whole
  const std::vector<int32_t> labels = share_class_list(options.out, plan.classes);
  Unfinished unfinished(options.out);

  Packed packed;
  Progress progress{int64_t(plan.images.size())};
  std::unordered_set<std::string> taken;
  const auto work = [&](size_t i) -> Encoded {
    const PlannedImage& image = plan.images[i];
    const Member& member = members.all()[image.member];
    const bool record = image.record >= 0;
    try {
      if (!record && member.size > largest_file) fail(ExitCode::data, "{} bytes, limit {}", member.size, largest_file);
      return encode(
          record ? members.read(member, uint64_t(image.record) * (cifar100_labels + cifar_pixels) + cifar100_labels,
                                cifar_pixels)
                 : members.read(member),
          record, options.size);
    } catch (const Error& error) {
      if (error.code != ExitCode::data) throw;
      return {"", "", fmt::format("{}: {}", member.where, error.what()), false};
    }
  };
  in_order(plan.images.size(), options.threads, work, [&](size_t i, Encoded encoded) {
    const PlannedImage& image = plan.images[i];
    progress.show(int64_t(i) + 1, fmt::format("{} left out", packed.bad.size()));
    if (!encoded.bad.empty()) {
      if (options.stop_at_bad) fail(ExitCode::data, "{}", encoded.bad);
      progress.say("left out: " + encoded.bad);
      packed.bad.push_back(std::move(encoded.bad));
      return;
    }
    const std::string label = std::to_string(labels[size_t(image.label)]);
    writers.at(image.part).add(unique_key(members.all()[image.member], image, taken),
                               {{encoded.extension, std::move(encoded.bytes)}, {"cls", label}});
    packed.samples[image.part]++;
    packed.encoded += encoded.changed;
    if (i + 1 < plan.images.size() && plan.images[i + 1].part != image.part) writers.at(image.part).close();
  });
  for (auto& [part, writer] : writers) writer.close();
  if (packed.samples.empty())
    fail(ExitCode::data, "no image could be decoded, the first: {}", packed.bad.front());
  unfinished.finish();
  return packed;
}

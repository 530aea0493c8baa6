#include "data/check.h"

#include <fmt/ranges.h>
#include <algorithm>
#include <set>

#include "data/md5.h"
#include "data/parallel.h"
#include "engine/error.h"
#include "engine/json.h"
#include "engine/progress.h"
#include "engine/text.h"

namespace {
struct Seen {
  Md5 bytes, key;
  int height = 0, width = 0;
  bool gray = false;
  std::string damage;
};

bool is_gray(const Image& image) {
  for (size_t i = 0; i < image.rgb.size(); i += 3)
    if (image.rgb[i] != image.rgb[i + 1] || image.rgb[i] != image.rgb[i + 2]) return false;
  return true;
}

Seen look_at(const Index& index, size_t i) {
  Seen seen{};
  std::vector<uint8_t> bytes;
  seen.key = md5(index.key(i));
  try {
    const Image image = index.image(i, bytes);
    seen.height = image.height;
    seen.width = image.width;
    seen.gray = is_gray(image);
  } catch (const Error& error) {
    if (error.code != ExitCode::data) throw;
    seen.damage = error.what();
  }
  seen.bytes = md5(bytes);
  return seen;
}

SourceCheck::Sides sides_of(std::vector<int>& values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.front(), values[values.size() / 2], values.back()};
}

// Groups of samples with the same digest.
std::vector<SourceCheck::Same> same_of(std::vector<std::pair<Md5, size_t>> digests, const Index& index) {
  std::sort(digests.begin(), digests.end());
  std::vector<SourceCheck::Same> groups;
  for (size_t begin = 0, end; begin < digests.size(); begin = end) {
    for (end = begin + 1; end < digests.size() && digests[end].first == digests[begin].first;) end++;
    if (end - begin == 1) continue;
    SourceCheck::Same& group = groups.emplace_back();
    std::set<std::vector<int32_t>> labels;
    group.count = end - begin;
    for (size_t i = begin; i < end; i++) {
      group.where.push_back(index.where(digests[i].second));
      const Labels own = index.labels(digests[i].second);
      labels.emplace(own.begin(), own.end());
    }
    for (const auto& own : labels) group.labels.push_back(fmt::format("{}", fmt::join(own, " ")));
  }
  return groups;
}

// A heading and the first of the lines below it.
template <class Items, class Line>
std::string listing(const std::string& heading, const Items& items, Line line) {
  constexpr size_t most = 10;
  if (items.empty()) return "";
  std::string text = fmt::format("{:<12}{}\n", heading, items.size());
  for (size_t i = 0; i < std::min(items.size(), most); i++) text += "  " + printable(line(items[i])) + "\n";
  if (items.size() > most) text += fmt::format("  and {} more; --json names all\n", items.size() - most);
  return text;
}

nlohmann::json as_json(const SourceCheck::Sides& sides) {
  return {{"min", sides.min}, {"median", sides.median}, {"max", sides.max}};
}

nlohmann::json as_json(const std::vector<SourceCheck::Same>& groups) {
  nlohmann::json all = nlohmann::json::array();
  for (const auto& group : groups) all.push_back({{"where", group.where}, {"labels", group.labels}});
  return all;
}
}

size_t SourceCheck::disagreeing() const {
  return size_t(std::count_if(copies.begin(), copies.end(), [](const Same& same) { return same.labels.size() > 1; }));
}

SourceCheck check_source(const Index& index, int threads) {
  SourceCheck check;
  check.summary = index.summary();
  check.images = index.size();
  for (const std::string& name : index.classes()) check.classes.push_back({name});
  const size_t named = check.classes.size();
  std::vector<std::pair<Md5, size_t>> bytes, keys;
  std::vector<int> heights, widths;
  Progress progress{int64_t(index.size())};
  in_order(index.size(), threads, [&](size_t i) { return look_at(index, i); }, [&](size_t i, Seen seen) {
    for (const int32_t own : index.labels(i)) {
      const size_t label = size_t(own);
      if (label >= check.classes.size()) check.classes.resize(label + 1);
      check.classes[label].images++;
      check.unnamed_labels += named && label >= named;
    }
    keys.emplace_back(seen.key, i);
    bytes.emplace_back(seen.bytes, i);
    if (seen.damage.empty()) {
      heights.push_back(seen.height);
      widths.push_back(seen.width);
      check.gray += seen.gray;
    } else {
      check.damaged.push_back(std::move(seen.damage));
    }
    progress.show(int64_t(i) + 1, fmt::format("{} damaged", check.damaged.size()));
  });
  check.height = sides_of(heights);
  check.width = sides_of(widths);
  check.copies = same_of(std::move(bytes), index);
  check.keys = same_of(std::move(keys), index);
  return check;
}

std::string as_text(const SourceCheck& check) {
  const auto by_images = [](const SourceCheck::Class& a, const SourceCheck::Class& b) { return a.images < b.images; };
  const auto [least, most] = std::minmax_element(check.classes.begin(), check.classes.end(), by_images);
  std::vector<std::string> empty;
  for (size_t label = 0; label < check.classes.size(); label++)
    if (!check.classes[label].images) empty.push_back(fmt::format("{} {}", label, check.classes[label].name));
  std::string text = fmt::format("source      {}\nimages      {}, {} of them gray\n", printable(check.summary),
                                 check.images, check.gray);
  text += fmt::format("classes     {}, {} to {} images each\n", check.classes.size(), least->images, most->images);
  text += fmt::format("height      {} to {}, median {}\nwidth       {} to {}, median {}\n", check.height.min,
                      check.height.max, check.height.median, check.width.min, check.width.max, check.width.median);
  text += listing("empty", empty, [](const std::string& name) { return name; });
  if (check.unnamed_labels)
    text += fmt::format("unnamed     {} images with labels beyond the class list\n", check.unnamed_labels);
  const auto line = [](const SourceCheck::Same& same) {
    constexpr size_t most = 4;
    std::string text =
        fmt::format("{}", fmt::join(same.where.begin(), same.where.begin() + long(std::min(most, same.count)), " = "));
    if (same.count > most) text += fmt::format(" and {} more", same.count - most);
    if (same.labels.size() > 1) text += fmt::format("  LABELS DISAGREE: {}", fmt::join(same.labels, ", "));
    return text;
  };
  std::vector<SourceCheck::Same> copies = check.copies;    // those that disagree first
  std::stable_partition(copies.begin(), copies.end(), [](const auto& same) { return same.labels.size() > 1; });
  text += listing("copies", copies, line);
  text += listing("same key", check.keys, line);
  text += listing("damaged", check.damaged, [](const std::string& where) { return where; });
  return text +
         fmt::format(
             "{} damaged, {} images more than once, {} of them with labels that disagree, {} keys more than once\n",
             check.damaged.size(), check.copies.size(), check.disagreeing(), check.keys.size());
}

nlohmann::json as_json(const SourceCheck& check) {
  nlohmann::json classes = nlohmann::json::array();
  for (const auto& [name, images] : check.classes) classes.push_back({{"name", name}, {"images", images}});
  return {{"images", check.images}, {"gray", check.gray}, {"height", as_json(check.height)},
          {"width", as_json(check.width)}, {"classes", classes}, {"unnamed_labels", check.unnamed_labels},
          {"damaged", check.damaged}, {"copies", as_json(check.copies)}, {"same_key", as_json(check.keys)}};
}

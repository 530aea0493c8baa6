#include "data/class_names.h"

#include <algorithm>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include "data/imagenet.h"

namespace {
bool is_number(const std::string& name) {
  return !name.empty() && name.find_first_not_of("0123456789") == name.npos;
}

// Digits of any length, by value; "1" before "01".
bool smaller_number(std::string_view a, std::string_view b) {
  const auto digits = [](std::string_view text) {
    return text.substr(std::min(text.find_first_not_of('0'), text.size()));
  };
  const std::string_view x = digits(a), y = digits(b);
  if (x.size() != y.size()) return x.size() < y.size();
  return x != y ? x < y : a.size() < b.size();
}

// What tells a class from others: its wnid where the name starts with one.
std::string_view identity(const std::string& name) {
  const std::string_view wnid = wnid_of(name);
  return wnid.empty() ? std::string_view(name) : wnid;
}

std::unordered_map<std::string_view, int32_t> places_of(const std::vector<std::string>& names) {
  std::unordered_map<std::string_view, int32_t> places;
  for (size_t i = 0; i < names.size(); i++)
    if (const auto [at, fresh] = places.emplace(identity(names[i]), int32_t(i)); !fresh) at->second = several_classes;
  return places;
}
}

bool all_numbers(const std::vector<std::string>& names) {
  return !names.empty() && std::all_of(names.begin(), names.end(), is_number);
}

void sort_classes(std::vector<std::string>& names) {
  if (all_numbers(names)) std::sort(names.begin(), names.end(), smaller_number);
  else std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

std::vector<int32_t> class_map(const std::vector<std::string>& names, const std::vector<std::string>& classes) {
  std::vector<int32_t> map(names.size());
  std::iota(map.begin(), map.end(), 0);
  if (names == classes) return map;
  const auto own = places_of(names), theirs = places_of(classes);
  for (size_t i = 0; i < names.size(); i++) {
    const auto found = theirs.find(identity(names[i]));
    if (found == theirs.end()) map[i] = no_class;
    else map[i] = own.at(identity(names[i])) == several_classes ? several_classes : found->second;
  }
  return map;
}

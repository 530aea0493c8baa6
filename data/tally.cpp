#include "data/tally.h"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>

#include "data/paths.h"

void Tally::add(const std::string& what, uint64_t count) {
  constexpr size_t most = 20;
  if (count) counts_[counts_.size() < most || counts_.contains(what) ? what : "others"] += count;
}

void Tally::add(const Tally& other) {
  for (const auto& [what, count] : other.counts_) add(what, count);
}

uint64_t Tally::total() const {
  uint64_t sum = 0;
  for (const auto& [what, count] : counts_) sum += count;
  return sum;
}

std::string Tally::text() const {
  std::string kinds;
  for (const auto& [what, count] : counts_) {
    const size_t word = std::min(what.find(' '), what.size());
    const bool singular = count == 1 && what[0] != '.' && word > 0 && what[word - 1] == 's';
    kinds +=
        fmt::format("{}{} {}{}", kinds.empty() ? "" : ", ", count, what.substr(0, word - singular), what.substr(word));
  }
  return kinds.empty() ? "0" : fmt::format("{} ({})", total(), kinds);
}

std::string kind_of_name(std::string_view path) {
  constexpr size_t longest = 10;
  const std::string_view name = file_name(path);
  if (name.starts_with('.')) return "hidden";
  const size_t dot = name.rfind('.');
  if (dot == name.npos) return "without an extension";
  const std::string extension = lower_case(name.substr(dot));
  const bool plain =
      std::all_of(extension.begin() + 1, extension.end(), [](unsigned char c) { return std::isalnum(c); });
  return plain && extension.size() > 1 && extension.size() <= longest ? extension : "of odd names";
}

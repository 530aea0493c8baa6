#include "data/source.h"

#include <algorithm>
#include <glob.h>
#include <optional>
#include <set>

#include "data/decimal.h"
#include "data/info_json.h"
#include "data/shard_writer.h"
#include "data/shards/shard.h"
#include "engine/error.h"
#include "engine/text.h"

namespace fs = std::filesystem;

namespace {
constexpr size_t longest_pattern = 4096;  // characters, as of a path; what is nested in it is expanded by recursion
constexpr size_t most_memory = 100'000'000;      // bytes of all names of a pattern

// No name is longer than its pattern.
void check_count(double count, const std::string& pattern) {
  if (count * double(pattern.size() + sizeof(std::string)) > most_memory)
    fail(ExitCode::usage, "'{}' makes {:.0f} names, too many; name fewer", pattern, count);
}

bool zero_padded(const std::string& number) {
  const size_t sign = number[0] == '-';
  return number.size() > sign + 1 && number[sign] == '0';
}

// "0000..0003" or "6..0..2"; nothing if the text is no range
std::optional<std::vector<std::string>> expand_range(const std::string& text, const std::string& pattern) {
  const std::vector<std::string> parts = split(text, "..");
  if (parts.size() < 2 || parts.size() > 3) return {};
  const auto first = decimal(parts[0]), last = decimal(parts[1]), step = parts.size() == 3 ? decimal(parts[2]) : 1;
  if (!first || !last || !step) return {};
  const uint64_t stride = std::max<int64_t>(1, std::abs(*step)), count = std::abs(*last - *first) / stride + 1;
  check_count(double(count), pattern);
  const size_t width = zero_padded(parts[0]) || zero_padded(parts[1]) ? std::max(parts[0].size(), parts[1].size()) : 0;
  std::vector<std::string> items;
  for (uint64_t i = 0; i < count; i++)
    items.push_back(fmt::format("{:0{}}", *first + (*last < *first ? -1 : 1) * int64_t(i * stride), width));
  return items;
}

// Where the brace opened at `open` closes, and the commas on its own level.
size_t closing_brace(const std::string& text, size_t open, std::vector<size_t>& commas) {
  int depth = 0;
  for (size_t i = open; i < text.size(); i++) {
    if (text[i] == '{') depth++;
    if (text[i] == '}' && --depth == 0) return i;
    if (text[i] == ',' && depth == 1) commas.push_back(i);
  }
  return text.npos;
}

// From left to right: what stands between braces is appended to all names so far. Only lists within lists recurse.
std::vector<std::string> expand(const std::string& text, const std::string& pattern) {
  std::vector<std::string> names = {""};
  const auto append = [&](const std::vector<std::string>& items) {
    check_count(double(names.size()) * double(items.size()), pattern);
    std::vector<std::string> longer;
    for (const std::string& name : names)
      for (const std::string& item : items) longer.push_back(name + item);
    names = std::move(longer);
  };
  std::vector<bool> literal(text.size());  // closes braces that hold neither list nor range: they stand for themselves
  for (size_t at = 0, open; at < text.size(); at = open + 1) {
    open = std::min(text.find_first_of("{}", at), text.size());
    for (std::string& name : names) name.append(text, at, open - at + (open < text.size() && literal[open]));
    if (open == text.size() || literal[open]) continue;

    std::vector<size_t> cuts = {open};
    const size_t close = text[open] == '{' ? closing_brace(text, open, cuts) : text.npos;
    if (close == text.npos) fail(ExitCode::usage, "unbalanced '{}' in '{}'", text[open], pattern);
    cuts.push_back(close);
    if (cuts.size() > 2) {
      std::vector<std::string> items;
      for (size_t i = 0; i + 1 < cuts.size(); i++)
        for (std::string& item : expand(text.substr(cuts[i] + 1, cuts[i + 1] - cuts[i] - 1), pattern))
          items.push_back(std::move(item));
      append(items);
      open = close;
    } else if (const auto range = expand_range(text.substr(open + 1, close - open - 1), pattern)) {
      append(*range);
      open = close;
    } else {
      literal[close] = true;
      for (std::string& name : names) name += '{';
    }
  }
  return names;
}

// Its tars (of its one split, if it tells them), or itself where it holds a folder of each class.
std::vector<fs::path> shards_of_folder(const fs::path& folder) {
  if (const fs::path info = info_of_folder(folder); !info.empty()) return shards_of_info(info);
  std::vector<fs::path> tars;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".tar") tars.push_back(entry.path());
  if (tars.empty() && format_of(folder)) return {folder.has_filename() ? folder : folder.parent_path()};
  if (tars.empty())
    fail(ExitCode::data, "no *.tar and no folder of a class in the folder {}; CIFAR's files are named one by one, as "
         "in 'data_batch_{{1..5}}.bin'", folder.string());
  std::sort(tars.begin(), tars.end());
  return tars;
}

std::vector<fs::path> matches_of_glob(const std::string& pattern) {
  glob_t matches{};
  const int result = ::glob(pattern.c_str(), 0, nullptr, &matches);
  std::vector<fs::path> paths(matches.gl_pathv, matches.gl_pathv + (result == 0 ? matches.gl_pathc : 0));
  ::globfree(&matches);
  if (paths.empty()) fail(ExitCode::data, "no file matches '{}'", pattern);
  std::sort(paths.begin(), paths.end());
  return paths;
}

// What is read from a pipe is gone, so that is a list.
bool is_shard(const fs::path& path) { return fs::is_regular_file(path) && format_of(path); }

void add_shards(const std::string& source, const fs::path& folder, bool within_list, std::vector<fs::path>& shards);

void add_list(const fs::path& list, std::vector<fs::path>& shards) {
  const fs::path folder = fs::is_regular_file(list) ? list.parent_path() : "";    // a pipe lies in none of the user's
  int number = 0;
  for (std::string line : lines_of_file(list)) {
    number++;
    if (line.find('\0') != line.npos)
      fail(ExitCode::data, "{} is neither a tar nor a text file of paths", list.string());
    line.erase(line.find_last_not_of(" \t\r") + 1);
    line.erase(0, line.find_first_not_of(" \t"));
    if (line.empty() || line[0] == '#') continue;
    try {
      add_shards(line, folder, true, shards);
    } catch (const Error& error) {
      fail(error.code, "{}:{}: {}", list.string(), number, error.what());
    }
  }
}

void add_shards(const std::string& source, const fs::path& folder, bool within_list, std::vector<fs::path>& shards) {
  const auto append = [&](std::vector<fs::path> paths) { shards.insert(shards.end(), paths.begin(), paths.end()); };
  for (const std::string& part : split(source, "::")) {
    if (part.empty()) fail(ExitCode::usage, "an empty name in '{}'", source);
    std::error_code too_long_for_a_name;
    const bool exists = fs::exists(folder / part, too_long_for_a_name);
    for (const std::string& name : exists ? std::vector{part} : expand_braces(part)) {
      const fs::path path = folder / name;
      if (is_info(path)) append(shards_of_info(path));
      else if (fs::is_directory(path)) append(shards_of_folder(path));
      else if (fs::exists(path) && is_shard(path)) shards.push_back(path);
      else if (fs::exists(path) && within_list) fail(ExitCode::data, "{} is no tar", path.string());
      else if (fs::exists(path)) add_list(path, shards);
      else if (name.find_first_of("*?[") != name.npos) append(matches_of_glob(path.string()));
      else fail(ExitCode::data, "no such file: {}", path.string());
    }
  }
}
}

std::vector<std::string> expand_braces(const std::string& pattern) {
  if (pattern.size() > longest_pattern)
    fail(ExitCode::usage, "a name of {} characters, longer than any path: '{}...'", pattern.size(),
         pattern.substr(0, 60));
  return expand(pattern, pattern);
}

std::vector<fs::path> expand_source(const std::string& source) {
  std::vector<fs::path> shards;
  try {
    add_shards(source, "", false, shards);
  } catch (const fs::filesystem_error& error) {
    fail(ExitCode::data, "cannot read {}: {}", error.path1().string(), error.code().message());
  }
  if (shards.empty()) fail(ExitCode::data, "'{}' names no shard", source);
  std::set<fs::path> seen;
  for (const fs::path& shard : shards)
    if (!seen.insert(fs::absolute(shard).lexically_normal()).second)
      fail(ExitCode::data, "'{}' names {} twice: its images would count twice", source, shard.string());
  std::set<fs::path> folders;
  for (const fs::path& shard : shards)
    if (folders.insert(shard.parent_path()).second && fs::exists(shard.parent_path() / unfinished_file))
      fail(ExitCode::data,
           "{}: the set is not whole, for pack was stopped or is still at work: remove its shards and {}, and pack "
           "again",
           shard.string(), unfinished_file);
  return shards;
}

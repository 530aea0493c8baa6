#include "data/info_json.h"

#include "engine/error.h"
#include "engine/json.h"
#include "engine/text.h"

namespace fs = std::filesystem;

namespace {
constexpr const char* names[] = {"_info.json", "info.json"};

// The split's entry, checked to be what is read of it.
nlohmann::json split_of(const fs::path& list, const std::string& wanted) {
  const auto info = parse_json(text_of_file(list));
  const auto splits = info.is_object() ? info.value("splits", nlohmann::json()) : nlohmann::json();
  if (!splits.is_object() || splits.empty())
    fail(ExitCode::data, "{}: expected a JSON object with 'splits', an object of at least one split", list.string());
  std::string known;
  for (const auto& [name, split] : splits.items()) known += (known.empty() ? "" : ", ") + name;
  if (wanted.empty() ? splits.size() > 1 : !splits.contains(wanted))
    fail(ExitCode::data, "{} has the splits {}, not '{}': name one of them, as in '{}:{}'", list.string(), known,
         wanted, list.string(), splits.begin().key());
  return wanted.empty() ? splits.front() : splits[wanted];
}
}

bool is_info(const fs::path& path) {
  const std::string name = path.filename().string();
  for (const std::string list : names)
    if (name == list || name.starts_with(list + ":")) return true;
  return false;
}

fs::path info_of_folder(const fs::path& folder) {
  for (const char* name : names)
    if (fs::exists(folder / name)) return folder / name;
  return {};
}

std::vector<fs::path> shards_of_info(const fs::path& path) {
  const std::string name = path.filename().string();
  const size_t colon = std::min(name.find(':'), name.size());
  const fs::path list = path.parent_path() / name.substr(0, colon);
  const nlohmann::json split = split_of(list, colon < name.size() ? name.substr(colon + 1) : "");
  const auto member = [&](const char* key) { return split.is_object() ? split.value(key, nlohmann::json()) : nullptr; };
  if (const auto alternative = member("alt_label"); !alternative.is_null() && alternative != "")
    fail(ExitCode::data, "{}: labels lie in the JSON member {}, which is not read; expected an empty alt_label, and "
         "labels in .cls", list.string(), ascii_json(alternative));
  const auto filenames = member("filenames");
  std::vector<fs::path> shards;
  for (const auto& shard : filenames.is_array() ? filenames : nlohmann::json::array())
    if (shard.is_string()) shards.push_back(list.parent_path() / shard.get<std::string>());
  if (shards.empty() || shards.size() != filenames.size())
    fail(ExitCode::data, "{}: expected the split's 'filenames', a list of names of shards", list.string());
  for (const fs::path& shard : shards)
    if (!fs::is_regular_file(shard))
      fail(ExitCode::data, "{} lists {}, which is not there", list.string(), shard.string());
  return shards;
}

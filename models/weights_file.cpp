#include "models/weights_file.h"

#include <algorithm>
#include <cstring>

#include "engine/error.h"
#include "engine/files.h"

namespace fs = std::filesystem;

namespace {
constexpr const char *best = "best.safetensors", *last = "last.safetensors";

bool is_there(const fs::path& path) {
  std::error_code unreadable;
  return fs::exists(path, unreadable);
}

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// What torch.save writes: a zip archive whose first member is .../data.pkl, or in older files a pickle.
bool of_torch(std::string_view text) {
  constexpr size_t name_at = 30;    // of the first member, in a zip
  if (text.starts_with("PK\3\4")) return text.substr(0, name_at + 300).find("data.pkl") != text.npos;
  return text.size() > 2 && text[0] == '\x80' && text[1] >= 2 && text[1] <= 5;
}

fs::path in_folder(const fs::path& folder, std::vector<std::string>& notes) {
  if (is_there(folder / best)) return folder / best;
  if (is_there(folder / last)) {
    notes.push_back(fmt::format("{} has no {}, for it was not evaluated with --val: {} is taken", folder.string(),
                                best, last));
    return folder / last;
  }
  std::vector<fs::path> runs;
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_there(entry.path() / last)) runs.push_back(entry.path());
  std::ranges::sort(runs);
  if (!runs.empty())
    fail(ExitCode::data, "{} holds {} runs, each with weights of its own; name one of them, such as {}",
         folder.string(), runs.size(), runs.front().string());
  fail(ExitCode::data, "{}: the folder has neither {} nor {}; name a file with weights", folder.string(), best, last);
}
}    // namespace

bool is_zip(const fs::path& path) {
  const MappedFile file(path);
  return text_of(file).starts_with("PK\3\4");
}

fs::path weights_file(const fs::path& path, std::vector<std::string>& notes) {
  std::error_code unreadable;
  if (fs::is_directory(path, unreadable)) return in_folder(path, notes);
  if (!is_there(path) && path.filename() == best && is_there(path.parent_path() / last))
    fail(ExitCode::failed, "cannot read {}: the run was not evaluated with --val; take {}", path.string(),
         (path.parent_path() / last).string());
  const MappedFile file(path);
  if (of_torch(text_of(file)))
    fail(ExitCode::data,
         "{} is a file of torch.save, which is not read as it may run code; turn it into safetensors: python3 -c "
         "\"import sys, torch; from safetensors.torch import save_file; "
         "d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
         "d = d.get('state_dict', d.get('model', d)); "
         "save_file({{k: v.contiguous().clone() for k, v in d.items()}}, sys.argv[2])\" {} {}",
         path.string(), path.string(), fs::path(path).replace_extension(".safetensors").string());
  return path;
}

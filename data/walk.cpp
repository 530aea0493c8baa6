#include "data/walk.h"

#include <algorithm>
#include <sys/stat.h>
#include <utility>
#include <vector>

#include "engine/signals.h"

namespace fs = std::filesystem;

namespace {
using Visit = std::function<void(const fs::directory_entry&, const std::string&)>;
constexpr int most_links = 4;    // folders that link to each other have a path for every order of them

class Walk {
 public:
  Walk(const Visit& visit, Tally& passed_over) : visit_(visit), passed_over_(passed_over) {}

  // `from`: the folder's path from where the walk began, with a slash at its end
  void enter(const fs::path& folder, const std::string& from, int links) {
    struct stat status {};
    if (::stat(folder.c_str(), &status) != 0)
      throw fs::filesystem_error("stat", folder, std::error_code(errno, std::generic_category()));
    const std::pair identity(status.st_dev, status.st_ino);
    if (std::find(above_.begin(), above_.end(), identity) != above_.end())
      return passed_over_.add("links to a folder around them");
    above_.push_back(identity);
    for (const auto& entry : fs::directory_iterator(folder)) {
      stop_if_asked();
      const std::string name = entry.path().filename().string();
      if (!name.starts_with('.')) take(entry, from + name, links);
    }
    above_.pop_back();
  }

 private:
  void take(const fs::directory_entry& entry, const std::string& path, int links) {
    std::error_code broken;
    const bool link = entry.is_symlink();
    const fs::file_status status = entry.status(broken);    // of what a link leads to
    if (fs::is_regular_file(status)) visit_(entry, path);
    else if (!fs::is_directory(status)) passed_over_.add(link ? "links to nothing" : "devices");
    else if (link && links == most_links) passed_over_.add("links within four others");
    else enter(entry.path(), path + "/", links + link);
  }

  const Visit& visit_;
  Tally& passed_over_;
  std::vector<std::pair<dev_t, ino_t>> above_;
};
}

void walk_folder(const fs::path& folder, const Visit& visit, Tally& passed_over) {
  Walk(visit, passed_over).enter(folder, "", 0);
}

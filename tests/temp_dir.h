// A folder that lives as long as the object.
// defines: TempDir
#pragma once
#include <filesystem>
#include <stdlib.h>
#include <string>

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "relucent-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempDir() { std::error_code ignored; std::filesystem::remove_all(path_, ignored); }
  TempDir(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

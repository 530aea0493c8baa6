// The members of a transfer set's archives, found by the end of their path: what stands before it depends on who packed
// them. defines: TransferFiles
#pragma once
#include <fmt/format.h>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/members.h"

class TransferFiles {
 public:
  explicit TransferFiles(const Members& members);

  const std::vector<Member>& all() const { return members_.all(); }
  bool has(const std::string& name) const { return by_name_.contains(name); }
  const Member& named(const std::string& name) const { return all()[only(by_name_, name)]; }
  size_t image(const std::string& folder_and_name) const { return only(by_tail_, folder_and_name); }
  std::string read(const std::string& name) const { return members_.read(named(name)); }
  std::string read(const Member& member, uint64_t offset, size_t size) const {
    return members_.read(member, offset, size);
  }
  // the words of each line that is neither empty nor begins with "#", at least so many
  std::vector<std::vector<std::string>> lines(const std::string& name, size_t words, char separator = ' ') const;

 private:
  using Places = std::unordered_map<std::string, std::vector<size_t>>;
  size_t only(const Places& places, const std::string& name) const;

  const Members& members_;
  Places by_name_, by_tail_;
};

// "FOLDER/NAME" of a path
inline std::string path_tail(std::string_view path) { return fmt::format("{}/{}", parent_name(path), file_name(path)); }

#include "data/transfer_files.h"

#include <sstream>

#include "engine/error.h"
#include "engine/text.h"

TransferFiles::TransferFiles(const Members& members) : members_(members) {
  for (size_t i = 0; i < all().size(); i++) {
    by_name_[std::string(file_name(all()[i].path))].push_back(i);
    by_tail_[path_tail(all()[i].path)].push_back(i);
  }
}

std::vector<std::vector<std::string>> TransferFiles::lines(const std::string& name, size_t words,
                                                          char separator) const {
  std::vector<std::vector<std::string>> lines;
  for (const std::string& line : lines_of(read(name))) {
    if (line.empty() || line.starts_with('#')) continue;
    std::istringstream in(line);
    auto& found = lines.emplace_back();
    for (std::string word; std::getline(in, word, separator);)
      if (!word.empty()) found.push_back(word);
    if (found.size() < words)
      fail(ExitCode::data, "{}: expected {} words in a line, got '{}'", named(name).where, words, line);
  }
  return lines;
}

size_t TransferFiles::only(const Places& places, const std::string& name) const {
  const auto at = places.find(name);
  if (at == places.end()) fail(ExitCode::data, "no {} in what was given; are all archives of the set there?", name);
  if (at->second.size() > 1)
    fail(ExitCode::data, "{} is there twice: {} and {}; give each archive once", name, all()[at->second[0]].where,
         all()[at->second[1]].where);
  return at->second[0];
}

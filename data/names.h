// Names of files in folders and archives, whose components are joined by "/".
// defines: file_name, parent_name, file_stem, lower_case
#pragma once
#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

// Of "a/b/c.d.jpg": "c.d.jpg", "b", "c.d"
inline std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }    // npos + 1 is 0
inline std::string_view parent_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? std::string_view() : file_name(path.substr(0, slash));
}
inline std::string_view file_stem(std::string_view path) {
  const std::string_view name = file_name(path);
  return name.substr(0, name.rfind('.'));
}

inline std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

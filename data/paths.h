// Names of files in folders and archives, whose components are joined by "/".
// defines: file_name, parent_name, file_stem, lower_case, split_member_name, image_extensions, is_image_name
#pragma once
#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>

// Of "a/b/c.d.jpg": "c.d.jpg", "b", "c.d"
inline std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }  // npos + 1 is 0
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

// "a/22.0/1.1.png" -> key "a/22.0/1", extension "1.png": the first dot of the last component. False where there is no
// such dot, or the name is hidden (".x").
inline bool split_member_name(std::string_view name, std::string_view& key, std::string_view& extension) {
  const size_t base = name.rfind('/') + 1;    // npos + 1 is 0
  const size_t dot = name.find('.', base);
  if (dot == name.npos || dot == base) return false;
  key = name.substr(0, dot);
  extension = name.substr(dot + 1);
  return true;
}

inline constexpr std::array<std::string_view, 4> image_extensions = {"jpg", "jpeg", "png", "webp"};

// It ends as one of them does, in capitals too.
inline bool is_image_name(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot != name.npos &&
         std::find(image_extensions.begin(), image_extensions.end(), lower_case(name.substr(dot + 1))) !=
             image_extensions.end();
}

// Tars made by hand, right or wrong, for tests.
// defines: tar_entry, tar_end, write_file, contains
#pragma once
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <string>

// One member with its header, ustar unless `magic` says otherwise; `size` replaces the field of 12 bytes.
inline std::string tar_entry(const std::string& name, const std::string& bytes, char type = '0',
                             const std::string& size = "", const std::string& prefix = "",
                             const std::string& magic = std::string("ustar\00000", 8)) {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  header.replace(124, 12, size.empty() ? fmt::format("{:011o}", bytes.size()) + '\0' : size);
  header.replace(148, 8, "        ");
  header[156] = type;
  header.replace(257, 8, magic);
  header.replace(345, prefix.size(), prefix);
  unsigned sum = 0;
  for (unsigned char c : header) sum += c;
  header.replace(148, 8, fmt::format("{:06o}", sum) + '\0' + ' ');
  return header + bytes + std::string((512 - bytes.size() % 512) % 512, '\0');
}

inline std::string tar_end() { return std::string(1024, '\0'); }

inline std::filesystem::path write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// What is left out, counted by what it is.
// defines: Tally, kind_of_name
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

class Tally {
 public:
  void add(const std::string& what, uint64_t count = 1);    // a plural, or an extension with its dot
  void add(const Tally& other);
  uint64_t total() const;
  std::string text() const;    // "5 (3 .gif, 1 folder, 1 hidden)"
  const std::map<std::string, uint64_t>& counts() const { return counts_; }

 private:
  std::map<std::string, uint64_t> counts_;    // of a few kinds; what comes after those is counted as "others"
};

// What a file is by its name: ".gif", "hidden", "without an extension".
std::string kind_of_name(std::string_view path);

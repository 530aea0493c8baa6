// A source read once, whole: what is in it and what is wrong with it.
// defines: SourceCheck, check_source
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/index.h"

struct SourceCheck {
  struct Sides { int min = 0, median = 0, max = 0; };
  struct Class { std::string name; size_t images = 0; };
  struct Same { size_t count = 0; std::vector<std::string> where, labels; };    // images of the same bytes, or a key

  std::string summary;
  size_t images = 0, gray = 0;               // gray: decoded, and every pixel has three equal channels
  Sides height, width;                       // of those that could be decoded
  std::vector<Class> classes;                // by label
  size_t unnamed_labels = 0;                 // images whose label is beyond the class list
  std::vector<std::string> damaged;          // where and why
  std::vector<Same> copies;                  // several images with the same bytes
  std::vector<Same> keys;                    // several samples with the same key
  size_t disagreeing() const;                // of the copies: those with different labels
};

SourceCheck check_source(const Index& index, int threads);
std::string as_text(const SourceCheck& check);    // names at most ten of a kind
nlohmann::json as_json(const SourceCheck& check);

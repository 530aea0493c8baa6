// Names of classes: their order, and the one way in which labels of two sources meet.
// defines: most_classes, Classes, all_numbers, sort_classes, no_class, several_classes, class_map
#pragma once
#include <cstdint>
#include <string>
#include <vector>

constexpr int32_t most_classes = 1 << 20;    // of any source, list or model: labels are below it

// What labels count: the classes of a model, of a list or of another source.
struct Classes {
  std::string of;                    // whose they are, for messages: a file, a flag
  int count = 0;
  std::vector<std::string> names;    // by label; empty where they have none
};

// Each is decimal digits only; false of none.
bool all_numbers(const std::vector<std::string>& names);

// Sorts by value where all are numbers, else by name; keeps each name once.
void sort_classes(std::vector<std::string>& names);

// For each of `names` the place in `classes` of the same name, or of the same wnid where both start with one: no_class
// where there is none, several_classes where it stands twice on either side. Equal lists map one to one.
constexpr int32_t no_class = -1, several_classes = -2;
std::vector<int32_t> class_map(const std::vector<std::string>& names, const std::vector<std::string>& classes);

// How the labels of a data set meet the classes of a model.
// defines: Restriction, restrict_to, open_counting, require_classes_of_run
#pragma once
#include <filesystem>
#include <string>
#include <vector>
#include "data/index.h"

// The classes to choose from, and the model's class for each: -1 where it has none, and then `absent` names it.
struct Restriction {
  Classes classes;
  std::vector<int> columns;
  std::vector<std::string> absent;
};
// `wanted` is the name of a list of ImageNet (1k, 21k, ...) or a file with a class a line, named by its wnid or whole
// name. A model without names has those of the list of ImageNet with as many classes. Usage error where neither is
// known, or no class is found.
Restriction restrict_to(const std::string& wanted, const Classes& model);

// Opens a source whose labels are to count `wanted` (see Index::count_as) and says on stderr, under `title`, what it
// holds, and where labels are taken by place. `real`: a file with ReaL's labels, or "".
Index open_counting(const char* title, const std::string& source, const Classes& wanted, const std::string& real = "");

// Usage error where the weights that a run left name other classes than `now`: its head would go on with labels that
// mean something else.
void require_classes_of_run(const std::filesystem::path& weights, const Classes& now);

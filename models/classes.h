// Which of a model's classes stand for the classes of a data set.
// defines: class_columns
#pragma once
#include <string>
#include <vector>

// The model's class for each class of `wanted`, which is the name of a list of ImageNet (1k, 21k, ...) or a file with a class a
// line, named by its wnid or whole name; -1 where the model has none, and then `absent` names it. `names` are the model's, or
// empty: then a list of ImageNet with as many classes. Usage error where neither is known or no class is found.
std::vector<int> class_columns(const std::string& wanted, const std::vector<std::string>& names, int classes, std::vector<std::string>& absent);

// Which classes a model takes for which.
// defines: Confusion, ConfusedPair, confusion_text, confusion_json, confusion_csv, classes_csv, confusion_page
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>
#include "data/index.h"
#include "engine/json.h"

struct ConfusedPair {
  int label, predicted;
  uint64_t count;
};

class Confusion {
 public:
  explicit Confusion(std::vector<std::string> names)
      : names_(std::move(names)), images_(names_.size()), predicted_(names_.size()) {}
  // An image of several labels counts for the one that was predicted, else for the first; one without labels counts for
  // itself alone.
  void add(uint64_t sample, Labels labels, int predicted);

  uint64_t count() const { return count_; }
  uint64_t unlabelled() const { return unlabelled_; }
  uint64_t correct() const;
  double accuracy() const { return double(correct()) / double(count_); }
  const std::string& name(int c) const { return names_[size_t(c)]; }
  uint64_t images(int c) const { return images_[size_t(c)]; }          // whose class it is
  uint64_t predicted(int c) const { return predicted_[size_t(c)]; }    // for which it was predicted
  uint64_t cell(int label, int predicted) const;
  // NaN of a class without images
  double accuracy(int c) const { return double(cell(c, c)) / double(images(c)); }
  std::vector<int> labels() const;       // classes with images
  std::vector<int> occurring() const;    // classes with images or predictions
  // Classes that are taken for others, the most frequent first, at most so many.
  std::vector<ConfusedPair> pairs(size_t most) const;
  const std::vector<uint64_t>& examples(const ConfusedPair& pair) const;    // samples, the first few

 private:
  struct Cell {
    uint64_t count = 0;
    std::vector<uint64_t> examples;
  };

  std::vector<std::string> names_;
  std::vector<uint64_t> images_, predicted_;
  std::map<std::pair<int, int>, Cell> cells_;    // of a label and a prediction, those that occur
  uint64_t count_ = 0, unlabelled_ = 0;
};

std::string confusion_text(const Confusion& confusion, size_t pairs);
nlohmann::ordered_json confusion_json(const Confusion& confusion, size_t pairs);
std::string confusion_csv(
    const Confusion& confusion);    // counts: a row for each true class, a column for each predicted one
std::string classes_csv(const Confusion& confusion);    // images, correct, accuracy, predicted, precision of each class

// One page that needs no other file. picture(sample): an <img> of it.
std::string confusion_page(const Confusion& confusion, size_t pairs, const std::string& what,
                           const std::function<std::string(uint64_t sample)>& picture);

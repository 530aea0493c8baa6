// Few-shot accuracy as Big Vision measures it: a linear probe, fitted by ridge regression to a few samples a class.
// defines: LinearProbe, support_set, FewshotTask, FewshotResult, check_probe, fewshot
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

// Features are [n, width], row by row.
class LinearProbe {
 public:
  // one sample or more, finite; labels 0 ... classes - 1; l2 > 0
  LinearProbe(std::span<const float> features, std::span<const int> labels, int width, int classes, double l2);
  std::vector<double> scores(std::span<const float> features) const;  // [n, classes]
  std::vector<int> predict(std::span<const float> features) const;    // the highest score, the first of equal ones
  const std::vector<double>& mean() const { return mean_; }
  const std::vector<double>& scale() const { return scale_; }         // standard deviation + 1e-5

 private:
  int width_, classes_;
  std::vector<double> mean_, scale_;
  std::vector<double> weights_;                                       // [width + 1, classes], the last row for the bias
};

// Up to `shots` samples of each class, class by class. A seed's set of more shots contains its sets of fewer.
std::vector<int> support_set(std::span<const int> labels, int classes, int shots, int seed);

struct FewshotTask {
  std::string name;
  int width = 0;
  std::vector<float> train, test;
  std::vector<int> train_labels, test_labels;
};

struct FewshotResult {
  std::string task;
  int shots, seed;
  int64_t correct, count;
  std::vector<int> predicted;    // of each test sample
  double accuracy() const { return double(correct) / double(count); }
};

// Usage error where a number has no meaning, or shots are asked for twice.
void check_probe(const std::vector<int>& shots, int seeds, double l2);

// One result per seed 0 ... seeds - 1 and number of shots.
std::vector<FewshotResult> fewshot(const FewshotTask& task, const std::vector<int>& shots, int seeds, double l2);

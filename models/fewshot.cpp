#include "models/fewshot.h"
#include <algorithm>
#include <cmath>
#include <set>
#include <Eigen/Cholesky>
#include "engine/error.h"
#include "models/numpy_random.h"

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Row = Eigen::RowVectorXd;

static Eigen::Map<const Row> row(const std::vector<double>& values) {
  return {values.data(), Eigen::Index(values.size())};
}

static Matrix to_double(std::span<const float> features, int width) {
  using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return Eigen::Map<const Floats>(features.data(), features.size() / width, width).cast<double>();
}

// Mean 0 and standard deviation 1, and one more column for the bias, so large that the penalty hardly holds it back.
static Matrix standardise(const Matrix& features, const Row& mean, const Row& scale) {
  Matrix x(features.rows(), features.cols() + 1);
  x.leftCols(features.cols()) = (features.rowwise() - mean).array().rowwise() / scale.array();
  x.rightCols(1).setConstant(100);
  return x;
}

LinearProbe::LinearProbe(std::span<const float> features, std::span<const int> labels, int width, int classes,
                         double l2)
    : width_(width), classes_(classes) {
  const Matrix raw = to_double(features, width);
  const Row mean = raw.colwise().mean();
  const Row scale = (raw.rowwise() - mean).array().square().colwise().mean().sqrt() + 1e-5;
  const Matrix x = standardise(raw, mean, scale);
  Matrix y = Matrix::Constant(x.rows(), classes, -1);
  for (size_t i = 0; i < labels.size(); i++) y(i, labels[i]) = 1;

  // (X'X + l2 I)⁻¹ X'Y = X'(XX' + l2 I)⁻¹ Y: the smaller of the two systems is solved.
  const bool tall = x.rows() >= x.cols();
  Matrix gram = tall ? Matrix(x.transpose() * x) : Matrix(x * x.transpose());
  gram.diagonal().array() += l2;
  const Eigen::LLT<Matrix> solver(gram);
  if (solver.info() != Eigen::Success)
    fail(ExitCode::non_finite, "linear probe: no solution with l2 {}; choose a larger one, such as 1024", l2);
  const Matrix weights = tall ? Matrix(solver.solve(x.transpose() * y)) : Matrix(x.transpose() * solver.solve(y));

  mean_.assign(mean.begin(), mean.end());
  scale_.assign(scale.begin(), scale.end());
  weights_.assign(weights.data(), weights.data() + weights.size());
}

std::vector<double> LinearProbe::scores(std::span<const float> features) const {
  const Eigen::Map<const Matrix> weights(weights_.data(), width_ + 1, classes_);
  const Matrix z = standardise(to_double(features, width_), row(mean_), row(scale_)) * weights;
  return {z.data(), z.data() + z.size()};
}

std::vector<int> LinearProbe::predict(std::span<const float> features) const {
  const size_t block = size_t(1024) * width_;              // bounds the memory that doubles and scores take
  std::vector<int> classes;
  for (size_t at = 0; at < features.size(); at += block) {
    const std::vector<double> z = scores(features.subspan(at, std::min(block, features.size() - at)));
    for (auto sample = z.begin(); sample != z.end(); sample += classes_)
      classes.push_back(int(std::max_element(sample, sample + classes_) - sample));
  }
  return classes;
}

std::vector<int> support_set(std::span<const int> labels, int classes, int shots, int seed) {
  std::vector<std::vector<int64_t>> samples(classes);
  for (size_t i = 0; i < labels.size(); i++) samples[labels[i]].push_back(int64_t(i));
  NumpyRandom random(seed);
  std::vector<int> chosen;
  for (const std::vector<int64_t>& of_class : samples) {
    const std::vector<int64_t> order = random.permutation(of_class);
    chosen.insert(chosen.end(), order.begin(), order.begin() + std::min(order.size(), size_t(shots)));
  }
  return chosen;
}

static void check_features(const FewshotTask& task, const char* part, const std::vector<float>& features,
                           size_t samples) {
  if (samples == 0) fail(ExitCode::data, "task '{}': no {} samples; check its sources", task.name, part);
  if (features.size() != samples * task.width)
    fail(ExitCode::data, "task '{}': {} {} features for {} samples of width {}, expected {}; use one model for all",
         task.name, features.size(), part, samples, task.width, samples * task.width);
  const auto bad = std::find_if_not(features.begin(), features.end(), [](float x) { return std::isfinite(x); });
  if (bad != features.end())
    fail(ExitCode::non_finite, "task '{}': feature {} of {} sample {} is {}; check the model's weights", task.name,
         (bad - features.begin()) % task.width, part, (bad - features.begin()) / task.width, *bad);
}

static void check_labels(const FewshotTask& task, const char* part, const std::vector<int>& labels, int classes) {
  for (size_t i = 0; i < labels.size(); i++)
    if (labels[i] < 0 || labels[i] >= classes)
      fail(ExitCode::data, "task '{}': label {} of {} sample {}, expected 0 to {}, as train has no sample of label {}; "
           "give train and test the same classes",
           task.name, labels[i], part, i, classes - 1, std::min(labels[i], classes));
}

// Labels are 0 ... classes - 1, each with a train sample. Returns classes.
static int check(const FewshotTask& task) {
  if (task.width < 1) fail(ExitCode::data, "task '{}': width {}, expected 1 or more", task.name, task.width);
  check_features(task, "train", task.train, task.train_labels.size());
  check_features(task, "test", task.test, task.test_labels.size());
  const std::set<int> present(task.train_labels.begin(), task.train_labels.end());
  int classes = 0;
  while (present.contains(classes)) classes++;
  check_labels(task, "train", task.train_labels, classes);
  check_labels(task, "test", task.test_labels, classes);
  return classes;
}

void check_probe(const std::vector<int>& shots, int seeds, double l2) {
  if (shots.empty()) fail(ExitCode::usage, "--shots: expected at least one number");
  std::set<int> once;
  for (int k : shots) {
    if (k < 1) fail(ExitCode::usage, "--shots: {}, expected 1 or more samples of each class", k);
    if (!once.insert(k).second) fail(ExitCode::usage, "--shots: {} stands there twice, expected each number once", k);
  }
  if (seeds < 1) fail(ExitCode::usage, "--seeds: {}, expected 1 or more", seeds);
  if (!(l2 > 0 && std::isfinite(l2))) fail(ExitCode::usage, "--l2: {}, expected a number above 0", l2);
}

std::vector<FewshotResult> fewshot(const FewshotTask& task, const std::vector<int>& shots, int seeds, double l2) {
  check_probe(shots, seeds, l2);
  const int classes = check(task);

  std::vector<FewshotResult> results;
  for (int seed = 0; seed < seeds; seed++) {
    for (int k : shots) {
      std::vector<float> features;
      std::vector<int> labels;
      for (int i : support_set(task.train_labels, classes, k, seed)) {
        const auto sample = task.train.begin() + int64_t(i) * task.width;
        features.insert(features.end(), sample, sample + task.width);
        labels.push_back(task.train_labels[i]);
      }
      const std::vector<int> predicted = LinearProbe(features, labels, task.width, classes, l2).predict(task.test);
      int64_t correct = 0;
      for (size_t i = 0; i < predicted.size(); i++) correct += predicted[i] == task.test_labels[i];
      results.push_back({task.name, k, seed, correct, int64_t(predicted.size()), predicted});
    }
  }
  return results;
}

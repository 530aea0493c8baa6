#include "models/train_step.h"
#include <algorithm>
#include "engine/error.h"
#include "engine/ops/loss.h"

Tensor loss_op(Tape& tape, const std::string& loss, Tensor logits, Tensor labels) {
  if (loss == "softmax") return softmax_cross_entropy(tape, logits, labels);
  if (loss == "sigmoid") return sigmoid_cross_entropy(tape, logits, labels);
  fail(ExitCode::usage, "--loss: '{}' is unknown, expected softmax or sigmoid", loss);
}

int count_correct(const std::vector<float>& logits, std::span<const float> labels, int classes) {
  int correct = 0;
  for (size_t row = 0; row < logits.size(); row += classes) {
    const auto first = logits.begin() + row;
    correct += labels[row + (std::max_element(first, first + classes) - first)] == 1;
  }
  return correct;
}

StepResult TrainStep::operator()(std::span<const float> images, std::span<const float> labels, double multiplier) {
  const ViTConfig& c = vit_.config();
  const int B = int(labels.size() / c.classes);
  tape_.clear();
  Tensor x = tape_.input("images", {B, c.image_size, c.image_size, 3}, images);
  Tensor logits = vit_.forward(tape_, x);
  Tensor loss = mean(tape_, loss_op(tape_, loss_, logits, tape_.input("labels", {B, c.classes}, labels)));
  tape_.backward(loss);
  const double norm = adam_.step(multiplier);
  return {tape_.download(loss)[0], norm, count_correct(tape_.download(logits), labels, c.classes)};
}

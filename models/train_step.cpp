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

TrainStep::~TrainStep() { make_room(0, 0); }

void TrainStep::make_room(size_t images, size_t labels) {
  Device& device = tape_.device;
  auto resize = [&](size_t& has, size_t wants, real* Inputs::*memory) {
    if (wants <= has && wants > 0) return;
    for (Inputs& in : inputs_) {
      if (in.*memory) device.release(in.*memory);
      in.*memory = wants ? static_cast<real*>(device.allocate(wants * sizeof(real))) : nullptr;
    }
    has = wants;
  };
  resize(room_for_images_, images, &Inputs::device_images);
  resize(room_for_labels_, labels, &Inputs::device_labels);
}

void TrainStep::load(std::span<const float> images, std::span<const float> labels) {
  static_assert(std::is_same_v<real, float>);
  make_room(images.size(), labels.size());
  Inputs& in = inputs_[loaded_ ^= 1];
  in.labels.assign(labels.begin(), labels.end());
  tape_.device.upload_early(in.device_images, images.data(), images.size_bytes());
  tape_.device.upload_early(in.device_labels, labels.data(), labels.size_bytes());
}

void TrainStep::start(double multiplier) {
  running_ = loaded_;
  const Inputs& in = inputs_[running_];
  const ViTConfig& c = vit_.config();
  const int B = int(in.labels.size() / c.classes);
  tape_.clear();
  logits_ = vit_.forward(tape_, tape_.leaf("images", {B, c.image_size, c.image_size, 3}, in.device_images));
  mean_loss_ = mean(tape_, loss_op(tape_, loss_, logits_, tape_.leaf("labels", {B, c.classes}, in.device_labels)));
  tape_.backward(mean_loss_);
  adam_.start(multiplier);
}

StepResult TrainStep::finish() {
  const double norm = adam_.finish();
  return {tape_.download(mean_loss_)[0], norm, count_correct(tape_.download(logits_), inputs_[running_].labels, vit_.config().classes)};
}

StepResult TrainStep::operator()(std::span<const float> images, std::span<const float> labels, double multiplier) {
  load(images, labels);
  start(multiplier);
  return finish();
}

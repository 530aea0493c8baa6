#include "models/train_step.h"
#include <algorithm>
#include <cmath>
#include <utility>
#include "engine/error.h"
#include "engine/ops/loss.h"
#include "engine/ops/mixup.h"
#include "engine/random.h"
#include "models/diagnose.h"

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

double mixup_coefficient(double p, uint64_t seed, int64_t step) {
  Random random(seed, purpose::mixup, uint64_t(step));
  double x, y;                         // Beta(p, p) by Jöhnk 1964
  do {
    x = std::pow(random.uniform(), 1 / p);
    y = std::pow(random.uniform(), 1 / p);
  } while (x + y > 1 || x + y == 0);
  return std::max(x, y) / (x + y);
}

TrainStep::~TrainStep() {
  make_room(0, 0);
  vit_.parameters().forget_gradients();
}

void TrainStep::make_room(size_t images, size_t labels) {
  Device& device = tape_.device;
  auto resize = [&](size_t& has, size_t wants, real* Inputs::*memory) {
    if (wants <= has && wants > 0) return;
    for (Inputs& in : inputs_) {
      if (in.*memory) device.release(std::exchange(in.*memory, nullptr));
      has = 0;
      if (wants) in.*memory = static_cast<real*>(device.allocate(wants * sizeof(real)));
    }
    has = wants;
  };
  resize(room_for_images_, images, &Inputs::device_images);
  resize(room_for_labels_, labels, &Inputs::device_labels);
}

void TrainStep::load(std::span<const float> images, std::span<const float> labels) {
  static_assert(std::is_same_v<real, float>);
  const bool in_place = tape_.device.is_host();
  make_room(in_place ? 0 : images.size(), labels.size());
  Inputs& in = inputs_[loaded_ ^= 1];
  in.labels.assign(labels.begin(), labels.end());
  in.images = in_place ? const_cast<real*>(images.data()) : in.device_images;      // no op writes to a leaf
  if (!in_place) tape_.device.upload_early(in.device_images, images.data(), images.size_bytes());
  tape_.device.upload_early(in.device_labels, labels.data(), labels.size_bytes());
}

void TrainStep::start(double multiplier, double mix, std::span<AttentionProbe* const> probes) {
  running_ = loaded_;
  const Inputs& in = inputs_[running_];
  const ViTConfig& c = vit_.config();
  B_ = int(in.labels.size() / c.classes);
  mixed_.clear();
  auto input = [&](const char* name, Shape shape, real* memory) {
    Tensor x = mixed_.leaf(name, shape, memory);
    return mixed_.value(mix < 1 ? mixup(mixed_, x, real(mix)) : x);
  };
  images_ = input("images", {B_, c.image_size, c.image_size, 3}, in.images);
  labels_ = input("labels", {B_, c.classes}, in.device_labels);
  const bool apart = !probes.empty() && tape_.device.fuses_attention();
  if (apart) pass(probes);
  pass(apart ? std::span<AttentionProbe* const>() : probes);
  adam_.start(multiplier);
}

void TrainStep::pass(std::span<AttentionProbe* const> probes) {
  const int most = options_.micro_batch > 0 ? options_.micro_batch : B_;
  vit_.parameters().forget_gradients();
  loss_ = correct_ = 0;
  for (first_ = 0;; first_ += most) {
    forward(probes);
    tape_.backward(mean_loss_, {mean_loss_, logits_});
    if (first_ + most >= B_) break;
    collect();
  }
}

void TrainStep::forward(std::span<AttentionProbe* const> probes) {
  const ViTConfig& c = vit_.config();
  const int n = std::min(options_.micro_batch > 0 ? options_.micro_batch : B_, B_ - first_);
  tape_.clear();
  Tensor x = tape_.leaf("images", {n, c.image_size, c.image_size, 3}, images_ + size_t(first_) * c.image_size * c.image_size * 3);
  logits_ = vit_.forward(tape_, x, probes, nullptr, {.accumulate = first_ > 0, .rematerialise = options_.rematerialise});
  Tensor y = tape_.leaf("labels", {n, c.classes}, labels_ + size_t(first_) * c.classes);
  mean_loss_ = mean(tape_, loss_op(tape_, options_.loss, logits_, y), B_);
}

std::string TrainStep::first_non_finite() {
  forward({});
  return ::first_non_finite(tape_, vit_.parameters());
}

void TrainStep::collect() {
  loss_ += tape_.download(mean_loss_)[0];
  const std::vector<float> logits = tape_.download(logits_);
  const int classes = vit_.config().classes;
  correct_ += count_correct(logits, std::span(inputs_[running_].labels).subspan(size_t(first_) * classes, logits.size()), classes);
}

StepResult TrainStep::finish() {
  const double norm = adam_.finish();
  collect();
  return {loss_, norm, correct_};
}

StepResult TrainStep::operator()(std::span<const float> images, std::span<const float> labels, double multiplier, double mix) {
  load(images, labels);
  start(multiplier, mix);
  return finish();
}

#include "models/train_step.h"
#include <algorithm>
#include <cmath>
#include <utility>
#include "engine/error.h"
#include "engine/ops/label_ranks.h"
#include "engine/ops/loss.h"
#include "engine/ops/mixup.h"
#include "engine/random.h"
#include "models/diagnose.h"

Tensor loss_op(Tape& tape, const std::string& loss, Tensor logits, Tensor labels) {
  if (loss == "softmax") return softmax_cross_entropy(tape, logits, labels);
  if (loss == "sigmoid") return sigmoid_cross_entropy(tape, logits, labels);
  fail(ExitCode::usage, "--loss: '{}' is unknown, expected softmax or sigmoid", loss);
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

void TrainStep::make_room(size_t image_bytes, size_t label_bytes) {
  Device& device = tape_.device;
  auto resize = [&](size_t& has, size_t wants, std::byte* Inputs::*memory) {
    if (wants <= has && wants > 0) return;
    for (Inputs& in : inputs_) {
      if (in.*memory) device.release(std::exchange(in.*memory, nullptr));
      has = 0;
      if (wants) in.*memory = static_cast<std::byte*>(device.allocate(wants));
    }
    has = wants;
  };
  resize(room_for_images_, image_bytes, &Inputs::device_images);
  resize(room_for_labels_, label_bytes, &Inputs::device_labels);
}

void TrainStep::load(const HostImages& images, std::span<const float> labels) {
  static_assert(std::is_same_v<real, float>);
  const bool in_place = tape_.device.is_host();
  make_room(in_place ? 0 : images.size_bytes(), labels.size_bytes());
  Inputs& in = inputs_[loaded_ ^= 1];
  in.images = images, in.labels = labels.size();
  if (!in_place) tape_.device.upload_early(in.device_images, images.data(), images.size_bytes());
  tape_.device.upload_early(in.device_labels, labels.data(), labels.size_bytes());
}

// `count` images of the batch from `first` on, as values
Tensor TrainStep::images(Tape& t, int first, int count) const {
  const Inputs& in = inputs_[running_];
  const int S = vit_.config().image_size;
  const Shape shape{count, S, S, 3};
  const size_t at = size_t(first) * S * S * 3;
  if (mixed_images_) return t.leaf("images", shape, mixed_images_ + at);
  const void* data = in.device_images ? in.device_images : in.images.data();
  // no op writes to a leaf
  if (!in.images.values.empty()) return t.leaf("images", shape, const_cast<real*>(static_cast<const real*>(data)) + at);
  return pixels(t, shape, static_cast<const uint8_t*>(data) + at, in.images.mean, in.images.std);
}

void TrainStep::start(double multiplier, double mix, std::span<AttentionProbe* const> probes) {
  running_ = loaded_;
  Inputs& in = inputs_[running_];
  const ViTConfig& c = vit_.config();
  B_ = int(in.labels / c.classes);
  mixed_.clear();
  mixed_images_ = nullptr;
  labels_ = reinterpret_cast<real*>(in.device_labels);
  if (mix < 1) {
    mixed_images_ = mixed_.value(mixup(mixed_, images(mixed_, 0, B_), real(mix)));
    labels_ = mixed_.value(mixup(mixed_, mixed_.leaf("labels", {B_, c.classes}, labels_), real(mix)));
  }
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
  logits_ = vit_.forward(tape_, images(tape_, first_, n), probes, nullptr, {.rematerialise = options_.rematerialise});
  Tensor y = tape_.leaf("labels", {n, c.classes}, labels_ + size_t(first_) * c.classes);
  mean_loss_ = mean(tape_, loss_op(tape_, options_.loss, logits_, y), B_);
}

std::string TrainStep::first_non_finite() {
  forward({});
  return ::first_non_finite(tape_, vit_.parameters());
}

void TrainStep::collect() {
  loss_ += tape_.download(mean_loss_)[0];
  // not mixed
  const real* labels =
      reinterpret_cast<const real*>(inputs_[running_].device_labels) + size_t(first_) * vit_.config().classes;
  const std::vector<int> ranks = label_ranks(tape_, logits_, labels);
  correct_ += int(std::count(ranks.begin(), ranks.end(), 0));
}

StepResult TrainStep::finish() {
  const double norm = adam_.finish();
  collect();
  return {loss_, norm, correct_};
}

StepResult TrainStep::operator()(const HostImages& images, std::span<const float> labels, double multiplier,
                                 double mix) {
  load(images, labels);
  start(multiplier, mix);
  return finish();
}

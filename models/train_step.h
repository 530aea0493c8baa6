// One training step: forward, loss, backward, update. train.cpp and the benchmark run this one.
// defines: TrainStep, StepResult, loss_op, count_correct
#pragma once
#include <span>
#include <string>
#include <vector>
#include "engine/optimizer.h"
#include "models/vit.h"

struct StepResult {
  double loss;                         // mean over the batch
  double gradient_norm;                // before clipping; not finite: nothing was changed
  int correct;                         // see count_correct
};

// losses [B] by name: softmax or sigmoid
Tensor loss_op(Tape& tape, const std::string& loss, Tensor logits, Tensor labels);

// Examples whose largest logit is where the label is 1: BigVision's evaluators/classification.py. Both are [B, classes].
int count_correct(const std::vector<float>& logits, std::span<const float> labels, int classes);

class TrainStep {
 public:
  TrainStep(ViT& vit, Adam& adam, std::string loss) : vit_(vit), adam_(adam), loss_(std::move(loss)), tape_(vit.parameters().device()) {}
  ~TrainStep();
  TrainStep(const TrainStep&) = delete;
  // images [B, S, S, 3] and labels [B, classes] of the next step; may come while the step before still runs on the device
  void load(std::span<const float> images, std::span<const float> labels);
  void start(double multiplier);      // of the schedule; takes what was loaded
  StepResult finish();                // waits for what was started
  StepResult operator()(std::span<const float> images, std::span<const float> labels, double multiplier);
  Tape& tape() { return tape_; }      // of the last step

 private:
  // Two: one is read while the other is loaded.
  struct Inputs {
    std::vector<float> labels = {};   // in host memory
    real *device_images = nullptr, *device_labels = nullptr;
  };
  void make_room(size_t images, size_t labels);

  ViT& vit_;
  Adam& adam_;
  std::string loss_;
  Tape tape_;
  Inputs inputs_[2];
  size_t room_for_images_ = 0, room_for_labels_ = 0;
  int loaded_ = 0, running_ = 0;
  Tensor logits_, mean_loss_;
};

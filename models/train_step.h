// One training step: forward, loss, backward, update. train.cpp and the benchmark run this one.
// defines: TrainStep, StepResult, loss_op, count_correct
#pragma once
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
  // images [B, S, S, 3], labels [B, classes]; `multiplier` of the schedule
  StepResult operator()(std::span<const float> images, std::span<const float> labels, double multiplier);
  Tape& tape() { return tape_; }      // of the last step

 private:
  ViT& vit_;
  Adam& adam_;
  std::string loss_;
  Tape tape_;
};

// One training step: forward, loss, backward, update. train.cpp and the benchmark run this one.
// defines: TrainStep, StepOptions, StepResult, loss_op, mixup_coefficient
#pragma once
#include <span>
#include <string>
#include <vector>
#include "engine/ops/pixels.h"
#include "engine/optimizer.h"
#include "models/vit.h"

struct StepResult {
  double loss;                         // mean over the batch
  double gradient_norm;                // before clipping; not finite: nothing was changed
  int correct;  // examples whose largest logit is at a label: BigVision's evaluators/classification.py
};

// losses [B] by name: softmax or sigmoid
Tensor loss_op(Tape& tape, const std::string& loss, Tensor logits, Tensor labels);

struct StepOptions {
  std::string loss = "softmax";        // see loss_op
  int micro_batch = 0;                 // images of a batch at a time, their gradients added up; 0: all at once
  bool rematerialise = false;          // see BackwardOptions
};

// The mixup coefficient of update `step` for the whole batch: max(a, 1 - a) of a ~ Beta(p, p), 0 < p <= 1; a function
// of its arguments alone.
double mixup_coefficient(double p, uint64_t seed, int64_t step);

class TrainStep {
 public:
  TrainStep(ViT& vit, Adam& adam, StepOptions options)
      : vit_(vit),
        adam_(adam),
        options_(std::move(options)),
        tape_(vit.parameters().device()),
        mixed_(vit.parameters().device()) {}
  ~TrainStep();
  TrainStep(const TrainStep&) = delete;
  // images [B, S, S, 3] and labels [B, classes] of the next step; may come while the step before still runs on the
  // device. A device that is the host reads the images where they are: they must stay until that step is over.
  void load(const HostImages& images, std::span<const float> labels);
  // Takes what was loaded; `multiplier` of the schedule, `mix` of mixup (1: none). `probes`, one a block, see the step
  // pass by and change none of its bits: where they would, they see the same pass beforehand.
  void start(double multiplier, double mix = 1, std::span<AttentionProbe* const> probes = {});
  StepResult finish();                // waits for what was started
  StepResult operator()(const HostImages& images, std::span<const float> labels, double multiplier, double mix = 1);
  Tape& tape() { return tape_; }      // of the last step, without the values that its backward pass was done with
  // after a step that changed nothing: computes its last micro-batch once more; see models/diagnose.h
  std::string first_non_finite();

 private:
  // Two: one is read while the other is loaded.
  struct Inputs {
    HostImages images = {};           // the caller's: of kind and size
    size_t labels = 0;
    std::byte* device_images = nullptr;                    // null where the device reads the caller's
    std::byte* device_labels = nullptr;
  };
  void make_room(size_t image_bytes, size_t label_bytes);
  Tensor images(Tape& t, int first, int count) const;      // [count, S, S, 3] of the batch from `first` on
  void pass(std::span<AttentionProbe* const> probes);      // forward, loss, backward
  void forward(std::span<AttentionProbe* const> probes);   // of the micro-batch that begins at first_
  void collect();                     // loss and correct examples of the micro-batch on the tape

  ViT& vit_;
  Adam& adam_;
  StepOptions options_;
  Tape tape_, mixed_;
  Inputs inputs_[2];
  size_t room_for_images_ = 0, room_for_labels_ = 0;      // bytes
  int loaded_ = 0, running_ = 0;
  int B_ = 0;                         // of the step
  real *mixed_images_ = nullptr, *labels_ = nullptr;      // the step's; null where images are not mixed
  Tensor logits_, mean_loss_;
  int first_ = 0;                     // example of the micro-batch on the tape
  double loss_ = 0;                   // of the micro-batches before it
  int correct_ = 0;
};

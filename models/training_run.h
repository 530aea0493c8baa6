// One training in a folder of its own: begun or gone on with, saved, evaluated, ended. A run that is stopped or killed
// at any moment goes on to the same bits, and to the same rows of every log. defines: Session, TrainingRun
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include "data/loader.h"
#include "engine/metrics.h"
#include "engine/optimizer.h"
#include "engine/profile.h"
#include "engine/progress.h"
#include "models/checkpoint.h"
#include "models/evaluate.h"
#include "models/monitor.h"
#include "models/train_options.h"
#include "models/train_step.h"

// What all members of a grid share.
struct Session {
  const TrainOptions& o;
  Device& device;
  const Index& train;
  const Index* val;                   // null without --val and --holdout
  int64_t steps, warmup, eval_every;  // in updates; eval_every 0: at the end
  double peak;                        // floating-point operations a second; 0: unknown
  Profiler* profiler;                 // with --profile
};

class TrainingRun {
 public:
  // The model and what it goes on from, if `folder` holds that. Usage error where that is another run.
  TrainingRun(const Session& session, const ViTConfig& config, const GridMember& member, std::filesystem::path folder);
  // To its end; false where a signal stopped it, with everything saved. `at_start` comes once nothing can refuse it any
  // more.
  bool train(const std::function<void()>& at_start);

  const Evaluation& evaluation() const { return evaluation_; }  // the last one; count 0 without images to evaluate on
  double images_per_second() const { return double(s_.steps * o_.batch) / state_.seconds; }

 private:
  bool finished() const { return state_.step == s_.steps && (!s_.val || state_.evaluated == state_.step); }
  void end_again();  // of a run that was finished before
  void open_logs();
  void load();
  void update();
  void report(const StepResult& result, double multiplier);
  void list_damaged();
  void save_if_due();
  void save_all();
  void save(const char* name) const;
  bool evaluation_is_due() const;
  void evaluate_and_save();
  Evaluation validate();  // a signal ends it early: then `complete` is false
  void end();
  void keep_average();  // with --ema: it is the model from here on
  void say_what_came_of_it();
  std::string what_is_saved() const;

  const Session& s_;
  const TrainOptions& o_;
  const GridMember member_;
  const std::filesystem::path folder_, state_file_;
  ViT vit_;
  Adam adam_;
  std::unique_ptr<MovingAverage> average_;  // with --ema
  const Metadata identity_;
  const bool begun_;  // before
  TrainingState state_;
  int64_t first_step_ = 0, saved_ = -1;  // where this process began; the step that both files are at
  TrainStep step_;
  GlobalNorm norm_;
  Progress progress_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<Monitor> monitor_;  // with --inspect-every
  std::unique_ptr<Loader> loader_;
  Batch batches_[2];  // one is read while the other is filled
  std::set<uint64_t> damaged_;
  std::set<std::string> listed_;  // in damaged.txt, also before a resume
  std::chrono::steady_clock::time_point last_save_;
  Evaluation evaluation_;
  double last_loss_ = NAN;  // the mean since the row of metrics before
};

// What build/train can be told: the flags, their defaults, and what follows from them.
// defines: GridMember, TrainOptions
#pragma once
#include <cmath>
#include "data/transform.h"
#include "engine/error.h"
#include "engine/optimizer.h"
#include "models/model_flags.h"

// One member of the grid: an attention function, its exponent of L, and a seed.
struct GridMember {
  std::string attention;
  double alpha;
  bool scaled;                         // α matters
  uint64_t seed;
  bool one_of_seeds;                   // then its name says the seed
  std::string name() const {
    return attention + (scaled ? fmt::format("-alpha{}", alpha) : "") +
           (one_of_seeds ? fmt::format("-seed{}", seed) : "");
  }
};

struct TrainOptions {
  std::string train, val, holdout, out;
  ModelFlags model;
  std::vector<std::string> attention{"softmax"};
  std::vector<double> alpha{1};
  int classes = 0;                     // 0: from the class list, else the largest label
  int64_t steps = 0;
  double epochs = 0;
  int batch = 128;
  AdamOptions adam;
  std::string warmup = "10%", loss = "softmax";
  Preprocess preprocess;
  DeviceFlags device;
  std::optional<int> workers;
  std::vector<uint64_t> seeds{0};
  bool resume = false, print_config = false, profile = false, rematerialise = false;
  double mixup = 0, ema = 0;
  int micro_batch = 0;
  std::string preset, init;
  int recipe_batch = 0;                // the preset's, which its updates were counted for; 0: none
  std::string recipe_holdout;          // what the preset's original leaves out of training, as --holdout has it
  bool one_of_several = false;         // models of one command: those that are finished are left as they are
  std::string resumed_from;            // the folder that --resume takes, where that is not --out but one around it
  int64_t log_every = 50, save_every = 500, inspect_every = 0;
  std::optional<int64_t> eval_every;
  double save_minutes = 10;

  void add(CLI::App& app);                       // the flags: models/flags.cpp
  // Of --steps and --epochs the one on the command line wins over the one of a file or a preset; usage error where
  // neither does.
  void choose_length(CLI::App& app, const std::vector<std::string>& args);
  // The model is that of the file of --init, except for what flags say; not of a resumed run, whose config.toml says
  // all.
  void take_model_of_init(const CLI::App& app);
  // --attention x --alpha x --seed; NAME:X in the list has its own α, and softmax, which has none, trains once a seed
  std::vector<GridMember> grid() const;
  bool takes_alpha() const;                      // whether a member has its exponent from --alpha
  int images_at_a_time() const { return micro_batch ? std::min(micro_batch, batch) : batch; }
  int workers_used() const { return workers.value_or(device.default_workers()); }
  // BigVision's steps()
  int64_t updates(size_t images) const {
    return steps ? steps : std::max<int64_t>(1, std::llround(epochs * double(images) / batch));
  }
  int64_t warmup_steps(int64_t total) const;     // of --warmup, a number or a share
  // Updates between evaluations: --eval-every, else an epoch, or more where that makes more than 20 of them.
  int64_t evaluation_steps(size_t images, int64_t total) const;
  size_t held_out(size_t images) const;          // of --holdout, a number or a share; 0: none
  std::string command_to_resume() const;
};

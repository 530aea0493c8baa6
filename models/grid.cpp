#include "models/grid.h"
#include "engine/console.h"
#include "engine/files.h"
#include "engine/signals.h"
#include "engine/text.h"
#include "models/diagnose.h"
#include "models/estimate.h"
#include "models/run_config.h"
#include "models/training_data.h"
#include "models/training_run.h"

namespace {
namespace fs = std::filesystem;

struct Result {
  GridMember member;
  Evaluation evaluation;
  double images_per_second;
};

std::string table(const std::vector<Result>& results) {
  const bool seeds = results.front().member.one_of_seeds;
  std::string text = fmt::format("{:<12}{:>7}{}{:>14}{:>10}{:>12}{:>20}\n", "attention", "alpha",
                                 seeds ? fmt::format("{:>7}", "seed") : "", "val accuracy", "val loss", "images/s",
                                 "mean row sum of A");
  for (const auto& [m, e, speed] : results) {
    const bool val = e.count > 0;
    text +=
        fmt::format("{:<12}{:>7}{}{:>14}{:>10}{:>12.1f}{:>20}\n", m.attention,
                    m.scaled ? fmt::format("{}", m.alpha) : "-", seeds ? fmt::format("{:>7}", m.seed) : "",
                    val ? fmt::format("{:.2f} %", 100 * e.accuracy()) : "-", val ? fmt::format("{:.4f}", e.loss) : "-",
                    speed, val && !std::isnan(e.row_sum) ? fmt::format("{:.4g}", e.row_sum) : "-");
  }
  return text;
}

// Neither --steps nor --epochs: what is usual, and what that would be.
[[noreturn]] void ask_for_length(TrainOptions& o, const ViTConfig& config, size_t images, double peak) {
  o.epochs = o.init.empty() ? 100 : 10;
  const int64_t steps = o.updates(images);
  fail(ExitCode::usage,
       "--steps or --epochs is missing: how long to train; usual are --epochs 100 from scratch and 10 with --init; of "
       "these {} images --epochs {} "
       "makes {} updates, about {}",
       images, o.epochs, steps, text_of_seconds(training_seconds(o, config, steps, peak)));
}

// Where a run differs from the recipe that its preset names: in what is held out, and in its batch, which updates
// count.
void note_differences(const TrainOptions& o, size_t images) {
  if (!o.recipe_holdout.empty() && o.holdout.empty())
    print_log(
        "note    --preset {}: its original trains without {} of the images\n        and selects on them: --holdout "
        "{}\n",
        o.preset, o.recipe_holdout, o.recipe_holdout);
  if (!o.recipe_batch || o.recipe_batch == o.batch || !o.steps) return;
  const double epochs = double(o.steps) * o.recipe_batch / double(images);
  print_log(
      "note    --preset {} has {} updates at any --batch: {:.3g} epochs at\n        --batch {}, {:.3g} at {}; --epochs "
      "{:.3g} makes {} updates\n",
      o.preset, o.steps, epochs, o.recipe_batch, epochs * o.batch / o.recipe_batch, o.batch, epochs,
      std::llround(epochs * double(images) / o.batch));
}

void check_flags(const TrainOptions& o) {
  if (!o.print_config && o.train.empty()) fail(ExitCode::usage, "--train is required; see train --help");
  if (!o.print_config && o.out.empty()) fail(ExitCode::usage, "--out is required; see train --help");
  if (!o.val.empty() && !o.holdout.empty())
    fail(ExitCode::usage, "--val and --holdout are both given, expected one of them: what to evaluate on");
  if (o.print_config && !o.steps && !o.epochs)
    fail(ExitCode::usage, "--steps or --epochs is missing: how long to train");
}

// The command that shows more of what came of it.
void say_what_is_next(const TrainOptions& o, size_t members) {
  const bool evaluated = !o.val.empty() || !o.holdout.empty();
  const std::string weights =
      shell_word((fs::path(o.out) / (evaluated ? "best.safetensors" : "last.safetensors")).string());
  if (members > 1)
    print_log("next    build/eval report {}\n", shell_word(o.out));
  else if (!o.val.empty())
    print_log("next    build/eval accuracy --checkpoint {} --data {}\n", weights, shell_word(o.val));
  else
    print_log("next    build/eval predict --checkpoint {} IMAGE\n", weights);
}

// Each in a folder of its name, or in --out where there is one.
int train_members(CLI::App& app, const Session& s, ViTConfig config, const std::vector<GridMember>& members,
                  const std::function<void()>& at_start) {
  const TrainOptions& o = s.o;
  const bool grid = members.size() > 1;
  const FolderLock lock(o.out);
  std::vector<std::string> names;
  for (const GridMember& m : members) names.push_back(m.name());
  check_members(o.out, grid ? names : std::vector<std::string>());
  const auto folder_of = [&](const GridMember& m) { return grid ? fs::path(o.out) / m.name() : fs::path(o.out); };
  for (const GridMember& m : members) {
    config.attention = m.attention, config.alpha = m.alpha;
    check_start(folder_of(m), run_identity(o, config, s.train, s.steps, s.warmup, m.seed), s.steps, o.resume,
                grid || o.one_of_several);
  }
  std::vector<Result> results;
  for (const GridMember& m : members) {
    const fs::path folder = folder_of(m);
    std::optional<FolderLock> member_lock;
    if (grid) member_lock.emplace(folder);
    config.attention = m.attention, config.alpha = m.alpha;
    TrainingRun run(s, config, m, folder);
    const auto write_configs = [&] {
      if (&m == &members.front()) at_start();
      if (grid && &m == &members.front()) write_config(o.out, resolved_flags(app, o, config, s.steps, nullptr));
      write_config(folder, resolved_flags(app, o, config, s.steps, &m));
    };
    if (!run.train(write_configs)) return 128 + caught_signal();
    results.push_back({m, run.evaluation(), run.images_per_second()});
  }
  write_result(table(results));
  say_what_is_next(o, members.size());
  return int(ExitCode::ok);
}

}  // namespace

int train_grid(CLI::App& app, TrainOptions& o, const std::function<void()>& at_start) {
  check_flags(o);
  ViTConfig config = o.model.config();
  o.preprocess.image_size = config.image_size;
  const std::vector<GridMember> members = o.grid();
  for (const GridMember& m : members) config.attention = m.attention, config.alpha = m.alpha, check_config(config);
  if (const int unseen = config.image_size % config.patch)
    print_log("note    the last {} rows and columns of pixels are not seen: image size {} is no multiple of patch {}\n",
              unseen, config.image_size, config.patch);

  split_of_folder(o);
  auto device = o.device.open();
  if (o.print_config) return print_config(app, o, config, members, *device);
  const TrainingData data = open_training_data(o);
  config.classes = data.classes;
  const double peak = measured_peak(*device);
  if (!o.steps && !o.epochs) ask_for_length(o, config, data.train.size(), peak);
  note_differences(o, data.train.size());
  Profiler profiler(*device);
  Session s{o,
            o.profile ? profiler : *device,
            data.train,
            data.val ? &*data.val : nullptr,
            o.updates(data.train.size()),
            0,
            0,
            peak,
            o.profile ? &profiler : nullptr};
  s.warmup = o.warmup_steps(s.steps);
  s.eval_every = o.evaluation_steps(data.train.size(), s.steps);
  if (s.val) o.eval_every = s.eval_every;  // for config.toml
  print_log("run     {} updates of {} images ({:.3g} epochs), warm-up {}, {}\n", s.steps, o.batch,
            double(s.steps) * o.batch / double(data.train.size()), s.warmup, workers_text(o.workers_used()));
  print_cost(o, config, s.steps, members.size(), *device, peak);
  for (const std::string& source : {o.train, o.val, o.init})
    if (stays_here(source))
      print_log(
          "note    config.toml keeps the relative path '{}', for this folder's name would be read as a pattern: resume "
          "from here\n",
          source);

  return train_members(app, s, config, members, at_start);
}

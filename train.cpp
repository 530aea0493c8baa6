// build/train: trains Vision Transformers on images. From main() to one run after another; a run is
// models/training_run.h, the flags are in models/flags.cpp.
#include <CLI/CLI.hpp>
#include <fmt/ranges.h>
#include "engine/console.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/machine.h"
#include "engine/program.h"
#include "engine/signals.h"
#include "engine/text.h"
#include "models/grid.h"
#include "models/presets.h"
#include "models/recipes.h"
#include "models/run_config.h"

namespace {

namespace fs = std::filesystem;

// `around` is the folder of several models, of which this is one; `at_start`: see train_grid.
int train(const std::vector<std::string>& args, const std::string& around = "",
          const std::function<void()>& at_start = [] {}) {
  CLI::App app{"Trains a Vision Transformer with any attention function on image shards.", "train"};
  TrainOptions options;
  if (const std::string preset = value_of(args, "--preset"); !preset.empty()) {
    apply_recipe(options, preset, value_of(args, "--model"));
    if (options.steps) options.recipe_batch = options.batch;
  }
  options.add(app);
  options.one_of_several = !around.empty();
  options.resumed_from = around;
  if (!parse(app, with_config_of_run(args))) return int(ExitCode::ok);
  options.choose_length(app, args);
  if (app.count("--steps")) options.recipe_batch = 0;
  options.take_model_of_init(app);
  if (!value_of(args, "--alpha").empty() && !options.takes_alpha())
    fail(ExitCode::usage,
         "--alpha {}: no function of --attention {} takes it; leave it out, or name a function that does, without an "
         "exponent of its own",
         value_of(args, "--alpha"), fmt::join(options.attention, ","));
  return train_grid(app, options, at_start);
}

// Several models, each in a folder of its own in --out: OUT/S-16 for S/16.
int train_models(const std::vector<std::string>& args, const std::vector<std::string>& models) {
  const std::string out = value_of(args, "--out");
  const bool writes = !out.empty() && std::find(args.begin(), args.end(), "--print-config") == args.end();
  std::optional<FolderLock> lock;
  if (writes) lock.emplace(out);
  std::vector<std::string> folders = models;
  for (std::string& folder : folders) std::replace(folder.begin(), folder.end(), '/', '-');
  if (writes) check_members(out, folders);
  for (size_t i = 0; i < models.size(); i++) {
    const std::string &model = models[i], &folder = folders[i];
    std::vector<std::string> own = with_value(args, "--model", model);
    if (!out.empty()) own = with_value(own, "--out", (fs::path(out) / folder).string());
    if (!fs::exists(fs::path(out) / folder / "config.toml")) std::erase(own, "--resume");                // not begun
    print_result("{}{}\n", &model == &models.front() ? "" : "\n", model);
    if (const int status = train(own, out, [&] { if (i == 0) save_arguments(out, args); })) return status;
  }
  return int(ExitCode::ok);
}

}  // namespace

int main(int argc, char** argv) {
  wait_briefly(argv);
  return run_program("train", [&] {
    std::vector<std::string> args = with_saved_arguments(with_folder_of_resume({argv + 1, argv + argc}));
    if (const std::string given = value_of(args, "--model"); !given.empty())
      args = with_value(args, "--model", known_models(given));
    std::vector<std::string> models = split(value_of(args, "--model"), ",");
    if (value_of(args, "--model").empty() && std::find(args.begin(), args.end(), "--help") == args.end())
      models = recipe_models(value_of(args, "--preset"));
    catch_signals();
    return models.size() > 1 ? train_models(args, models) : train(args);
  });
}

#include "models/train_options.h"
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include "engine/attention/families.h"
#include "models/recipes.h"

std::vector<Member> TrainOptions::grid() const {
  std::vector<Member> members;
  for (const std::string& item : attention) {
    const size_t colon = item.find(':');
    const std::string name = item.substr(0, colon);
    std::vector<double> alphas = alpha;
    if (colon != std::string::npos) alphas = {-1};
    if (colon != std::string::npos && !(CLI::detail::lexical_cast(item.substr(colon + 1), alphas[0]) && alphas[0] >= 0))
      fail(ExitCode::usage, "--attention: '{}', expected NAME or NAME:ALPHA with an alpha of at least 0", item);
    const bool scaled = has_alpha(name);
    if (!scaled && colon != std::string::npos) fail(ExitCode::usage, "--attention: '{}': {} has no alpha", item, name);
    if (!scaled) alphas = {1};
    for (double a : alphas) members.push_back({name, a, scaled});
  }
  return members;
}

bool TrainOptions::takes_alpha() const {
  return std::any_of(attention.begin(), attention.end(), [](const std::string& item) { return item.find(':') == item.npos && has_alpha(item); });
}

void TrainOptions::add(CLI::App& app) {
  app.set_config("--config", "", "a TOML file of flags without the dashes; flags on the command line win");
  app.allow_config_extras(false);
  app.add_option("--preset", preset, "a named recipe; flags given as well win: " + recipe_names())->configurable(false);
  app.add_flag("--print-config", print_config, "show the resolved run and what it costs, and do nothing")->configurable(false);
  app.add_option("--train", train, "training images: a shard pattern with braces, a folder, a tar, or a text file of them");
  app.add_option("--val", val, "validation images, likewise");
  app.add_option("--out", out, "run folder: config.toml, metrics, weights, state")->configurable(false);
  app.add_option("--init", init, "weights to start from, as eval --checkpoint has them; the head starts anew where its classes differ, position embeddings are resampled");
  app.add_flag("--resume", resume, "go on where the run in --out was stopped; its flags are those of RUN/config.toml")->configurable(false);
  model.add(app);
  app.add_option("--attention", attention, "attention functions, as NAME or NAME:ALPHA; several train one after another: " + attention_names())->delimiter(',')->capture_default_str()->group("Model");
  app.add_option("--alpha", alpha, "exponents of L in L^-alpha h(s); several train one after another")->delimiter(',')->check(CLI::NonNegativeNumber)->capture_default_str()->group("Model");
  app.add_option("--classes", classes, "classes of the head (default: the class list beside the shards, else the largest label + 1)")->check(CLI::NonNegativeNumber)->group("Model");

  const std::string recipe = "Recipe", run_group = "Run";
  auto* by_steps = app.add_option("--steps", steps, "updates")->check(CLI::PositiveNumber)->group(recipe);
  if (steps) by_steps->capture_default_str();
  app.add_option("--epochs", epochs, "passes over the training images, instead of --steps")->check(CLI::PositiveNumber)->excludes(by_steps)->group(recipe);
  app.add_option("--batch", batch, "images an update")->check(CLI::PositiveNumber)->capture_default_str()->group(recipe);
  app.add_option("--lr", adam.lr, "peak learning rate of Adam")->check(CLI::NonNegativeNumber)->capture_default_str()->group(recipe);
  app.add_option("--weight-decay", adam.weight_decay, "decoupled, times the schedule but not the learning rate: AdamW's is this / lr")->check(CLI::NonNegativeNumber)->capture_default_str()->group(recipe);
  app.add_option("--warmup", warmup, "updates of linear warm-up before the cosine, or a share of all such as 10%")->capture_default_str()->group(recipe);
  app.add_option("--clip", adam.clip, "largest global norm of the gradient; 0: no clipping")->check(CLI::NonNegativeNumber)->capture_default_str()->group(recipe);
  app.add_option("--micro-batch", micro_batch, "images of a batch at a time, for less memory: the gradients are those of the batch, up to rounding; 0: all at once")->check(CLI::NonNegativeNumber)->capture_default_str()->group(run_group);
  app.add_flag("--remat,!--no-remat", rematerialise, "keep of each block its input alone and compute it again in the backward pass: less memory, a third more work, the same bits")->group(run_group);
  app.add_option("--mixup", mixup, "p of Beta(p, p): each batch is mixed with itself shifted by one, with one coefficient; 0: not")->check(CLI::Range(0.0, 1.0))->capture_default_str()->group(recipe);
  app.add_option_function<std::string>("--randaug", [this](const std::string& text) { preprocess.randaug = parse_randaug(text); }, "N,M: N random operations of magnitude M on each training image, as BigVision has them; N,M,repaired without their slips; 0: none")->default_str(to_text(preprocess.randaug))->group(recipe);
  app.add_option("--ema", ema, "decay of a moving average of the weights, such as 0.9999, which is evaluated and kept as best; 0: none")->check(CLI::Range(0.0, 1.0))->capture_default_str()->group(recipe);
  app.add_option("--loss", loss, "softmax or sigmoid cross-entropy")->check(CLI::IsMember({"softmax", "sigmoid"}))->capture_default_str()->group(recipe);
  app.add_option("--crop", preprocess.crop, "inception (random window), pad (4 pixels, random offset) or none")->check(CLI::IsMember({"inception", "pad", "none"}))->capture_default_str()->group(recipe);
  app.add_flag("--flip,!--no-flip", preprocess.flip, "mirror every second image (default on)")->default_str("true")->group(recipe);

  device.add(app, run_group);
  app.add_option("--workers", workers, "threads that decode images ahead; the result is the same for any number")->check(CLI::NonNegativeNumber)->capture_default_str()->group(run_group);
  app.add_option("--seed", seed, "of initialisation, order and augmentation")->capture_default_str()->group(run_group);
  app.add_option("--log-every", log_every, "updates between lines of the metrics")->check(CLI::PositiveNumber)->capture_default_str()->group(run_group);
  app.add_option("--inspect-every", inspect_every, "updates between looks inside attention, which go to inspect.csv and TensorBoard and change no bit; 0: none")->check(CLI::NonNegativeNumber)->capture_default_str()->group(run_group);
  app.add_flag("--profile", profile, "at the end, where the time went: products, attention, normalisation, ...; on a GPU each pass is waited for")->group(run_group);
  app.add_option("--eval-every", eval_every, "updates between evaluations; 0: at the end")->check(CLI::NonNegativeNumber)->capture_default_str()->group(run_group);
  app.add_option("--save-every", save_every, "updates between saves")->check(CLI::PositiveNumber)->capture_default_str()->group(run_group);
}

int64_t TrainOptions::warmup_steps(int64_t total) const {
  size_t end = 0;
  double value = -1;
  try { value = std::stod(warmup, &end); } catch (const std::exception&) {}
  const bool percent = warmup.substr(end) == "%";
  if (!(value >= 0 && value < 1e15) || !(percent || (end == warmup.size() && value == std::floor(value))) || (percent && value >= 100))
    fail(ExitCode::usage, "--warmup: '{}', expected a number of updates or a share such as 10%", warmup);
  const int64_t steps = percent ? std::llround(value / 100 * double(total)) : int64_t(value);
  if (steps >= total) fail(ExitCode::usage, "--warmup: {} updates, expected fewer than the {} of the run", steps, total);
  return steps;
}

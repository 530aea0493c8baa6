// build/train: trains a Vision Transformer on image shards. Read from main() upward: data, model, loop, log; the flags are in models/flags.cpp.
#include <CLI/CLI.hpp>
#include <fmt/ranges.h>
#include <fstream>
#include <set>
#include "data/loader.h"
#include "data/scan_cache.h"
#include "data/source.h"
#include "engine/console.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/machine.h"
#include "engine/metrics.h"
#include "engine/profile.h"
#include "engine/program.h"
#include "engine/progress.h"
#include "engine/schedule.h"
#include "engine/signals.h"
#include "engine/text.h"
#include "models/attention_list.h"
#include "models/checkpoint.h"
#include "models/classes.h"
#include "models/diagnose.h"
#include "models/evaluate.h"
#include "models/init.h"
#include "models/monitor.h"
#include "models/presets.h"
#include "models/recipes.h"
#include "models/run_config.h"
#include "models/train_options.h"
#include "models/train_step.h"
#include "models/weights.h"

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Result {
  GridMember member;
  std::string folder;
  Evaluation evaluation;               // count 0 without --val
  double images_per_second = 0;
};

// Everything a run needs that all members of a grid share.
struct Session {
  const TrainOptions& o;
  Device& device;
  const Index& train;
  const Index* val;
  std::vector<std::string> classes;
  int64_t steps, warmup;
  double peak;
  Profiler* profiler;                  // with --profile
};

// A signal ends it early: then `complete` is false.
Evaluation validate(const Session& s, const ViT& vit, Tape& memory_of) {
  Loader loader(*s.val, {.batch = s.o.batch, .preprocess = s.o.preprocess, .workers = std::max(1, s.o.workers_used()), .on_bad = OnBadImage::skip});
  Evaluation e = evaluate(vit, loader, s.o.loss, [](uint64_t) { return !caught_signal(); }, &memory_of);
  for (const auto& [sample, reason] : loader.bad_samples()) print_log("val     left out {}\n", reason);
  return e;
}

void save(const fs::path& folder, const char* name, const Session& s, const ViT& vit, int64_t step) {
  save_weights(folder / name, vit, s.o.preprocess, s.classes, {{"step", std::to_string(step)}, {"train", s.o.train}});
}

// Trains one member. Returns false if a signal stopped it (everything saved).
bool train_member(const Session& s, const ViTConfig& config, const fs::path& folder, Result& result, const std::function<void()>& write_configs) {
  const TrainOptions& o = s.o;
  ViT vit(s.device, config);
  Adam adam(vit.parameters(), o.adam);
  const Metadata identity = run_identity(o, config, s.train, s.steps, s.warmup);
  const fs::path state_file = folder / "last.state";
  const bool begun = fs::exists(state_file);
  if (!begun) {
    vit.initialise(o.seed);
    if (!o.init.empty()) print_log("init    {}\n", start_from(vit, o.init, s.classes));
  }
  const auto average = o.ema > 0 ? std::make_unique<MovingAverage>(vit.parameters(), o.ema) : nullptr;
  TrainingState state;
  if (begun) require_classes_of_run(folder / "last.safetensors", {"", config.classes, s.classes});
  if (begun) state = load_state(state_file, vit, adam, identity, average.get());
  stop_if_asked();
  if (o.resume && !begun) print_log("note    nothing was saved in {} yet: training begins anew\n", folder.string());
  write_configs();                     // not before it is known that the run can go on
  if (!begun || !state.logs.empty()) cut_logs(folder, state.logs);

  Metrics metrics(folder, {"epoch", "loss", "accuracy", "learning_rate", "gradient_norm", "images_per_second", "data_wait", "val_loss", "val_accuracy"}, state.step);
  std::unique_ptr<Monitor> monitor;
  if (o.inspect_every && is_linear(config.attention)) print_log("note    --inspect-every: {} has no L x L weights to look at\n", config.attention);
  else if (o.inspect_every) monitor = std::make_unique<Monitor>(vit, folder, o.inspect_every, o.micro_batch ? std::min(o.micro_batch, o.batch) : o.batch, state.step, metrics.events());
  Loader loader(s.train, {.batch = o.batch, .train = true, .preprocess = o.preprocess, .seed = o.seed, .start = uint64_t(state.step) * o.batch,
                          .workers = o.workers_used(), .on_bad = OnBadImage::replace});
  TrainStep step(vit, adam, {.loss = o.loss, .micro_batch = o.micro_batch, .rematerialise = o.rematerialise});
  GlobalNorm norm(vit.parameters());
  Progress progress(s.steps);
  progress.say(fmt::format("model   {}, alpha {}: {} parameters, {:.3g} GFLOP an image forward", config.attention, config.alpha, vit.parameters().size(), forward_flops(config) / 1e9));

  const int64_t first_step = state.step;
  if (s.profiler) s.profiler->reset();
  TrainingState::Window& window = state.window;
  std::set<uint64_t> damaged;
  std::set<std::string> listed;        // also before a resume
  std::ifstream list(folder / "damaged.txt");
  for (std::string line; std::getline(list, line);) listed.insert(line);
  int64_t saved = begun && weights_step(folder / "last.safetensors") == state.step ? state.step : -1;

  auto save_all = [&] {
    if (saved == state.step) return;
    if (!std::isfinite(norm.of_values()))           // the last update may have been the one that broke them
      fail(ExitCode::non_finite, "step {}: {}; the checkpoint in {} is from before; try a smaller --lr", state.step, first_non_finite(step.tape(), vit.parameters()), folder.string());
    state.logs = log_sizes(folder, state.logs);
    save_state(state_file, vit, adam, state, identity, average.get());      // first: weights that it lacks it can write again
    save(folder, "last.safetensors", s, vit, state.step);
    saved = state.step;
  };
  auto evaluate_if_due = [&] {
    const bool due = state.step == s.steps || (state.step > 0 && o.eval_every && state.step % o.eval_every == 0);
    if (!s.val || !due || state.evaluated == state.step) return;
    save_all();                        // before it: a signal need not wait for its end
    if (average) average->exchange();
    const Evaluation e = validate(s, vit, step.tape());
    if (e.complete && e.accuracy() > state.best_accuracy) {
      state.best_accuracy = e.accuracy();
      save(folder, "best.safetensors", s, vit, state.step);
    }
    if (average) average->exchange();
    if (!e.complete) return;
    progress.say(fmt::format("val     step {}: accuracy {:.2f} % ({}/{}), loss {:.4f}", state.step, 100 * e.accuracy(), e.correct, e.count, e.loss));
    metrics.add(state.step, {{"val_loss", e.loss}, {"val_accuracy", e.accuracy()}});
    result.evaluation = e;
    state.evaluated = state.step;
    saved = -1;                        // with what is known now
    save_all();
  };

  evaluate_if_due();                   // a run that was stopped before it
  Batch batches[2];                    // one is read while the other is filled
  auto load = [&] {
    std::swap(batches[0], batches[1]);
    loader.next(batches[0]);
    step.load(host_images(batches[0], o.preprocess), multi_hot(batches[0].labels, config.classes));
  };
  if (state.step < s.steps && !caught_signal()) load();
  while (state.step < s.steps && !caught_signal()) {
    const auto start = Clock::now();   // evaluations and saves do not count
    const double multiplier = schedule(state.step, s.steps, s.warmup);
    const bool look = monitor && monitor->due(state.step);
    step.start(multiplier, o.mixup > 0 ? mixup_coefficient(o.mixup, o.seed, state.step) : 1, look ? monitor->probes() : std::span<AttentionProbe* const>());
    const double waited = loader.waited_seconds();
    if (state.step + 1 < s.steps) load();                                // a GPU computes meanwhile
    const auto loaded = Clock::now();
    const StepResult r = step.finish();
    window.wait += std::max(0.0, loader.waited_seconds() - waited - seconds_since(loaded));      // what the device did not need is not lost
    if (!std::isfinite(r.loss) || !std::isfinite(r.gradient_norm))
      fail(ExitCode::non_finite, "step {}: loss {}, gradient norm {}: {}; the checkpoint in {} is from before; try a smaller --lr or --qk-norm",
           state.step, r.loss, r.gradient_norm, step.first_non_finite(), folder.string());
    if (average) average->add();
    if (look) monitor->write(state.step);
    state.step++;
    const double seconds = seconds_since(start);
    state.seconds += seconds;
    if (monitor) monitor->timed(seconds, look);
    window.steps++;
    window.loss += r.loss;
    window.correct += r.correct;
    if (state.step == first_step + 1)
      progress.say(fmt::format("memory  {} MiB of activations and gradients in the first step", step.tape().bytes_held() >> 20));
    for (const auto& [sample, reason] : loader.bad_samples())
      if (damaged.insert(sample).second && listed.insert(reason).second) {
        progress.say("damaged " + reason + "; replaced by the next");
        append_line(folder / "damaged.txt", reason);
      }

    const double images = double(window.steps * o.batch), speed = images / (state.seconds - window.seconds), flops = 3 * forward_flops(config) * speed;
    const double loss = window.loss / double(window.steps), correct = double(window.correct) / images;
    const double wait = window.wait / (state.seconds - window.seconds);
    const bool log = state.step % o.log_every == 0 || state.step == s.steps;
    progress.show(state.step, fmt::format("loss {:.4f}  acc {:.1f} %  {:.1f} img/s  data {:.0f} %  {:.3f} TFLOP/s{}", loss, 100 * correct, speed, 100 * wait,
                                          flops / 1e12, share_of_peak(flops, s.peak)), log);
    if (log) {
      metrics.add(state.step, {{"epoch", double(state.step * o.batch) / double(s.train.size())}, {"loss", loss}, {"accuracy", correct},
                               {"learning_rate", o.adam.lr * multiplier}, {"gradient_norm", r.gradient_norm}, {"images_per_second", speed}, {"data_wait", wait}});
      window = {.seconds = state.seconds};
    }
    evaluate_if_due();
    if (state.step % o.save_every == 0) save_all();
  }
  save_all();
  if (s.profiler)
    for (const std::string& line : split("profile " + s.profiler->table(), "\n")) progress.say(line);
  if (caught_signal()) {
    progress.say(fmt::format("stopped by signal {} at step {}, saved; go on with --resume", caught_signal(), state.step));
    return false;
  }
  if (!listed.empty())
    progress.say(fmt::format("damaged {} image{} replaced; {} lists them", listed.size(),
                             listed.size() == 1 ? " was" : "s were", (folder / "damaged.txt").string()));
  if (monitor) progress.say("inspect " + monitor->cost());
  result.images_per_second = double(s.steps * o.batch) / state.seconds;
  if (average) {
    average->exchange();
    save(folder, "average.safetensors", s, vit, state.step);
  }
  if (s.val && result.evaluation.count == 0) result.evaluation = validate(s, vit, step.tape());           // a finished run, started again
  return true;
}

std::string table(const std::vector<Result>& results) {
  std::string text = fmt::format("{:<12}{:>7}{:>14}{:>10}{:>12}{:>20}\n", "attention", "alpha", "val accuracy", "val loss", "images/s", "mean row sum of A");
  for (const Result& r : results) {
    const bool val = r.evaluation.count > 0;
    text += fmt::format("{:<12}{:>7}{:>14}{:>10}{:>12.1f}{:>20}\n", r.member.attention, r.member.scaled ? fmt::format("{}", r.member.alpha) : "-",
                        val ? fmt::format("{:.2f} %", 100 * r.evaluation.accuracy()) : "-", val ? fmt::format("{:.4f}", r.evaluation.loss) : "-",
                        r.images_per_second, val && !std::isnan(r.evaluation.row_sum) ? fmt::format("{:.4g}", r.evaluation.row_sum) : "-");
  }
  return text;
}

int run(CLI::App& app, TrainOptions& o, const std::function<void()>& at_start) {
  if (!o.print_config && o.train.empty()) fail(ExitCode::usage, "--train is required; see train --help");
  if (!o.print_config && o.out.empty()) fail(ExitCode::usage, "--out is required; see train --help");
  if (!o.steps && !o.epochs) fail(ExitCode::usage, "--steps or --epochs is missing: how long to train");
  ViTConfig config = o.model.config();
  o.preprocess.image_size = config.image_size;
  const std::vector<GridMember> members = o.grid();
  for (const GridMember& m : members) config.attention = m.attention, config.alpha = m.alpha, check_config(config);

  if (const int unseen = config.image_size % config.patch)
    print_log("note    the last {} rows and columns of pixels are not seen: image size {} is no multiple of patch {}\n", unseen, config.image_size, config.patch);

  auto device = o.device.open();
  if (o.print_config) return print_config(app, o, config, members, *device);
  const Index train = Index::open(o.train, default_cache_dir(), o.classes);
  print_log("train   {}\n", train.summary());
  const int known = train.classes().empty() ? train.max_label() + 1 : int(train.classes().size());
  config.classes = o.classes ? o.classes : known;
  train.require_labels_below(config.classes);
  std::optional<Index> val;
  if (!o.val.empty()) val.emplace(open_counting("val", o.val, {"--train", config.classes, train.classes()}));
  Profiler profiler(*device);
  Session s{o, o.profile ? profiler : *device, train, val ? &*val : nullptr, train.classes(), 0, 0, measured_peak(*device), o.profile ? &profiler : nullptr};
  s.steps = o.updates(train.size());
  s.warmup = o.warmup_steps(s.steps);
  print_log("run     {} updates of {} images ({:.3g} epochs), warm-up {}, measured peak {}, {}\n", s.steps, o.batch,
             double(s.steps) * o.batch / double(train.size()), s.warmup, text_of_peak(s.peak), workers_text(o.workers_used()));

  for (const std::string& source : {o.train, o.val, o.init})
    if (stays_here(source))
      print_log("note    config.toml keeps the relative path '{}', for this folder's name would be read as a pattern: resume from here\n", source);

  const bool grid = members.size() > 1;
  const FolderLock lock(o.out);        // whatever a start could destroy is refused before anything is written
  std::vector<std::string> names;
  for (const GridMember& m : members) names.push_back(m.name());
  check_members(o.out, grid ? names : std::vector<std::string>());
  const auto folder_of = [&](const GridMember& m) { return grid ? fs::path(o.out) / m.name() : fs::path(o.out); };
  for (const GridMember& m : members) {
    config.attention = m.attention, config.alpha = m.alpha;
    check_start(folder_of(m), run_identity(o, config, train, s.steps, s.warmup), s.steps, o.resume, grid || o.one_of_several);
  }

  std::vector<Result> results;
  for (const GridMember& m : members) {
    const fs::path folder = folder_of(m);
    std::optional<FolderLock> member_lock;
    if (grid) member_lock.emplace(folder);
    config.attention = m.attention, config.alpha = m.alpha;
    results.push_back({m, folder.string(), {}, 0});
    auto write_configs = [&] {
      if (&m == &members.front()) at_start();
      if (grid && &m == &members.front()) write_config(o.out, resolved_flags(app, config, s.steps, nullptr));
      write_config(folder, resolved_flags(app, config, s.steps, &m));
    };
    if (!train_member(s, config, folder, results.back(), write_configs)) return 128 + caught_signal();
  }
  write_result(table(results));
  return int(ExitCode::ok);
}

// `at_start` is called once nothing can refuse the run any more.
int train(const std::vector<std::string>& args, bool one_of_several = false,
          const std::function<void()>& at_start = [] {}) {
  CLI::App app{"Trains a Vision Transformer with any attention function on image shards.", "train"};
  TrainOptions options;
  if (const std::string preset = value_of(args, "--preset"); !preset.empty()) apply_recipe(options, preset, value_of(args, "--model"));
  options.add(app);
  options.one_of_several = one_of_several;
  if (!parse(app, with_config_of_run(args))) return int(ExitCode::ok);
  options.choose_length(app, args);
  if (!value_of(args, "--alpha").empty() && !options.takes_alpha())
    fail(ExitCode::usage, "--alpha {}: no function of --attention {} takes it; leave it out, or name a function that does, without an exponent of its own", value_of(args, "--alpha"), fmt::join(options.attention, ","));
  return run(app, options, at_start);
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
    if (const int status = train(own, true, [&] { if (i == 0) save_arguments(out, args); })) return status;
  }
  return int(ExitCode::ok);
}

}  // namespace

int main(int argc, char** argv) {
  wait_briefly(argv);
  return run_program("train", [&] {
    std::vector<std::string> args = with_saved_arguments({argv + 1, argv + argc});
    if (const std::string given = value_of(args, "--model"); !given.empty())
      args = with_value(args, "--model", known_models(given));
    std::vector<std::string> models = split(value_of(args, "--model"), ",");
    if (value_of(args, "--model").empty() && std::find(args.begin(), args.end(), "--help") == args.end()) models = recipe_models(value_of(args, "--preset"));
    catch_signals();
    return models.size() > 1 ? train_models(args, models) : train(args);
  });
}

#include "models/training_run.h"
#include <fstream>
#include "engine/console.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/schedule.h"
#include "engine/signals.h"
#include "engine/text.h"
#include "models/attention/list.h"
#include "models/classes.h"
#include "models/diagnose.h"
#include "models/init.h"
#include "models/run_config.h"

namespace {
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }
}  // namespace

TrainingRun::TrainingRun(const Session& session, const ViTConfig& config, const GridMember& member, fs::path folder)
    : s_(session),
      o_(session.o),
      member_(member),
      folder_(std::move(folder)),
      state_file_(folder_ / "last.state"),
      vit_(s_.device, config),
      adam_(vit_.parameters(), o_.adam),
      identity_(run_identity(o_, config, s_.train, s_.steps, s_.warmup, member.seed)),
      begun_(fs::exists(state_file_)),
      step_(vit_, adam_, {.loss = o_.loss, .micro_batch = o_.micro_batch, .rematerialise = o_.rematerialise}),
      norm_(vit_.parameters()),
      progress_(s_.steps) {
  if (!begun_) {
    vit_.initialise(member_.seed);
    if (!o_.init.empty()) print_log("init    {}\n", start_from(vit_, o_.init, s_.train.classes()));
  }
  if (o_.ema > 0) average_ = std::make_unique<MovingAverage>(vit_.parameters(), o_.ema);
  if (begun_) {
    require_classes_of_run(folder_ / "last.safetensors", {"", config.classes, s_.train.classes()});
    state_ = load_state(state_file_, vit_, adam_, identity_, average_.get());
    if (weights_step(folder_ / "last.safetensors") == state_.step) saved_ = state_.step;
  }
  first_step_ = state_.step;
  stop_if_asked();
}

bool TrainingRun::train(const std::function<void()>& at_start) {
  if (o_.resume && !begun_) print_log("note    nothing was saved in {} yet: training begins anew\n", folder_.string());
  at_start();
  if (!begun_ || !state_.logs.empty()) cut_logs(folder_, state_.logs);
  if (finished()) {
    end_again();
    return true;
  }
  open_logs();
  const ViTConfig& c = vit_.config();
  progress_.say(fmt::format("model   {}{}: {} parameters, {:.3g} GFLOP an image forward", c.attention,
                            member_.scaled ? fmt::format(", alpha {}", c.alpha) : "", vit_.parameters().size(),
                            forward_flops(c) / 1e9));
  if (s_.profiler) s_.profiler->reset();
  last_save_ = Clock::now();
  if (evaluation_is_due()) evaluate_and_save();  // a run that was stopped before it
  if (state_.step < s_.steps && !caught_signal()) {
    progress_.show(state_.step, fmt::format("update {} of {} is on its way", state_.step + 1, s_.steps));
    load();
  }
  while (state_.step < s_.steps && !caught_signal()) update();
  save_all();
  if (s_.profiler)
    for (const std::string& line : split("profile " + s_.profiler->table(), "\n")) progress_.say(line);
  if (caught_signal()) {
    progress_.say(fmt::format("stopped by signal {} at step {}, saved; go on with", caught_signal(), state_.step));
    progress_.say(o_.command_to_resume());
    return false;
  }
  end();
  return true;
}

void TrainingRun::open_logs() {
  metrics_ =
      std::make_unique<Metrics>(folder_,
                                std::vector<std::string>{"epoch", "loss", "accuracy", "learning_rate", "gradient_norm",
                                                         "images_per_second", "data_wait", "val_loss", "val_accuracy"},
                                state_.step);
  if (o_.inspect_every && is_linear(vit_.config().attention))
    print_log("note    --inspect-every: {} has no L x L weights to look at\n", vit_.config().attention);
  else if (o_.inspect_every)
    monitor_ = std::make_unique<Monitor>(vit_, folder_, o_.inspect_every,
                                         o_.images_at_a_time(), state_.step,
                                         metrics_->events());
  std::ifstream list(folder_ / "damaged.txt");
  for (std::string line; std::getline(list, line);) listed_.insert(line);
  loader_ = std::make_unique<Loader>(s_.train, LoaderOptions{.batch = o_.batch,
                                                             .train = true,
                                                             .preprocess = o_.preprocess,
                                                             .seed = member_.seed,
                                                             .start = uint64_t(state_.step) * o_.batch,
                                                             .workers = o_.workers_used(),
                                                             .on_bad = OnBadImage::replace});
}

void TrainingRun::load() {
  std::swap(batches_[0], batches_[1]);
  loader_->next(batches_[0]);
  step_.load(host_images(batches_[0].images, vit_.config()), multi_hot(batches_[0].labels, vit_.config().classes));
}

// One update; evaluations and saves that are due after it do not count as its time.
void TrainingRun::update() {
  const auto start = Clock::now();
  const double multiplier = schedule(state_.step, s_.steps, s_.warmup);
  const bool look = monitor_ && monitor_->due(state_.step);
  step_.start(multiplier, o_.mixup > 0 ? mixup_coefficient(o_.mixup, member_.seed, state_.step) : 1,
              look ? monitor_->probes() : std::span<AttentionProbe* const>());
  const double waited = loader_->waited_seconds();
  if (state_.step + 1 < s_.steps) load();  // a GPU computes meanwhile
  const auto loaded = Clock::now();
  const StepResult r = step_.finish();
  TrainingState::Window& window = state_.window;
  window.wait += std::max(
      0.0, loader_->waited_seconds() - waited - seconds_since(loaded));  // what the device did not need is not lost
  if (!std::isfinite(r.loss) || !std::isfinite(r.gradient_norm))
    fail(ExitCode::non_finite, "step {}: loss {}, gradient norm {}: {}; {}; try a smaller --lr or --qk-norm",
         state_.step, r.loss, r.gradient_norm, step_.first_non_finite(), what_is_saved());
  if (average_) average_->add();
  if (look) monitor_->write(state_.step);
  if (state_.step == 0) state_.first_loss = r.loss;
  state_.step++;
  const double seconds = seconds_since(start);
  state_.seconds += seconds;
  if (monitor_) monitor_->timed(seconds, look);
  window.steps++;
  window.loss += r.loss;
  window.correct += r.correct;
  if (state_.step == first_step_ + 1)
    progress_.say(
        fmt::format("memory  {} MiB of activations and gradients in the first step", step_.tape().bytes_held() >> 20));
  list_damaged();
  report(r, multiplier);
  if (evaluation_is_due()) evaluate_and_save();
  save_if_due();
}

void TrainingRun::report(const StepResult& r, double multiplier) {
  TrainingState::Window& window = state_.window;
  const double images = double(window.steps * o_.batch), seconds = state_.seconds - window.seconds,
               speed = images / seconds;
  const double correct = double(window.correct) / images, wait = window.wait / seconds,
               flops = 3 * forward_flops(vit_.config()) * speed;
  last_loss_ = window.loss / double(window.steps);
  const bool log = state_.step % o_.log_every == 0 || state_.step == s_.steps;
  progress_.show(state_.step,
                 fmt::format("loss {:.4f}  acc {:.1f} %  {:.1f} img/s  data {:.0f} %  {:.3f} TFLOP/s{}", last_loss_,
                             100 * correct, speed, 100 * wait, flops / 1e12, share_of_peak(flops, s_.peak)),
                 log);
  if (!log) return;
  metrics_->add(state_.step, {{"epoch", double(state_.step * o_.batch) / double(s_.train.size())},
                              {"loss", last_loss_},
                              {"accuracy", correct},
                              {"learning_rate", o_.adam.lr * multiplier},
                              {"gradient_norm", r.gradient_norm},
                              {"images_per_second", speed},
                              {"data_wait", wait}});
  window = {.seconds = state_.seconds};
}

void TrainingRun::list_damaged() {
  for (const auto& [sample, reason] : loader_->bad_samples())
    if (damaged_.insert(sample).second && listed_.insert(reason).second) {
      progress_.say("damaged " + reason + "; replaced by the next");
      append_line(folder_ / "damaged.txt", reason);
    }
}

std::string TrainingRun::what_is_saved() const {
  if (!fs::exists(state_file_)) return fmt::format("nothing was saved in {} yet", folder_.string());
  return fmt::format("what {} holds is from step {}, before it", folder_.string(), saved_step(state_file_));
}

void TrainingRun::save(const char* name) const {
  save_weights(folder_ / name, vit_, o_.preprocess, s_.train.classes(),
               {{"step", std::to_string(state_.step)}, {"train", o_.train}});
}

void TrainingRun::save_if_due() {
  if (state_.step % o_.save_every == 0 || seconds_since(last_save_) >= 60 * o_.save_minutes) save_all();
}

void TrainingRun::save_all() {
  last_save_ = Clock::now();
  if (saved_ == state_.step) return;
  if (state_.step > first_step_ && !std::isfinite(norm_.of_values()))  // the last update may have broken them
    fail(ExitCode::non_finite, "step {}: {}; {}; try a smaller --lr", state_.step, step_.first_non_finite(),
         what_is_saved());
  state_.logs = log_sizes(folder_, state_.logs);
  save_state(state_file_, vit_, adam_, state_, identity_,
             average_.get());  // first: weights that it lacks it can write again
  save("last.safetensors");
  saved_ = state_.step;
}

bool TrainingRun::evaluation_is_due() const {
  const bool due = state_.step == s_.steps || (state_.step > 0 && s_.eval_every && state_.step % s_.eval_every == 0);
  return s_.val && due && state_.evaluated != state_.step;
}

void TrainingRun::evaluate_and_save() {
  save_all();  // before it: a signal need not wait for its end
  if (average_) average_->exchange();
  const Evaluation e = validate();
  if (e.complete && e.accuracy() > state_.best_accuracy) {
    state_.best_accuracy = e.accuracy();
    save("best.safetensors");
  }
  if (average_) average_->exchange();
  if (!e.complete) return;
  progress_.say(fmt::format("val     step {}: accuracy {:.2f} % ({}/{}), loss {:.4f}", state_.step, 100 * e.accuracy(),
                            e.correct, e.count, e.loss));
  metrics_->add(state_.step, {{"val_loss", e.loss}, {"val_accuracy", e.accuracy()}});
  evaluation_ = e;
  state_.evaluated = state_.step;
  saved_ = -1;  // with what is known now
  save_all();
}

Evaluation TrainingRun::validate() {
  Loader loader(*s_.val, {.batch = o_.batch,
                          .preprocess = o_.preprocess,
                          .workers = std::max(1, o_.workers_used()),
                          .on_bad = OnBadImage::skip});
  Evaluation e = evaluate(
      vit_, loader, o_.loss, [](uint64_t) { return !caught_signal(); }, &step_.tape());
  for (const auto& [sample, reason] : loader.bad_samples()) print_log("val     left out {}\n", reason);
  return e;
}

void TrainingRun::end() {
  if (!listed_.empty())
    progress_.say(fmt::format("damaged {} image{} replaced; {} lists them", listed_.size(),
                              listed_.size() == 1 ? " was" : "s were", (folder_ / "damaged.txt").string()));
  if (monitor_) progress_.say("inspect " + monitor_->cost());
  if (state_.first_loss < last_loss_)
    progress_.say(fmt::format(
        "note    the loss ended at {:.4f}, above the {:.4f} of its start: nothing was learned; try a smaller --lr",
        last_loss_, state_.first_loss));
  keep_average();
  say_what_came_of_it();
}

void TrainingRun::keep_average() {
  if (!average_) return;
  average_->exchange();
  save("average.safetensors");
}

// Its table has what it had then, but nothing is trained.
void TrainingRun::end_again() {
  save_all();  // where last.safetensors is not there any more
  keep_average();
  if (s_.val) evaluation_ = validate();
  print_log("{:<7} finished already (step {}){}\n", member_.name(), state_.step,
            s_.val ? fmt::format(", {:.2f} %", 100 * evaluation_.accuracy()) : "");
  say_what_came_of_it();
}

void TrainingRun::say_what_came_of_it() {
  const fs::path best = folder_ / "best.safetensors";
  if (!s_.val)
    print_log("weights {} (without --val there is no best)\n", (folder_ / "last.safetensors").string());
  else if (fs::exists(best))
    print_log("best    step {}, {:.2f} %: {}\n", weights_step(best), 100 * state_.best_accuracy, best.string());
}

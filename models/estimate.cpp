#include "models/estimate.h"
#include <algorithm>
#include <bit>
#include "data/index.h"
#include "data/shards/scan_cache.h"
#include "engine/console.h"
#include "engine/machine.h"
#include "models/diagnose.h"
#include "models/run_config.h"
#include "models/vit.h"

namespace {

constexpr double usual_share = 0.7;  // of the peak

// Whole batches of images that are held at once, as bytes: three that are made ready, two that are taken, and those of
// an evaluation; also two on a device with memory of its own, and as values what mixup makes of one.
double held_batches(const TrainOptions& o, const Device& device) {
  const bool evaluates = !o.val.empty() || !o.holdout.empty();
  return 5.0 + 4 * (o.mixup > 0) + 1.3 * evaluates + 2 * !device.is_host();
}

double training_flops(const TrainOptions& o, const ViTConfig& c, int64_t steps) {
  return (o.rematerialise ? 4 : 3) * forward_flops(c) * o.batch * double(steps);
}

// What would make it fit into the memory of this machine; empty where it does, or where nothing is known.
std::string advice(const TrainOptions& o, const ViTConfig& c, const Device& device) {
  const double limit = usable_memory();
  if (!device.is_host() || training_bytes(o, c, o.images_at_a_time(), device) <= limit) return "";
  const int fits = fitting_micro_batch(o, c, device, limit);
  if (!fits) return fmt::format("more than the {} here; take a smaller --batch or model", text_of_bytes(limit));
  return fmt::format("more than the {} here; with --micro-batch {}: {}", text_of_bytes(limit), fits,
                     text_of_bytes(training_bytes(o, c, fits, device)));
}

}  // namespace

// Parameters with their two moments and, with --ema, their average, and activations, whose place the gradients take;
// where those are more, the gradients.
double training_bytes(const TrainOptions& o, const ViTConfig& c, int images, const Device& device) {
  const double parameters = double(parameter_count(c)), batch = 3.0 * c.image_size * c.image_size * o.batch;
  const bool rounded = device.rounds_operands();
  return (o.ema > 0 ? 14 : 10) * parameters +
         std::max(4 * parameters, kept_bytes(c, o.rematerialise, rounded) * images) + held_batches(o, device) * batch;
}

double training_seconds(const TrainOptions& o, const ViTConfig& c, int64_t steps, double peak) {
  return peak > 0 ? training_flops(o, c, steps) / (usual_share * peak) : 0;
}

int fitting_micro_batch(const TrainOptions& o, const ViTConfig& c, const Device& device, double bytes) {
  for (int images = int(std::bit_floor(unsigned(o.batch))); images > 0; images /= 2)
    if (training_bytes(o, c, images, device) <= bytes) return images;
  return 0;
}

std::string text_of_bytes(double bytes) {
  if (bytes < double(1 << 30)) return fmt::format("{:.0f} MiB", std::ceil(bytes / (1 << 20)));
  return fmt::format("{:.3g} GiB", bytes / (1 << 30));
}

std::string text_of_seconds(double seconds) {
  if (!(seconds > 0)) return "unknown";
  constexpr struct {
    double seconds;
    const char* name;
  } units[] = {{365.25 * 86400, "years"}, {86400, "days"}, {3600, "hours"}, {60, "min"}};
  for (const auto& unit : units)
    if (const double count = seconds / unit.seconds; count >= 2)
      return fmt::format("{:.{}f} {}", count, count < 9.95 ? 1 : 0, unit.name);
  return fmt::format("{:.0f} s", std::ceil(seconds));
}

int print_config(CLI::App& app, const TrainOptions& o, ViTConfig config, const std::vector<GridMember>& members,
                 Device& device) {
  if (o.classes) config.classes = o.classes;
  write_result(resolved_flags(app, o, config, 0, nullptr));
  int64_t steps = o.steps;
  if (!steps && !o.train.empty()) {
    const size_t images = Index::open(o.train, default_cache_dir()).size();
    steps = o.updates(images - std::min(images, o.held_out(images)));
  }
  const double peak = measured_peak(device);
  const int images = o.images_at_a_time();
  print_result(
      "\nmembers               {}\nparameters            {:.0f}\ntokens L              {}\nforward, one image    "
      "{:.4g} GFLOP\n",
      members.size(), double(parameter_count(config)), config.tokens(), forward_flops(config) / 1e9);
  print_result("memory, about         {} ({} images at a time)\n",
               text_of_bytes(training_bytes(o, config, images, device)), images);
  if (const std::string more = advice(o, config, device); !more.empty())
    print_result("                      {}\n", more);
  if (!steps) {
    print_result("updates               --epochs {} of the images in --train\n", o.epochs);
    return int(ExitCode::ok);
  }
  const bool other_batch = o.steps && o.recipe_batch && o.recipe_batch != o.batch;
  print_result("updates               {}{}, warm-up {}\nwork, one member      {:.4g} PFLOP\n", steps,
               other_batch ? fmt::format(" as at --batch {}; --epochs makes others", o.recipe_batch) : "",
               o.warmup_steps(steps), training_flops(o, config, steps) / 1e15);
  print_result("time, one member      about {} at {:.0f} % of the {} measured here\n",
               text_of_seconds(training_seconds(o, config, steps, peak)), 100 * usual_share, text_of_peak(peak));
  return int(ExitCode::ok);
}

void print_cost(const TrainOptions& o, const ViTConfig& c, int64_t steps, size_t members, const Device& device,
                double peak) {
  const std::string bytes = text_of_bytes(training_bytes(o, c, o.images_at_a_time(), device));
  const double seconds = training_seconds(o, c, steps, peak);
  print_log("cost    {}{}, {} of memory\n", members > 1 ? fmt::format("{} members, each ", members) : "",
            seconds > 0 ? fmt::format("about {} at {:.0f} % of {}", text_of_seconds(seconds), 100 * usual_share,
                                      text_of_peak(peak))
                        : std::string("time unknown"),
            bytes);
  if (const std::string more = advice(o, c, device); !more.empty()) print_log("memory  {}\n", more);
}

#include "tests/bench/table.h"
#include <sys/wait.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include "engine/console.h"
#include "engine/error.h"
#include "engine/profile.h"
#include "engine/text.h"
#include "models/diagnose.h"
#include "models/presets.h"
#include "models/train_step.h"
#include "tests/bench/peak_memory.h"
#include "tests/synthetic.h"

namespace {

using Clock = std::chrono::steady_clock;
double seconds_of(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One line, in the process that calls it.
void line(const std::string& name, int batch, const std::string& function, const std::string& precision, int rounds) {
  auto device = make_cpu(0, precision == "bf16" ? Precision::bf16 : Precision::f32);
  Profiler profiler(*device);
  const double peak = measured_peak(*device);
  const ViTConfig config = bench_model(name, function);
  ViT vit(profiler, config);
  vit.initialise(0);
  const auto [bytes, labels] = made_up_pixels(config, batch);
  const HostImages images(bytes, config.mean, config.std);
  Adam adam(vit.parameters(), {});
  double train = INFINITY, infer = INFINITY;
  std::string parts;
  {
    TrainStep step(vit, adam, {.loss = "softmax"});
    const double first = seconds_of([&] { step(images, labels, 1e-3); });
    const int steps = std::max(1, int(1 / first));
    for (int round = 0; round < rounds; round++) {
      profiler.reset();
      const double s = seconds_of([&] { for (int i = 0; i < steps; i++) step(images, labels, 1e-3); });
      if (s / steps < train) train = s / steps, parts = profiler.table(s);
    }
  }
  const double memory = peak_megabytes();                 // of training: before inference asks for its own
  Tape tape(profiler, false);
  tape.keep_leaves();
  for (int round = 0; round <= rounds; round++)
    infer = std::min(infer, seconds_of([&] {
      tape.clear();
      tape.download(vit.forward(tape, images_leaf(tape, {batch, config.image_size, config.image_size, 3}, images)));
    }));
  const double flops = 3 * forward_flops(config) * batch / train;
  print_result("{:<6}{:>6} {:<10}{:<6}{:>9.1f}{:>9.1f}{:>9.3f}{:>6.0f} %{:>8.0f}  {}\n", name, batch, function,
               precision, batch / train, batch / infer, flops / 1e12, 100 * flops / peak, memory, parts);
}

}  // namespace

ViTConfig bench_model(const std::string& name, const std::string& attention) {
  ViTConfig config{.pool = "cls", .attention = attention};
  const std::pair<const char*, const char*> variants[] = {
      {"ti16", "Ti/16"}, {"s16", "S/16"}, {"s32", "S/32"}, {"b16", "B/16"}, {"s8", "S/8"}};
  if (name == "cifar")
    return {.image_size = 32,
            .patch = 4,
            .width = 192,
            .depth = 6,
            .heads = 3,
            .mlp_width = 768,
            .classes = 10,
            .attention = attention};
  if (name == "tiny")
    return {.image_size = 16, .patch = 4, .width = 64, .depth = 2, .heads = 1, .mlp_width = 256, .classes = 10,
            .attention = attention};
  for (const auto& [short_name, variant] : variants)
    if (name == short_name) {
      set_variant(config, variant);
      return config;
    }
  fail(ExitCode::usage, "--model: '{}' is unknown, expected tiny, cifar, ti16, s16, s32, b16 or s8{}", name,
       did_you_mean(name, "tiny, cifar, ti16, s16, s32, b16, s8"));
}

void bench_table(const TableBench& o) {
  print_result("{:<6}{:>6} {:<10}{:<6}{:>9}{:>9}{:>9}{:>8}{:>8}  {}\n", "model", "batch", "attention", "", "train/s",
               "infer/s", "TFLOP/s", "of peak", "MB", "a training step");
  for (const std::string& model : o.models)
    for (const std::string& precision : o.precisions)
      for (const std::string& function : o.functions) {
        const size_t colon = model.find(':');
        int batch = 0;
        if (colon == model.npos || !CLI::detail::lexical_cast(model.substr(colon + 1), batch) || batch < 1)
          fail(ExitCode::usage, "--models: '{}', expected NAME:BATCH", model);
        const pid_t child = fork();                          // memory counts from zero
        if (child == 0) {
          try {
            line(model.substr(0, colon), batch, function, precision, o.rounds);
            check_results();
          } catch (const std::exception& e) {
            print_log("bench: {}\n", e.what());
            _exit(1);
          }
          _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status) fail(ExitCode::failed, "bench: {} {} {} ended with status {}", model, function, precision, status);
      }
}

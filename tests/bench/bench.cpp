// build/bench roofline: predicted training steps on GPUs. build/bench kernels: one as ncu measured it, beside that.
// build/bench gpu: kernels of the CUDA device against its own peaks.
// build/bench table: training and inference of several models. build/bench attention: the attention op alone.
// build/bench growth: how a training step grows with tokens, batch and width.
// build/bench loader: images/s of reading, decoding and preparing the images of a source.
// build/bench worker: one contender of an interleaved benchmark. Reads "train N", "infer N" or "quit" lines and answers
// each with one JSON line: seconds for N steps and the peak memory; the first line, once it is ready, has the GFLOP of
// training on an image. Synthetic images and labels; a training step is forward, backward and Adam, the same TrainStep
// as in build/train.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <chrono>
#include <iostream>
#include "engine/console.h"
#include "engine/error.h"
#include "engine/flags.h"
#include "engine/machine.h"
#include "engine/profile.h"
#include "engine/program.h"
#include "models/attention/list.h"
#include "models/model_flags.h"
#include "models/train_step.h"
#include "tests/bench/attention.h"
#include "tests/bench/gpu.h"
#include "tests/bench/growth.h"
#include "tests/bench/kernels.h"
#include "tests/bench/loader.h"
#include "tests/bench/peak_memory.h"
#include "tests/bench/roofline.h"
#include "tests/bench/table.h"
#include "tests/synthetic.h"

namespace {

// With `profile`, each answer is followed on stderr by where its time went.
void work(const ViTConfig& config, int batch, const DeviceFlags& flags, bool profile) {
  auto opened = flags.open();
  Profiler profiler(*opened);
  Device* const device = profile ? &profiler : opened.get();
  ViT vit(*device, config);
  vit.initialise(0);
  const auto [bytes, labels] = made_up_pixels(config, batch);
  const HostImages images(bytes, config.mean, config.std);
  Adam adam(vit.parameters(), {.lr = 1e-4, .weight_decay = 0, .clip = 0});
  TrainStep train(vit, adam, {.loss = "softmax"});
  Tape inference(*device, false);
  inference.keep_leaves();

  const double gflop = 3e-9 * forward_flops(config);
  print_result("{{\"ready\": 1, \"base\": {:.1f}, \"gflop\": {:.4g}}}\n", peak_megabytes(), gflop);
  for (std::string mode; std::cin >> mode && mode != "quit";) {
    int steps = 0;
    if (!(std::cin >> steps) || (mode != "train" && mode != "infer"))
      fail(ExitCode::usage, "bench worker: expected 'train N', 'infer N' or 'quit'");
    profiler.reset();
    const auto start = std::chrono::steady_clock::now();
    if (mode == "train") train.load(images, labels);
    for (int i = 0; i < steps; i++) {
      if (mode == "train") {
        train.start(1);
        if (i + 1 < steps) train.load(images, labels);                     // as build/train does
        train.finish();
      } else {
        inference.clear();
        inference.download(
            vit.forward(inference, images_leaf(inference, {batch, config.image_size, config.image_size, 3}, images)));
      }
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    print_result("{{\"s\": {:.6f}, \"rss\": {:.1f}}}\n", seconds.count(), peak_megabytes());
    if (!profile) continue;
    write_log(profiler.table(seconds.count()) + "\n");
    for (const Profiler::Pass& pass : profiler.passes())
      print_log("  {:>9.3f} ms {:>5} calls  {}\n", 1e3 * pass.seconds / steps, pass.calls / steps, pass.name);
  }
}

void bench(int argc, char** argv) {
  CLI::App app{"Speed of training and inference on synthetic images", "bench"};
  set_up_help(app, "Flags");
  app.require_subcommand(1);
  std::string model = "s16", attention = "softmax";
  int batch = 16;
  DeviceFlags device;
  CLI::App* worker =
      app.add_subcommand("worker", "answers 'train N', 'infer N', 'quit' on stdin with one JSON line each");
  worker->add_option("--model", model, "tiny, cifar, ti16, s16, s32, b16 or s8")->capture_default_str();
  worker->add_option("--batch", batch, "images a step")->check(whole_number(1, 1'000'000))->capture_default_str();
  worker->add_option("--attention", attention, "attention function")
      ->transform(as_known(known_attention))
      ->capture_default_str();
  bool profile = false;
  worker->add_flag("--profile", profile, "where the time goes, on stderr");
  device.add(*worker);
  CLI::App* roofline = app.add_subcommand("roofline", "predicted training steps on GPUs");
  std::string shown, precision = "bf16", csv;
  bool qk_norm = false;
  roofline->add_option("--model", shown, "one step of this model, part by part; names as of worker --model");
  CLI::App* kernels = app.add_subcommand(
      "kernels",
      "the kernels of a training step as ncu measured them (--csv --page raw --print-units base), beside the model");
  kernels->add_option("CSV", csv, "what ncu printed of two steps or more")->required();
  kernels->add_option("--model", model, "names as of worker --model")->capture_default_str();
  for (CLI::App* step : {roofline, kernels}) {
    step->add_option("--batch", batch, "images a step")->check(whole_number(1, 1'000'000))->capture_default_str();
    step->add_option("--attention", attention, "attention function")
        ->transform(as_known(known_attention))
        ->capture_default_str();
    step->add_option("--precision", precision, "bf16, tf32 or f32")
        ->transform(one_of({"bf16", "tf32", "f32"}))
        ->capture_default_str();
    step->add_flag("--qk-norm", qk_norm, "LayerNorm over each head of q and k");
  }
  GpuBench on_gpu;
  CLI::App* gpu = app.add_subcommand("gpu", "products, memory-bound passes and attention on the first GPU");
  gpu->add_option("--images", on_gpu.images, "of 196 tokens; an eighth of them for attention")
      ->check(whole_number(1, 1'000'000))->capture_default_str();
  gpu->add_option("--lengths", on_gpu.lengths, "tokens L of attention")
      ->check(whole_number(1, 1'000'000))
      ->delimiter(',')
      ->capture_default_str();
  TableBench lines;
  CLI::App* table = app.add_subcommand("table", "training and inference of several models on the CPU, a line each");
  table->add_option("--models", lines.models, "NAME:BATCH; names as of worker --model")
      ->delimiter(',')
      ->capture_default_str();
  table->add_option("--functions", lines.functions, "attention functions")
      ->delimiter(',')
      ->transform(as_known(known_attention))
      ->capture_default_str();
  table->add_option("--precisions", lines.precisions, "f32, bf16")->delimiter(',')->capture_default_str();
  table->add_option("--rounds", lines.rounds, "the best counts")
      ->check(whole_number(1, 1'000'000))
      ->capture_default_str();
  AttentionBench attentions;
  CLI::App* attention_only = app.add_subcommand("attention", "the attention op alone, forward and backward");
  attention_only->add_option("--lengths", attentions.lengths, "tokens L")
      ->check(whole_number(1, 1'000'000))
      ->delimiter(',')
      ->capture_default_str();
  attention_only->add_option("--functions", attentions.functions, "attention functions")
      ->delimiter(',')
      ->transform(as_known(known_attention))
      ->capture_default_str();
  attention_only->add_option("--batch", attentions.batch, "images")
      ->check(whole_number(1, 1'000'000))
      ->capture_default_str();
  device.add(*attention_only);
  GrowthBench growths;
  CLI::App* growth = app.add_subcommand("growth", "how the time of a training step grows with tokens, batch and width");
  growth->add_option("--attention", growths.attention, "attention function")
      ->transform(as_known(known_attention))
      ->capture_default_str();
  growth->add_option("--tokens", growths.tokens, "some of 49, 196, 784, 3136")
      ->check(whole_number(1, 1'000'000))
      ->delimiter(',')
      ->capture_default_str();
  growth->add_option("--batches", growths.batches, "images")
      ->delimiter(',')
      ->check(whole_number(1, 1'000'000))
      ->capture_default_str();
  growth->add_option("--widths", growths.widths, "multiples of 64")
      ->delimiter(',')
      ->check(whole_number(1, 1'000'000))
      ->capture_default_str();
  device.add(*growth);
  LoaderBench images;
  CLI::App* loader = app.add_subcommand("loader", "images/s of the loader on a source, and what an image costs");
  loader->add_option("--data", images.data, "the source, as in train --train")->required();
  loader->add_option("--workers", images.workers, "threads")->check(whole_number(1, 1'000'000))->capture_default_str();
  loader->add_option("--size", images.size, "side of the images given")
      ->check(whole_number(1, 1'000'000))
      ->capture_default_str();
  loader->add_option("--seconds", images.seconds, "how long")->check(above_zero())->capture_default_str();
  loader->add_flag("--eval", images.eval, "as in evaluation: resized and cropped in the middle");
  if (!parse(app, argc, argv)) return;
  if (*worker) work(bench_model(model, attention), batch, device, profile);
  if (*table) bench_table(lines);
  if (*attention_only) bench_attention(*device.open(), attentions);
  if (*growth) bench_growth(*device.open(), growths);
  const Precision of_step = precision == "bf16"   ? Precision::bf16
                            : precision == "tf32" ? Precision::tf32
                                                  : Precision::f32;
  auto shape = [&](const std::string& name) {
    ViTConfig config = bench_model(name, attention);
    config.qk_norm = qk_norm;
    return config;
  };
  if (*roofline) write_result(shown.empty() ? roofline_table() : roofline_parts(shape(shown), batch, of_step));
  if (*kernels)
    write_result(
        kernels_table(last_step(read_kernels(csv)), step_budget(shape(model), batch, of_step, limits_of(of_step))));
  if (*gpu) bench_gpu(on_gpu);
  if (*loader) bench_loader(images);
}

}  // namespace

int main(int argc, char** argv) {
  wait_briefly(argv);
  return run_program("bench", [&] {
    bench(argc, argv);
    return int(ExitCode::ok);
  });
}

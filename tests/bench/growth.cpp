#include "tests/bench/growth.h"
#include <chrono>
#include <cmath>
#include "engine/console.h"
#include "engine/error.h"
#include "models/train_step.h"
#include "tests/synthetic.h"

namespace {

double step_seconds(Device& device, const ViTConfig& config, int batch, int rounds) {
  ViT vit(device, config);
  vit.initialise(0);
  Adam adam(vit.parameters(), {});
  TrainStep step(vit, adam, {.loss = "softmax"});
  const MadeUpBatch data = made_up_batch(config, batch);
  double best = INFINITY;
  for (int round = 0; round <= rounds; round++) {              // the first allocates
    const auto start = std::chrono::steady_clock::now();
    step(data.images, data.labels, 1);
    if (round) best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

}  // namespace

void bench_growth(Device& device, const GrowthBench& o) {
  auto config = [&](int width, int tokens) {
    const int patch = int(std::lround(224 / std::sqrt(double(tokens))));
    if ((224 / patch) * (224 / patch) != tokens)
      fail(ExitCode::usage,
           "--tokens: {} are not a square of patches in 224 x 224 pixels, expected some of 49, 196, 784, 3136", tokens);
    if (width % 64) fail(ExitCode::usage, "--widths: {} is not a multiple of 64", width);
    return ViTConfig{.image_size = 224,
                     .patch = patch,
                     .width = width,
                     .depth = o.depth,
                     .heads = width / 64,
                     .mlp_width = 4 * width,
                     .classes = 1000,
                     .attention = o.attention};
  };
  struct Case { ViTConfig config; int batch; };
  auto table = [&](const char* what, const std::vector<int>& values, const std::string& fixed, auto case_of) {
    print_result("{:<8} {:>10} {:>9} {:>9}   {}\n", what, "ms a step", "exponent", "of FLOPs", fixed);
    double seconds = 0, flops = 0;
    for (size_t i = 0; i < values.size(); i++) {
      const auto [vit, batch] = Case(case_of(values[i]));
      const double s = step_seconds(device, vit, batch, o.rounds), f = forward_flops(vit) * batch;
      auto exponent = [&](double now, double before) {
        return i ? fmt::format("{:.2f}", std::log(now / before) / std::log(double(values[i]) / values[i - 1])) : "";
      };
      print_result("{:<8} {:>10.2f} {:>9} {:>9}\n", values[i], 1e3 * s, exponent(s, seconds), exponent(f, flops));
      fflush(stdout);
      seconds = s, flops = f;
    }
  };
  table("tokens", o.tokens, "batch 4, width 384", [&](int L) { return Case{config(384, L), 4}; });
  table("batch", o.batches, "49 tokens, width 384", [&](int B) { return Case{config(384, 49), B}; });
  table("width", o.widths, "49 tokens, batch 32", [&](int D) { return Case{config(D, 49), 32}; });
}

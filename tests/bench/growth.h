// build/bench growth: how the time of a training step grows with the tokens, the batch and the width.
// defines: GrowthBench, bench_growth
#pragma once
#include <string>
#include <vector>
#include "models/model_flags.h"

struct GrowthBench {
  std::string attention = "relu";
  std::vector<int> tokens{49, 196, 784, 3136}, batches{1, 2, 4, 8, 16, 32, 64, 128}, widths{192, 384, 768};
  int depth = 2, rounds = 5;
};

// Three tables, each of a ViT of `depth` blocks and heads of 64 channels at 224 pixels in which one number changes:
// milliseconds a training step (best of `rounds`), the exponent of its growth from the row before, and that of the
// FLOPs. The tokens are those of patches of 32, 16, 8, 4 pixels.
void bench_growth(Device& device, const GrowthBench& options);

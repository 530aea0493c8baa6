// build/bench attention: the attention op alone, forward and backward, at several lengths.
// defines: AttentionBench, bench_attention
#pragma once
#include <string>
#include <vector>
#include "models/model_flags.h"

struct AttentionBench {
  std::vector<int> lengths{49, 196, 784, 3136};
  std::vector<std::string> functions{"softmax", "relu"};
  int batch = 8, heads = 6, width = 64, rounds = 5;      // width of a head
};

// Prints a line for each length and function: milliseconds (best of `rounds`), TFLOP/s (7 products), MB beyond inputs
// and outputs.
void bench_attention(Device& device, const AttentionBench& options);

// build/bench table: training and inference of several models, each in a process of its own, one line each.
// defines: TableBench, bench_table
#pragma once
#include <string>
#include <vector>
#include "models/config.h"
#include "models/model_flags.h"

struct TableBench {
  std::vector<std::string> models{"cifar:64", "ti16:32", "s16:16", "s32:32", "s8:2"};      // NAME:BATCH
  std::vector<std::string> functions{"softmax", "relu"}, precisions{"f32", "bf16"};
  int rounds = 3;
};

ViTConfig bench_model(const std::string& name, const std::string& attention);  // tiny, cifar, ti16, s16, s32, b16 or s8

// Images/s (best round of a step or more), TFLOP/s and its share of the peak that large products reach, what parts of a
// training step take, and the largest resident memory.
void bench_table(const TableBench& options);

// Speed of the CUDA device: products against its measured peak, memory-bound passes against a copy, fused attention
// against tiled. One line each on stdout.
// defines: GpuBench, bench_gpu
#pragma once
#include <vector>

struct GpuBench {
  int images = 256;                                // of 196 tokens of 384 channels; an eighth of them for attention
  std::vector<int> lengths{49, 196, 784, 3136};    // tokens of attention
};

void bench_gpu(const GpuBench& options);

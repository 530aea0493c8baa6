// Speed of the CUDA device: products against its measured peak, memory-bound passes against a copy, fused attention against
// tiled. One line each on stdout.
// defines: bench_gpu
#pragma once

void bench_gpu();

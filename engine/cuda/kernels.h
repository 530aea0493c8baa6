// The kernels as host code sees them: launchers by the type of their body.
// defines: Launcher, kernel_launchers, RoundRows
#pragma once
#include <cuda_runtime_api.h>
#include <typeindex>
#include <unordered_map>
#include "engine/bf16.h"
#include "engine/ops/elementwise.h"

// Starts a body for n elements or rows on `stream`; `fields` is the body.
using Launcher = cudaError_t (*)(size_t n, const void* fields, cudaStream_t stream);
std::unordered_map<std::type_index, Launcher> kernel_launchers();

// What products need on this device beside the kernels of every device.

// y[matrix, row, :] = bf16 of x, whose rows start `stride` and whose matrices `step` apart; rows and matrices of y have
// no gaps.
struct RoundRows {
  bf16* y; const real* x; int rows, columns, stride; size_t step;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real* from = x + row / rows * step + row % rows * stride;
    team.each(columns, [&](int c) { y[row * columns + c] = to_bf16(from[c]); });
  }
};

// Bodies over plain arrays.
// defines: previous, Fill, Accumulate, AddEpilogue
#pragma once
#include "engine/math.h"
#include "engine/tensor.h"

// Every backward body adds to its gradient where `add`, else writes it. (int: a bool field keeps g++ from making SIMD code.)
HD inline real previous(int add, real gradient) { return add ? gradient : real(0); }

struct Fill {
  real *y, value;
  HD void operator()(size_t i) const { y[i] = value; }
};

struct Accumulate {
  real* y; const real* x; int add;
  HD void operator()(size_t i) const { y[i] = previous(add, y[i]) + x[i]; }
};

struct AddEpilogue {                                             // y[row, :] += bias + residual[row, :]; either may be null
  real* y; const real *bias, *residual; int C, stride;           // rows of y and residual start `stride` apart
  template <class Team> HD void operator()(Team team, size_t row) const {
    real* to = y + row * stride;
    const real* r = residual ? residual + row * stride : nullptr;
    team.each(C, [&](int c) { to[c] += (bias ? bias[c] : 0) + (r ? r[c] : 0); });
  }
};

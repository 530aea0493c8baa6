// Bodies over plain arrays.
// defines: previous, Fill, Accumulate
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

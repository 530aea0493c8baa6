// Bodies over plain arrays.
// defines: previous, Output, widened, put, Fill, Accumulate, Round, Widen, AddEpilogue
#pragma once
#include "engine/bf16.h"
#include "engine/math.h"
#include "engine/tensor.h"

// Every backward body adds to its gradient where `add`, else writes it. (int: a bool field keeps g++ from making SIMD code.)
HD inline real previous(int add, real gradient) { return add ? gradient : real(0); }

// What a body writes: reals or, for products, values rounded to bfloat16; the other is null.
struct Output {
  real* full;
  bf16* rounded = nullptr;
  HD Output operator+(size_t n) const { return rounded ? Output{nullptr, rounded + n} : Output{full + n}; }
  HD void set(size_t i, real x) const { if (rounded) rounded[i] = to_bf16(float(x)); else full[i] = x; }
};

// Values whose type says how they are kept. put returns what a reader will find.
HD inline real widened(real x) { return x; }
HD inline real widened(bf16 x) { return from_bf16(x); }
HD inline real put(real& to, real x) { return to = x; }
HD inline real put(bf16& to, real x) { return from_bf16(to = to_bf16(float(x))); }

struct Fill {
  real *y, value;
  HD void operator()(size_t i) const { y[i] = value; }
};

struct Accumulate {
  real* y; const real* x; int add;
  HD void operator()(size_t i) const { y[i] = previous(add, y[i]) + x[i]; }
};

struct Round {
  bf16* y; const real* x;
  HD void operator()(size_t i) const { y[i] = to_bf16(float(x[i])); }
};

struct Widen {
  real* y; const bf16* x;
  HD void operator()(size_t i) const { y[i] = from_bf16(x[i]); }
};

struct AddEpilogue {                                             // y[row, :] += bias + residual[row, :]; either may be null
  real* y; const real *bias, *residual; int C, stride;           // rows of y and residual start `stride` apart
  template <class Team> HD void operator()(Team team, size_t row) const {
    real* to = y + row * stride;
    const real* r = residual ? residual + row * stride : nullptr;
    team.each(C, [&](int c) { to[c] += (bias ? bias[c] : 0) + (r ? r[c] : 0); });
  }
};

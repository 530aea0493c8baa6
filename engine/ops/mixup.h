// y_i = a x_i + (1 - a) x_{i-1} over the first axis, the first example with the last: mixup as in BigVision's utils.py
// (Zhang et al. 2018, 1710.09412). Images and labels take the same a, one for the whole batch.
// defines: mixup
#pragma once
#include "engine/ops/elementwise.h"
#include "engine/tape.h"

struct Mixup {                                                   // y[i] = a x[i] + b x[i + shift], around the end
  real* y; const real* x; real a, b; size_t shift, n; int add;
  HD void operator()(size_t i) const {
    const size_t other = i + shift < n ? i + shift : i + shift - n;
    y[i] = previous(add, y[i]) + (a * x[i] + b * x[other]);
  }
};

// x[B, ...] -> the same shape
inline Tensor mixup(Tape& t, Tensor x, real a) {
  const size_t n = x.shape.size(), one = n / x.shape[0];
  Tensor y = t.make("mixup", x.shape, {x});
  t.device.each(n, Mixup{t.value(y), t.value(x), a, 1 - a, n - one, n, 0});
  t.on_backward(y, [=, &t] {
    const Gradient dx = t.add_gradient(x);
    t.device.each(n, Mixup{dx.data, t.gradient(y), a, 1 - a, one == n ? 0 : one, n, dx.add});
  });
  return y;
}

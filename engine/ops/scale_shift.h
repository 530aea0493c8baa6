// y = w x + b, channel by channel: what makes queries and keys of one projection in a gated attention unit (2202.10447,
// eq. 5).
// defines: scale_shift
#pragma once
#include "engine/error.h"
#include "engine/ops/column_sums.h"

struct ScaleShift {
  real* y; const real *x, *w, *b; int C;
  template <class Team> HD void operator()(Team team, size_t row) const {
    team.each(C, [&](int c) { y[row * C + c] = w[c] * x[row * C + c] + b[c]; });
  }
};
struct ScaleShiftBackward {
  real* dx; const real *dy, *w; int C, add;
  template <class Team> HD void operator()(Team team, size_t row) const {
    team.each(C, [&](int c) { dx[row * C + c] = previous(add, dx[row * C + c]) + w[c] * dy[row * C + c]; });
  }
};
struct Product {                                                                  // dw = Σ_rows dy x
  const real *dy, *x; int C;
  HD real operator()(size_t row, int c) const { return dy[row * C + c] * x[row * C + c]; }
};

// x[..,C], w[C], b[C]
inline Tensor scale_shift(Tape& t, Tensor x, Tensor w, Tensor b) {
  const int C = x.shape.last();
  if (w.shape != Shape{C} || b.shape != Shape{C})
    fail(ExitCode::failed, "scale and shift: scale is {} and shift {}, expected [{}] for an input of {}",
         w.shape.text(), b.shape.text(), C, x.shape.text());
  Tensor y = t.make("scale and shift", x.shape, {x, w, b});
  const size_t rows = x.shape.rows();
  t.device.rows(rows, ScaleShift{t.value(y), t.value(x), t.value(w), t.value(b), C});
  t.on_backward(y, [=, &t] {
    const real* dy = t.gradient(y);
    add_column_sums(t, w, Product{dy, t.value(x), C}, rows);
    add_column_sums(t, b, Values{dy, size_t(C)}, rows);
    if (!t.wants_gradient(x)) return;
    const Gradient dx = t.add_gradient(x);
    t.device.rows(rows, ScaleShiftBackward{dx.data, dy, t.value(w), C, dx.add});
  });
  return y;
}

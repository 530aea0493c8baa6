// y = x σ(w o), with a learned w for each channel: the gate of ReLA (Zhang, Titov & Sennrich 2021, 2104.07012,
// section 3.1), which opens by the output o before its normalisation, x being the normalised one.
// defines: channel_gate
#pragma once
#include "engine/error.h"
#include "engine/ops/column_sums.h"

struct ChannelGateForward {
  real* y; const real *x, *o, *w; int C;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const size_t at = row * C;
    team.each(C, [&](int c) { y[at + c] = x[at + c] * logistic(w[c] * o[at + c]); });
  }
};
// With z = σ(w o):  dx = dy z,  d(w o) = dy x z (1 - z)
struct ChannelGateBackward {
  real *dx, *d_o; const real *dy, *x, *o, *w; int C, add_x, add_o;
  template <class Team> HD void operator()(Team team, size_t row) const {
    team.each(C, [&](int c) {
      const size_t i = row * C + c;
      const real z = logistic(w[c] * o[i]);
      dx[i] = previous(add_x, dx[i]) + dy[i] * z;
      d_o[i] = previous(add_o, d_o[i]) + dy[i] * x[i] * z * (1 - z) * w[c];
    });
  }
};
struct ChannelGateTerm {                                                          // dw = Σ_rows d(w o) o
  const real *dy, *x, *o, *w; int C;
  HD real operator()(size_t row, int c) const {
    const size_t i = row * C + c;
    const real z = logistic(w[c] * o[i]);
    return dy[i] * x[i] * z * (1 - z) * o[i];
  }
};

// x and o [..,C], w[C]
inline Tensor channel_gate(Tape& t, Tensor x, Tensor o, Tensor w) {
  const int C = x.shape.last();
  if (o.shape != x.shape || w.shape != Shape{C})
    fail(ExitCode::failed, "channel gate: {} gated by {} times {}, expected one shape and [{}]", x.shape.text(),
         o.shape.text(), w.shape.text(), C);
  Tensor y = t.make("channel gate", x.shape, {x, o, w});
  const size_t rows = x.shape.rows();
  t.device.rows(rows, ChannelGateForward{t.value(y), t.value(x), t.value(o), t.value(w), C});
  t.on_backward(y, [=, &t] {
    const real* dy = t.gradient(y);
    add_column_sums(t, w, ChannelGateTerm{dy, t.value(x), t.value(o), t.value(w), C}, rows);
    const Gradient dx = t.add_gradient(x), d_o = t.add_gradient(o);
    t.device.rows(rows,
                  ChannelGateBackward{dx.data, d_o.data, dy, t.value(x), t.value(o), t.value(w), C, dx.add, d_o.add});
  });
  return y;
}

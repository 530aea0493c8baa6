// y = factor x / √(mean(x²) + ε) w over each head of d channels (Zhang & Sennrich 2019, 1910.07467); with one head,
// over all.
// defines: rmsnorm
#pragma once
#include "engine/error.h"
#include "engine/ops/layernorm.h"

struct RmsNormForward {
  real *y, *rrms; RowsOf<const real> x; const real* w; int C; real epsilon, factor;      // w: null without a scale
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real* xr = x[row];
    real* yr = y + row * C;
    const real r = 1 / std::sqrt(team.sum(C, [&](int i) { return xr[i] * xr[i]; }) / C + epsilon);
    team.each(C, [&](int i) { yr[i] = factor * r * xr[i] * (w ? w[i] : 1); });
    team.once([&] { rrms[row] = r; });
  }
};
// With r = 1/√(mean(x²) + ε) and g = factor dy w:  dx = r g - r³ x mean(g x)
struct RmsNormBackward {
  RowsOf<real> dx; const real* dy; RowsOf<const real> x; const real *w, *rrms; int C; real factor; int add;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real *xr = x[row], *dyr = dy + row * C, r = rrms[row];
    real* dxr = dx[row];
    const real mean_gx = factor * team.sum(C, [&](int i) { return dyr[i] * (w ? w[i] : 1) * xr[i]; }) / C;
    team.each(C, [&](int i) {
      dxr[i] = previous(add, dxr[i]) + r * (factor * dyr[i] * (w ? w[i] : 1) - r * r * xr[i] * mean_gx);
    });
  }
};
struct RmsNormScaleTerm {                                                         // dw = Σ_rows factor dy r x
  const real* dy; RowsOf<const real> x; const real* rrms; int C; real factor;
  HD real operator()(size_t row, int c) const { return factor * dy[row * C + c] * rrms[row] * x[row][c]; }
};

// The H heads of d channels at column `offset` of x[B,L,W], each normalised by itself -> [B,L,H d]. w[d], shared by the
// heads, or none.
inline Tensor rmsnorm(Tape& t, Tensor x, int offset, int heads, int d, Tensor w, double epsilon = 1e-6,
                      double factor = 1) {
  const int W = x.shape.last();
  if (offset + heads * d > W || (w && w.shape != Shape{d}))
    fail(ExitCode::failed, "rmsnorm: {} heads of {} at column {} and a scale of {} do not fit an input of {}", heads, d,
         offset, w.shape.text(), x.shape.text());
  const size_t rows = x.shape.rows() * heads;
  auto at = [=](auto* data) {
    return RowsOf<std::remove_pointer_t<decltype(data)>>{data + offset, Divisor(heads, rows), size_t(W), d};
  };
  auto input = [=, &t] { const real* data = t.value(x); return at(data); };
  auto scale = [=, &t] { return w ? t.value(w) : nullptr; };
  Tensor y = t.make("rmsnorm", x.shape.with_last(heads * d), {x, w});
  const Saved<real> rrms = t.saved<real>(rows);
  auto forward = [=, &t] {
    t.device.rows(rows, RmsNormForward{t.value(y), rrms->data, input(), scale(), d, real(epsilon), real(factor)});
  };
  forward();
  t.on_remake(y, forward);
  t.on_backward(y, [=, &t] {
    const real* dy = t.gradient(y);
    if (w) add_column_sums(t, w, RmsNormScaleTerm{dy, input(), rrms->data, d, real(factor)}, rows);
    if (!t.wants_gradient(x)) return;
    const Gradient dx = heads * d == W ? t.add_gradient(x) : Gradient{t.add_into_gradient(x), true};
    t.device.rows(rows, RmsNormBackward{at(dx.data), dy, input(), scale(), rrms->data, d, real(factor), dx.add});
  });
  return y;
}

// z = x + λ y: a residual branch with a learned factor a channel (Touvron et al. 2021, 2103.17239). x, y[..,C], λ[C].
// defines: layerscale
#pragma once
#include "engine/error.h"
#include "engine/ops/column_sums.h"

struct LayerScaleForward {
  real* z; const real *x, *y, *lambda; int C;
  template <class Team> HD void operator()(Team team, size_t row) const {
    team.each(C, [&](int c) { z[row * C + c] = x[row * C + c] + lambda[c] * y[row * C + c]; });
  }
};
struct LayerScaleBackward {                                      // dy = λ dz
  real* dy; const real *dz, *lambda; int C; int add;
  template <class Team> HD void operator()(Team team, size_t row) const {
    team.each(C, [&](int c) { dy[row * C + c] = previous(add, dy[row * C + c]) + lambda[c] * dz[row * C + c]; });
  }
};
struct LayerScaleTerm {                                          // dλ = Σ_rows dz y
  const real *dz, *y; int C;
  HD real operator()(size_t row, int c) const { return dz[row * C + c] * y[row * C + c]; }
};

inline Tensor layerscale(Tape& t, Tensor x, Tensor y, Tensor lambda) {
  const int C = x.shape.last();
  const size_t rows = x.shape.rows();
  if (y.shape != x.shape || lambda.shape != Shape{C})
    fail(ExitCode::failed, "layerscale: branch is {} and factor {}, expected {} and [{}]", y.shape.text(),
         lambda.shape.text(), x.shape.text(), C);
  Tensor z = t.make("layerscale", x.shape, {x, y, lambda});
  t.device.rows(rows, LayerScaleForward{t.value(z), t.value(x), t.value(y), t.value(lambda), C});
  t.on_backward(z, [=, &t] {
    const real* dz = t.gradient(z);
    add_column_sums(t, lambda, LayerScaleTerm{dz, t.value(y), C}, rows);
    if (t.wants_gradient(y)) {
      const Gradient dy = t.add_gradient(y);
      t.device.rows(rows, LayerScaleBackward{dy.data, dz, t.value(lambda), C, dy.add});
    }
    t.pass_gradient(z, x);                                       // last: it may move dz
  });
  return z;
}

// LASER (Duvvuri & Dhillon 2024, 2411.03493, eq. 7): attention over the exponentials of the values, o = log(A
// e^(v - m)) + m, with m the largest value of each channel over the tokens. m cancels, so it needs no gradient. For
// weights that are never negative nor all 0.
// defines: laser_attention
#pragma once
#include "engine/attention/attention.h"

struct LaserLargest {                                                    // m[b,c] = max_j v[b,j,c]
  real* m; const real* v; int L, C, stride;
  HD void operator()(size_t i) const {
    const real* column = v + i / C * L * stride + i % C;
    real most = column[0];
    for (int j = 1; j < L; j++) most = most < column[size_t(j) * stride] ? column[size_t(j) * stride] : most;
    m[i] = most;
  }
};
struct LaserExponentials {                                               // E = exp(v - m)
  real* E; const real *v, *m; int L, C, stride;
  template <class Team> HD void operator()(Team team, size_t row) const {
    team.each(C, [&](int c) { E[row * C + c] = exponential(v[row * stride + c] - m[row / L * C + c]); });
  }
};
struct LaserExponentialsBackward {                                       // dv += E dE
  real* dv; const real *dE, *E; int C, stride;
  template <class Team> HD void operator()(Team team, size_t row) const {
    team.each(C, [&](int c) { dv[row * stride + c] += E[row * C + c] * dE[row * C + c]; });
  }
};
constexpr real least_laser = real(1e-30);  // all used keys lie that far below the largest: o cannot tell them apart
struct LaserLogarithm {                                                  // y = log(max(x, least)) + m
  real* y; const real *x, *m; int L, C;
  template <class Team> HD void operator()(Team team, size_t row) const {
    team.each(C, [&](int c) {
      y[row * C + c] = std::log(x[row * C + c] < least_laser ? least_laser : x[row * C + c]) + m[row / L * C + c];
    });
  }
};
struct LaserLogarithmBackward {                                          // dx = dy / x, 0 below the least
  real* dx; const real *dy, *x; int add;
  HD void operator()(size_t i) const { dx[i] = previous(add, dx[i]) + (x[i] < least_laser ? 0 : dy[i] / x[i]); }
};

// As attention() of engine/attention/attention.h, with as many queries as keys.
inline Tensor laser_attention(Tape& t, HeadView q, HeadView k, HeadView v, int heads, int d, std::string_view function,
                              double alpha, AttentionProbe* probe = nullptr) {
  const int B = v.x.shape[0], L = v.x.shape[1], C = heads * d;
  require_heads("laser", v, B, L, heads, d);
  const size_t rows = size_t(B) * L;
  const Saved<real> m = t.saved<real>(size_t(B) * C);
  Tensor E = t.make("laser exponentials", v.x.shape.with_last(C), {v.x});
  auto exponentials = [=, &t] {
    const auto values = read_heads(t, v);
    t.device.each(size_t(B) * C, LaserLargest{.m = m->data, .v = values.data, .L = L, .C = C, .stride = values.width});
    t.device.rows(rows, LaserExponentials{.E = t.value(E), .v = values.data, .m = m->data, .L = L, .C = C,
                                          .stride = values.width});
  };
  exponentials();
  t.on_remake(E, exponentials);
  t.on_backward(E, [=, &t] {
    const auto dv = write_heads(t, v);
    t.device.rows(rows, LaserExponentialsBackward{dv.data, t.gradient(E), t.value(E), C, dv.width});
  });

  Tensor x = attention(t, q, k, {E}, heads, d, function, alpha, probe);
  t.drop(E);
  Tensor y = t.make("laser logarithm", x.shape, {x});
  t.device.rows(rows, LaserLogarithm{.y = t.value(y), .x = t.value(x), .m = m->data, .L = L, .C = C});
  t.on_backward(y, [=, &t] {
    const Gradient dx = t.add_gradient(x);
    t.device.each(x.shape.size(), LaserLogarithmBackward{dx.data, t.gradient(y), t.value(x), dx.add});
  });
  return y;
}

// y = (x - mean) / √(var + ε) w + b over the last axis (Ba et al. 2016), ε = 1e-6 as in BigVision.
// Also over the head width d of q or k inside a packed projection, with a scale only: flax's normalize_qk.
// defines: layernorm, headnorm
#pragma once
#include "engine/error.h"
#include "engine/ops/column_sums.h"

// Rows of `width` inside something wider: row r lies at data + (r / per) stride + (r % per) width.
template <class T> struct RowsOf {
  T* data; Divisor per; size_t stride; int width;
  HD T* operator[](size_t row) const {
    const size_t outer = per.divide(row);
    return data + outer * stride + (row - outer * per.divisor) * width;
  }
};

struct LayerNormForward {
  Output y; real *mean, *rstd; RowsOf<const real> x; const real *w, *b; int C;          // b: null without a bias
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real* xr = x[row];
    const real m = team.sum(C, [&](int i) { return xr[i]; }) / C;
    const real variance = team.sum(C, [&](int i) { return (xr[i] - m) * (xr[i] - m); }) / C;
    const real s = 1 / std::sqrt(variance + real(1e-6));
    const Output yr = y + row * C;
    if (b) team.each(C, [&](int i) { yr.set(i, (xr[i] - m) * s * w[i] + b[i]); });
    else team.each(C, [&](int i) { yr.set(i, (xr[i] - m) * s * w[i]); });
    team.once([&] { mean[row] = m; rstd[row] = s; });
  }
};

struct LayerNormForwardWithEpilogue {                    // x[row, :] += bias + residual[row, :], then y = layernorm(x)
  AddEpilogue add; LayerNormForward norm;
  template <class Team> HD void operator()(Team team, size_t row) const {
    add(team, row);
    norm(team, row);
  }
};

// With x̂ = (x - mean) rstd and g = dy w:  dx = rstd (g - mean(g) - x̂ mean(g x̂))
struct LayerNormBackward {
  RowsOf<real> dx; const real* dy; RowsOf<const real> x; const real *w, *mean, *rstd; int C; int add;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real *xr = x[row], *dyr = dy + row * C, m = mean[row], s = rstd[row];
    real* dxr = dx[row];
    const real mean_g = team.sum(C, [&](int i) { return dyr[i] * w[i]; }) / C;
    const real mean_gx = team.sum(C, [&](int i) { return dyr[i] * w[i] * (xr[i] - m); }) * s / C;
    team.each(C, [&](int i) { dxr[i] = previous(add, dxr[i]) + s * (dyr[i] * w[i] - mean_g - (xr[i] - m) * s * mean_gx); });
  }
};

struct LayerNormScaleTerm {                                                       // dw = Σ_rows dy x̂
  const real* dy; RowsOf<const real> x; const real *mean, *rstd; int C;
  HD real operator()(size_t row, int c) const { return dy[row * C + c] * (x[row][c] - mean[row]) * rstd[row]; }
};

// What both forms share: x is read through `at`, whose rows need not be all of the tensor.
struct NormalisedRows { Tensor x; int offset, per; size_t stride; int width; size_t rows; };

inline Tensor normalise(Tape& t, std::string_view op, const NormalisedRows& in, Shape shape, Tensor w, Tensor b, Kept kept = Kept::full) {
  auto at = [=](auto* data) { return RowsOf<std::remove_pointer_t<decltype(data)>>{data + in.offset, Divisor(in.per, in.rows), in.stride, in.width}; };
  auto input = [=, &t] { const real* data = t.value(in.x); return at(data); };
  Tensor y = t.make(op, shape, {in.x, w, b}, kept);
  real *mean = t.scratch(in.rows), *rstd = t.scratch(in.rows);
  auto body = [=, &t] { return LayerNormForward{t.output(y), mean, rstd, input(), t.value(w), b ? t.value(b) : nullptr, in.width}; };
  auto forward = [=, &t] { t.device.rows(in.rows, body()); };
  const bool whole_rows = in.width == in.x.shape.last();
  if (const auto [bias, residual] = whole_rows ? t.take_epilogue(in.x) : Epilogue{}; bias || residual)
    t.device.rows(in.rows, LayerNormForwardWithEpilogue{{t.value(in.x), bias, residual, in.width, in.width}, body()});
  else forward();
  t.on_remake(y, forward);
  t.on_backward(y, [=, &t] {
    const real* dy = t.gradient(y);
    add_column_sums(t, w, LayerNormScaleTerm{dy, input(), mean, rstd, in.width}, in.rows);
    if (b) add_column_sums(t, b, Values{dy, size_t(in.width)}, in.rows);
    if (!t.wants_gradient(in.x)) return;
    const bool all = in.rows * in.width == in.x.shape.size();
    const Gradient dx = all ? t.add_gradient(in.x) : Gradient{t.add_into_gradient(in.x), true};
    t.device.rows(in.rows, LayerNormBackward{at(dx.data), dy, input(), t.value(w), mean, rstd, in.width, dx.add});
  });
  return y;
}

// x[..,C], w[C], b[C]
inline Tensor layernorm(Tape& t, Tensor x, Tensor w, Tensor b, Kept kept = Kept::full) {
  const int C = x.shape.last();
  if (w.shape != Shape{C} || b.shape != Shape{C})
    fail(ExitCode::failed, "layernorm: scale is {} and bias {}, expected [{}] for an input of {}", w.shape.text(), b.shape.text(), C, x.shape.text());
  return normalise(t, "layernorm", {x, 0, 1, size_t(C), C, x.shape.rows()}, x.shape, w, b, kept);
}

// The H heads of d = |w| channels at column `offset` of x[B,L,W], each normalised by itself -> [B,L,H d]
inline Tensor headnorm(Tape& t, Tensor x, int offset, int heads, Tensor w, Kept kept = Kept::full) {
  const int d = int(w.shape.size()), W = x.shape.last();
  if (offset + heads * d > W) fail(ExitCode::failed, "headnorm: {} heads of {} at column {} do not fit an input of {}", heads, d, offset, x.shape.text());
  return normalise(t, "headnorm", {x, offset, heads, size_t(W), d, x.shape.rows() * heads}, x.shape.with_last(heads * d), w, {}, kept);
}

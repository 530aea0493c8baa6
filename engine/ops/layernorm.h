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

// X: reals, or values that are kept rounded
template <class X> struct LayerNormForward {
  Output y; real *mean, *rstd; RowsOf<const X> x; const real *w, *b; int C;          // b: null without a bias
  template <class Team> HD void operator()(Team team, size_t row) const {
    const X* xr = x[row];
    const real m = team.sum(C, [&](int i) { return widened(xr[i]); }) / C;
    const real variance = team.sum(C, [&](int i) { return (widened(xr[i]) - m) * (widened(xr[i]) - m); }) / C;
    const real s = 1 / std::sqrt(variance + real(1e-6));
    const Output yr = y + row * C;
    if (b) team.each(C, [&](int i) { yr.set(i, (widened(xr[i]) - m) * s * w[i] + b[i]); });
    else team.each(C, [&](int i) { yr.set(i, (widened(xr[i]) - m) * s * w[i]); });
    team.once([&] { mean[row] = m; rstd[row] = s; });
  }
};

// With x̂ = (x - mean) rstd and g = dy w:  dx = rstd (g - mean(g) - x̂ mean(g x̂)), and the sums over a chunk of rows
// dw = Σ dy x̂ and db = Σ dy, in one sweep: dw[chunks,C], db[chunks,C]
template <class X> struct LayerNormBackward {
  RowsOf<real> dx;
  const real* dy;
  RowsOf<const X> x;
  const real *w, *mean, *rstd;
  real *dw, *db;
  size_t rows;
  int chunk_rows, C, add;
  template <class Team> HD void operator()(Team team, size_t chunk) const {
    const size_t first = chunk * chunk_rows, end = first + chunk_rows < rows ? first + chunk_rows : rows;
    team.two_column_sums(first, end, C, dw + chunk * C, db + chunk * C, [this](auto team) {
      const auto scale = team.held(w, C);
      return [=, this](size_t row, auto add_terms) {
        const auto d = team.held(dy + row * C, C), before = team.held(add ? dx[row] : dy + row * C, C);
        const auto xr = team.held(x[row], C);
        real* dxr = dx[row];
        const real m = mean[row], s = rstd[row];
        const auto centred = [&](auto i) { return widened(xr[i]) - m; };
        const real mean_g = team.sum(C, [&](auto i) { return d[i] * scale[i]; }) / C;
        const real mean_gx = team.sum(C, [&](auto i) { return d[i] * scale[i] * centred(i); }) * s / C;
        team.each(C, [&](auto i) {
          const real normal = centred(i) * s;
          dxr[i] = previous(add, before[i]) + s * (d[i] * scale[i] - mean_g - normal * mean_gx);
          add_terms(i, d[i] * normal, d[i]);
        });
      };
    });
  }
};

// What both forms share: x is read through `at`, whose rows need not be all of the tensor.
struct NormalisedRows { Tensor x; int offset, per; size_t stride; int width; size_t rows; };

template <class X>
Tensor normalise_as(Tape& t, std::string_view op, const NormalisedRows& in, Shape shape, Tensor w, Tensor b,
                    Kept kept) {
  auto at = [=](auto* data) {
    return RowsOf<std::remove_pointer_t<decltype(data)>>{data + in.offset, Divisor(in.per, in.rows), in.stride,
                                                         in.width};
  };
  auto input = [=, &t] {
    if constexpr (std::is_same_v<X, bf16>) return at(t.operand(in.x).rounded);
    else return at(static_cast<const real*>(t.value(in.x)));
  };
  Tensor y = t.make(op, shape, {in.x, w, b}, kept);
  const Saved<real> mean = t.saved<real>(in.rows), rstd = t.saved<real>(in.rows);
  auto forward = [=, &t] {
    t.device.rows(in.rows, LayerNormForward<X>{t.output(y), mean->data, rstd->data, input(), t.value(w),
                                               b ? t.value(b) : nullptr, in.width});
  };
  forward();
  t.on_remake(y, forward);
  t.on_backward(y, [=, &t] {
    const real* dy = t.gradient(y);
    const int chunk_rows = t.device.column_teams(in.rows, in.width).whole_rows,
              chunks = int((in.rows + chunk_rows - 1) / chunk_rows);
    const size_t sums = size_t(chunks + 1) * in.width;
    const bool all = in.rows * in.width == in.x.shape.size(), wanted = t.wants_gradient(in.x);
    const Temporary<real> partial = t.temporary<real>(2 * sums),
                          unwanted = t.temporary<real>(wanted ? 0 : in.x.shape.size());
    const Gradient dx = !wanted ? Gradient{unwanted.data, 0}
                        : all   ? t.add_gradient(in.x)
                                : Gradient{t.add_into_gradient(in.x), true};
    real *dw = partial.data, *db = partial.data + sums;
    t.device.rows(chunks, LayerNormBackward<X>{at(dx.data), dy, input(), t.value(w), mean->data, rstd->data, dw, db,
                                               in.rows, chunk_rows, in.width, dx.add});
    if (t.wants_gradient(w)) add_sum_of_chunks(t, w, dw, chunks);
    if (t.wants_gradient(b)) add_sum_of_chunks(t, b, db, chunks);
  });
  return y;
}

inline Tensor normalise(Tape& t, std::string_view op, const NormalisedRows& in, Shape shape, Tensor w, Tensor b,
                        Kept kept = Kept::full) {
  return t.is_kept_rounded(in.x) ? normalise_as<bf16>(t, op, in, shape, w, b, kept)
                                 : normalise_as<real>(t, op, in, shape, w, b, kept);
}

// x[..,C], w[C], b[C]
inline Tensor layernorm(Tape& t, Tensor x, Tensor w, Tensor b, Kept kept = Kept::full) {
  const int C = x.shape.last();
  if (w.shape != Shape{C} || b.shape != Shape{C})
    fail(ExitCode::failed, "layernorm: scale is {} and bias {}, expected [{}] for an input of {}", w.shape.text(),
         b.shape.text(), C, x.shape.text());
  return normalise(t, "layernorm", {x, 0, 1, size_t(C), C, x.shape.rows()}, x.shape, w, b, kept);
}

// The H heads of d = |w| channels at column `offset` of x[B,L,W], each normalised by itself -> [B,L,H d]
inline Tensor headnorm(Tape& t, Tensor x, int offset, int heads, Tensor w, Kept kept = Kept::full) {
  const int d = int(w.shape.size()), W = x.shape.last();
  if (offset + heads * d > W)
    fail(ExitCode::failed, "headnorm: {} heads of {} at column {} do not fit an input of {}", heads, d, offset,
         x.shape.text());
  return normalise(t, "headnorm", {x, offset, heads, size_t(W), d, x.shape.rows() * heads},
                   x.shape.with_last(heads * d), w, {}, kept);
}

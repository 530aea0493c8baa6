// Feature maps f of linear attention, o_i = f(q_i)·Σ_j f(k_j) v_jᵀ: each takes the H heads of d channels of a view of
// x[B,L,·] to [B,L,H m], and gives its memory back where its result is dropped (engine/tape.h).
// defines: pointwise_features, cosine_features, token_normalised, positive_features, relu_features, sum_over_tokens
#pragma once
#include "engine/attention/attention.h"

// ---- f(x) = h(x), channel by channel ----

template <class H> struct PointwiseFeatures {
  real* y; const real* x; int stride, C;                                // rows of x start `stride` apart
  template <class Team> HD void operator()(Team team, size_t row) const {
    team.each(C, [&](int c) { y[row * C + c] = H::value(x[row * stride + c]); });
  }
};
template <class H> struct PointwiseFeaturesBackward {
  real* dx; const real *dy, *x; int stride, C;
  template <class Team> HD void operator()(Team team, size_t row) const {
    team.each(C, [&](int c) { dx[row * stride + c] += H::slope(x[row * stride + c]) * dy[row * C + c]; });
  }
};

template <class H> Tensor pointwise_features(Tape& t, std::string_view op, HeadView view, int heads, int d) {
  require_heads("features", view, view.x.shape[0], view.x.shape[1], heads, d);
  const int C = heads * d;
  const size_t rows = view.x.shape.rows();
  Tensor y = t.make(op, view.x.shape.with_last(C), {view.x});
  auto forward = [=, &t] {
    const auto x = read_heads(t, view);
    t.device.rows(rows, PointwiseFeatures<H>{t.value(y), x.data, x.width, C});
  };
  forward();
  t.on_remake(y, forward);
  t.on_backward(y, [=, &t] {
    const auto x = read_heads(t, view);
    t.device.rows(rows, PointwiseFeaturesBackward<H>{write_heads(t, view).data, t.gradient(y), x.data, x.width, C});
  });
  return y;
}

// ---- cosFormer (Qin et al. 2022, 2202.08791, eq. 10): f(x_i) = relu(x_i) sin θ_i beside relu(x_i) cos θ_i, so that
// the weight of j for i is relu(q_i)·relu(k_j) cos(θ_i - θ_j). waves[L,2]: sin and cos of each token's θ.

struct CosineFeatures {
  real* y; HeadRows<const real> x; const real* waves; int L, H, d;
  template <class Team> HD void operator()(Team team, size_t row) const {               // row = (b L + i) H + h
    const int i = int(row / H % L);
    const real *from = x.at(0, 0, 0, d) + row / H * x.width + row % H * d, s = waves[2 * i], c = waves[2 * i + 1];
    real* to = y + row * 2 * d;
    team.each(d, [&](int k) { const real r = Relu::value(from[k]); to[k] = r * s; to[d + k] = r * c; });
  }
};
struct CosineFeaturesBackward {
  HeadRows<real> dx; const real* dy; HeadRows<const real> x; const real* waves; int L, H, d;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const int i = int(row / H % L);
    const size_t at = row / H * x.width + row % H * d;
    const real *from = x.data + at, *dyr = dy + row * 2 * d, s = waves[2 * i], c = waves[2 * i + 1];
    real* to = dx.data + at;
    team.each(d, [&](int k) { to[k] += Relu::slope(from[k]) * (dyr[k] * s + dyr[d + k] * c); });
  }
};

inline Tensor cosine_features(Tape& t, HeadView view, int heads, int d, Tensor waves) {
  require_heads("cosine features", view, view.x.shape[0], view.x.shape[1], heads, d);
  const int L = view.x.shape[1];
  if (waves.shape != Shape{L, 2})
    fail(ExitCode::failed, "cosine features: waves are {}, expected [{}, 2]", waves.shape.text(), L);
  const size_t rows = view.x.shape.rows() * heads;
  Tensor y = t.make("cosine features", view.x.shape.with_last(heads * 2 * d), {view.x});
  auto forward = [=, &t] {
    t.device.rows(rows, CosineFeatures{t.value(y), read_heads(t, view), t.value(waves), L, heads, d});
  };
  forward();
  t.on_remake(y, forward);
  t.on_backward(y, [=, &t] {
    t.device.rows(rows, CosineFeaturesBackward{.dx = write_heads(t, view),
                                                .dy = t.gradient(y),
                                                .x = read_heads(t, view),
                                                .waves = t.value(waves),
                                                .L = L,
                                                .H = heads,
                                                .d = d});
  });
  return y;
}

// ---- sums over the tokens of an image ----

// sums[b,C] = Σ_i term(b L + i, c); a team has one of `slices` ranges of columns
template <class Term> struct TokenSums {
  real* sums; Term term; int L, C, slices, width;
  template <class Team> HD void operator()(Team team, size_t i) const {
    const size_t b = i / slices;
    const int column = int(i % slices) * width, columns = column + width < C ? width : C - column;
    team.columns(b * L, (b + 1) * L, columns, sums + b * C + column,
                 [&](size_t row, int c) { return term(row, column + c); });
  }
};
template <class Term> void sum_over_tokens(Device& device, real* sums, Term term, int B, int L, int C) {
  const int width = std::min(C, device.column_teams(L, C).columns), slices = (C + width - 1) / width;
  device.rows(size_t(B) * slices, TokenSums<Term>{sums, term, L, C, slices, width});
}
struct AbsoluteTerm {
  const real* x; int stride;
  HD real operator()(size_t row, int c) const { return std::fabs(x[row * stride + c]); }
};
struct ProductTerm {
  const real *a, *b; int stride_a, stride_b;
  HD real operator()(size_t row, int c) const { return a[row * stride_a + c] * b[row * stride_b + c]; }
};

// ---- SimA (Koohpayegani & Pirsiavash 2022, 2206.08898): each channel divided by its ℓ1 norm over the tokens ----

struct TokenNormalised {                                                                  // y = x / (norm + ε)
  real* y; const real *x, *norm; int L, C, stride;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real* n = norm + row / L * C;
    team.each(C, [&](int c) { y[row * C + c] = x[row * stride + c] / (n[c] + real(1e-6)); });
  }
};
struct TokenNormalisedBackward {  // dx = (dy - sign(x) Σ_i dy y) / (norm + ε)
  real* dx; const real *dy, *x, *norm, *dot; int L, C, stride;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real *n = norm + row / L * C, *dots = dot + row / L * C;
    team.each(C, [&](int c) {
      const real v = x[row * stride + c], sign = v > 0 ? real(1) : v < 0 ? real(-1) : real(0);
      dx[row * stride + c] += (dy[row * C + c] - sign * dots[c]) / (n[c] + real(1e-6));
    });
  }
};

inline Tensor token_normalised(Tape& t, HeadView view, int heads, int d) {
  require_heads("token normalised", view, view.x.shape[0], view.x.shape[1], heads, d);
  const int B = view.x.shape[0], L = view.x.shape[1], C = heads * d;
  Tensor y = t.make("token normalised", view.x.shape.with_last(C), {view.x});
  const Saved<real> norm = t.saved<real>(size_t(B) * C);
  auto forward = [=, &t] {
    const auto x = read_heads(t, view);
    sum_over_tokens(t.device, norm->data, AbsoluteTerm{x.data, x.width}, B, L, C);
    t.device.rows(size_t(B) * L, TokenNormalised{.y = t.value(y), .x = x.data, .norm = norm->data, .L = L, .C = C,
                                                        .stride = x.width});
  };
  forward();
  t.on_remake(y, forward);
  t.on_backward(y, [=, &t] {
    const auto x = read_heads(t, view);
    const real* dy = t.gradient(y);
    const Temporary<real> dot = t.temporary<real>(size_t(B) * C);
    sum_over_tokens(t.device, dot.data, ProductTerm{dy, t.value(y), C, C}, B, L, C);
    t.device.rows(size_t(B) * L, TokenNormalisedBackward{.dx = write_heads(t, view).data,
                                                         .dy = dy,
                                                         .x = x.data,
                                                         .norm = norm->data,
                                                         .dot = dot.data,
                                                         .L = L,
                                                         .C = C,
                                                         .stride = x.width});
  });
  return y;
}

// ---- random features of the Performer (Choromanski et al. 2021, 2009.14794), with x̂ = x d^(-1/4) and m random
// directions w[m,d] ----

// y[B,L,H,m] = x̂ wᵀ, head by head
inline void project_features(Tape& t, real* y, HeadRows<const real> x, size_t rows, int heads, int d, Tensor w) {
  const int m = w.shape[0];
  for (int h = 0; h < heads; h++)
    t.device.gemm({.c = y + size_t(h) * m,
                   .a = x.data + size_t(h) * d,
                   .b = t.value(w),
                   .m = int(rows),
                   .n = m,
                   .k = d,
                   .tb = true,
                   .alpha = real(std::pow(d, -0.25)),
                   .lda = x.width,
                   .ldc = heads * m});
}
// dx += d^(-1/4) dy w
inline void project_features_backward(Tape& t, HeadRows<real> dx, const real* dy, size_t rows, int heads, int d,
                                      Tensor w) {
  const int m = w.shape[0];
  for (int h = 0; h < heads; h++)
    t.device.gemm({.c = dx.data + size_t(h) * d,
                   .a = dy + size_t(h) * m,
                   .b = t.value(w),
                   .m = int(rows),
                   .n = d,
                   .k = m,
                   .alpha = real(std::pow(d, -0.25)),
                   .beta = 1,
                   .lda = heads * m,
                   .ldc = dx.width});
}
inline void require_features(HeadView view, int heads, int d, Tensor w) {
  require_heads("random features", view, view.x.shape[0], view.x.shape[1], heads, d);
  if (w.shape.rank() != 2 || w.shape[1] != d)
    fail(ExitCode::failed, "random features: directions are {}, expected [m, {}]", w.shape.text(), d);
}

// f(x)_r = exp(w_r·x̂ - |x̂|²/2 - M): lemma 1, without the factor 1/√m, which cancels in o_i. So does M, the largest
// exponent of the query, or of all keys of the head: it needs no gradient. (Upstream adds 1e-4 to each feature; here
// the denominator has a floor.)
struct Exponents {
  real *y, *largest; HeadRows<const real> x; int H, d, m;
  template <class Team> HD void operator()(Team team, size_t row) const {               // row = (b L + i) H + h
    const real* from = x.data + row / H * x.width + row % H * d;
    real* to = y + row * m;
    const real half = team.sum(d, [&](int c) { return from[c] * from[c]; }) / (2 * std::sqrt(real(d)));
    team.each(m, [&](int r) { to[r] -= half; });
    const real most = team.max(m, [&](int r) { return to[r]; });
    team.once([&] { largest[row] = most; });
  }
};
struct LargestOfHead {  // of all tokens, in place of each
  real* largest; int L, H;
  template <class Team> HD void operator()(Team team, size_t i) const {
    real* first = largest + i / H * L * H + i % H;
    const real most = team.max(L, [&](int j) { return first[size_t(j) * H]; });
    team.each(L, [&](int j) { first[size_t(j) * H] = most; });
  }
};
struct ExponentialFeatures {
  real* y; const real* largest; int m;
  template <class Team> HD void operator()(Team team, size_t row) const {
    team.each(m, [&](int r) { y[row * m + r] = exponential(y[row * m + r] - largest[row]); });
  }
};
// dy becomes the gradient of the exponents, dy y; dx -= x̂ Σ_r dy y
struct ExponentsBackward {
  HeadRows<real> dx; real* dy; const real* y; HeadRows<const real> x; int H, d, m;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const size_t at = row / H * x.width + row % H * d;
    team.each(m, [&](int r) { dy[row * m + r] *= y[row * m + r]; });
    const real sum = team.sum(m, [&](int r) { return dy[row * m + r]; }) / std::sqrt(real(d));
    team.each(d, [&](int c) { dx.data[at + c] -= sum * x.data[at + c]; });
  }
};

inline Tensor positive_features(Tape& t, HeadView view, int heads, int d, Tensor w, bool keys) {
  require_features(view, heads, d, w);
  const int B = view.x.shape[0], L = view.x.shape[1], m = w.shape[0];
  const size_t tokens = view.x.shape.rows(), rows = tokens * heads;
  Tensor y = t.make("positive features", view.x.shape.with_last(heads * m), {view.x});
  const Saved<real> largest = t.saved<real>(rows);
  auto forward = [=, &t] {
    const auto x = read_heads(t, view);
    project_features(t, t.value(y), x, tokens, heads, d, w);
    t.device.rows(rows, Exponents{t.value(y), largest->data, x, heads, d, m});
    if (keys) t.device.rows(size_t(B) * heads, LargestOfHead{largest->data, L, heads});
    t.device.rows(rows, ExponentialFeatures{t.value(y), largest->data, m});
  };
  forward();
  t.on_remake(y, forward);
  t.on_backward(y, [=, &t] {
    const HeadRows<real> dx = write_heads(t, view);
    t.device.rows(rows, ExponentsBackward{.dx = dx,
                                           .dy = t.gradient(y),
                                           .y = t.value(y),
                                           .x = read_heads(t, view),
                                           .H = heads,
                                           .d = d,
                                           .m = m});
    project_features_backward(t, dx, t.gradient(y), tokens, heads, d, w);
  });
  return y;
}

// f(x)_r = relu(w_r·x̂) + 1e-3: "generalized attention" of the Performer's section 4
struct ReluFeatures {
  real* y;
  HD void operator()(size_t i) const { y[i] = Relu::value(y[i]) + real(1e-3); }
};
struct ReluFeaturesBackward {  // dy becomes the gradient of w_r·x̂
  real* dy; const real* y;
  HD void operator()(size_t i) const { dy[i] = y[i] > real(1e-3) ? dy[i] : real(0); }
};

inline Tensor relu_features(Tape& t, HeadView view, int heads, int d, Tensor w) {
  require_features(view, heads, d, w);
  const size_t tokens = view.x.shape.rows();
  Tensor y = t.make("relu features", view.x.shape.with_last(heads * w.shape[0]), {view.x});
  auto forward = [=, &t] {
    project_features(t, t.value(y), read_heads(t, view), tokens, heads, d, w);
    t.device.each(y.shape.size(), ReluFeatures{t.value(y)});
  };
  forward();
  t.on_remake(y, forward);
  t.on_backward(y, [=, &t] {
    t.device.each(y.shape.size(), ReluFeaturesBackward{t.gradient(y), t.value(y)});
    project_features_backward(t, write_heads(t, view), t.gradient(y), tokens, heads, d, w);
  });
  return y;
}

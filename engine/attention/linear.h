// Attention without an L x L matrix: the product is regrouped, f(q_i)·(Σ_j f(k_j) v_jᵀ), 4 L m d operations a head in
// place of 4 L² d (Katharopoulos et al. 2020, 2006.16236, eq. 5). q and k are features already
// (engine/attention/features.h).
//
//   normalised   v̄ = [v 1]   S = kᵀ v̄   [n D] = q S   o = n / max(D, ε)                 else   S = kᵀ v   o = c q S
//   backward     t = do/D   dn̄ = [t  -t·o]   dS = qᵀ dn̄   dq += dn̄ Sᵀ   dk += v̄ dSᵀ
//     dv += (k dS) without its last column
//
// The column of ones makes the denominators part of the products, and in bf16 they sum the same rounded features as the
// numerators.
// defines: linear_attention, hydra_product
#pragma once
#include "engine/attention/features.h"

inline constexpr double least_denominator = 1e-6;             // all features of a query may be 0: then its output is

struct LinearAttentionShape {
  int B, H, L, m, d;                                          // m features a head
  bool normalised; real scale;                                // c: where not normalised
  int columns() const { return d + normalised; }              // of v̄ and S
};

struct AppendOne {                                            // y[row, :] = [x 1]
  real* y; const real* x; int d, stride;
  template <class Team> HD void operator()(Team team, size_t row) const {
    real* to = y + row * (d + 1);
    team.each(d, [&](int c) { to[c] = x[row * stride + c]; });
    team.once([&] { to[d] = 1; });
  }
};
struct DivideByLast {                                         // o = n / max(D, ε)
  real* o; const real* n; int d, stride;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real *from = n + row * (d + 1), D = from[d] < real(least_denominator) ? real(least_denominator) : from[d];
    team.each(d, [&](int c) { o[row * stride + c] = from[c] / D; });
  }
};
struct DivideByLastBackward {  // [n D] becomes [t -t·o], t = do / max(D, ε); at the floor D has no gradient
  real* n; const real* d_o; int d, stride;
  template <class Team> HD void operator()(Team team, size_t row) const {
    real* to = n + row * (d + 1);
    const real* dor = d_o + row * stride;
    const bool floor = to[d] < real(least_denominator);
    const real r = 1 / (floor ? real(least_denominator) : to[d]);
    const real dot = r * r * team.sum(d, [&](int c) { return dor[c] * to[c]; });
    team.each(d, [&](int c) { to[c] = r * dor[c]; });
    team.once([&] { to[d] = floor ? real(0) : -dot; });
  }
};

struct LinearForward {
  HeadRows<real> o; HeadRows<const real> q, k, v; LinearAttentionShape n;
  int images() const { return n.B; }
  int heads() const { return n.H; }
  int queries() const { return n.L; }
  int keys() const { return std::max(n.m, n.d + 1); }         // a slot holds at most L x this, or S
  struct Matrices { const real* data; int stride; size_t step; };      // one an image
  Matrices values(Tile& tile, int h, int b, int images) const {
    if (!n.normalised) return {v.at(b, 0, h, n.d), v.width, v.step()};
    real* extended = tile.scratch(0, size_t(images) * n.L * n.columns());
    tile.rows(size_t(images) * n.L, AppendOne{extended, v.at(b, 0, h, n.d), n.d, v.width});
    return {extended, n.columns(), size_t(n.L) * n.columns()};
  }
  real* state(Tile& tile, Matrices values, int h, int b, int images) const {
    const size_t size = size_t(n.m) * n.columns();
    real* S = tile.scratch(1, images * size);
    tile.gemm({.c = S,
               .a = k.at(b, 0, h, n.m),
               .b = values.data,
               .m = n.m,
               .n = n.columns(),
               .k = n.L,
               .ta = true,
               .lda = k.width,
               .ldb = values.stride,
               .batch = images,
               .step_a = k.step(),
               .step_b = values.step,
               .step_c = size});
    return S;
  }
  void product(Tile& tile, real* to, int stride, size_t step, const real* S, int h, int b, int images) const {  // c q S
    tile.gemm({.c = to,
               .a = q.at(b, 0, h, n.m),
               .b = S,
               .m = n.L,
               .n = n.columns(),
               .k = n.m,
               .alpha = n.scale,
               .lda = q.width,
               .ldc = stride,
               .batch = images,
               .step_a = q.step(),
               .step_b = size_t(n.m) * n.columns(),
               .step_c = step});
  }
  void operator()(Tile& tile, int h, int b, int images) const {
    const real* S = state(tile, values(tile, h, b, images), h, b, images);
    if (!n.normalised) return product(tile, o.at(b, 0, h, n.d), o.width, o.step(), S, h, b, images);
    const size_t size = size_t(n.L) * n.columns();
    real* nD = tile.scratch(2, images * size);
    product(tile, nD, n.columns(), size, S, h, b, images);
    tile.rows(size_t(images) * n.L, DivideByLast{o.at(b, 0, h, n.d), nD, n.d, o.width});
  }
};

struct LinearBackward {
  HeadRows<real> dq, dk, dv; HeadRows<const real> d_o; LinearForward forward;
  int images() const { return forward.images(); }
  int heads() const { return forward.heads(); }
  int queries() const { return forward.queries(); }
  int keys() const { return forward.keys(); }
  void operator()(Tile& tile, int h, int b, int images) const {
    const LinearAttentionShape& n = forward.n;
    const HeadRows<const real>&q = forward.q, &k = forward.k;
    const int w = n.columns();
    const size_t size = size_t(n.m) * w, rows = size_t(images) * n.L;
    const auto values = forward.values(tile, h, b, images);
    const real* S = forward.state(tile, values, h, b, images);
    LinearForward::Matrices dn{d_o.at(b, 0, h, n.d), d_o.width, d_o.step()};
    if (n.normalised) {
      real* nD = tile.scratch(2, rows * w);
      forward.product(tile, nD, w, size_t(n.L) * w, S, h, b, images);
      tile.rows(rows, DivideByLastBackward{nD, dn.data, n.d, dn.stride});
      dn = {nD, w, size_t(n.L) * w};
    }
    real* dS = tile.scratch(3, images * size);
    tile.gemm({.c = dS,
               .a = q.at(b, 0, h, n.m),
               .b = dn.data,
               .m = n.m,
               .n = w,
               .k = n.L,
               .ta = true,
               .alpha = n.scale,
               .lda = q.width,
               .ldb = dn.stride,
               .batch = images,
               .step_a = q.step(),
               .step_b = dn.step,
               .step_c = size});
    tile.gemm({.c = dq.at(b, 0, h, n.m),
               .a = dn.data,
               .b = S,
               .m = n.L,
               .n = n.m,
               .k = w,
               .tb = true,
               .alpha = n.scale,
               .beta = 1,
               .lda = dn.stride,
               .ldc = dq.width,
               .batch = images,
               .step_a = dn.step,
               .step_b = size,
               .step_c = dq.step()});
    tile.gemm({.c = dk.at(b, 0, h, n.m),
               .a = values.data,
               .b = dS,
               .m = n.L,
               .n = n.m,
               .k = w,
               .tb = true,
               .beta = 1,
               .lda = values.stride,
               .ldc = dk.width,
               .batch = images,
               .step_a = values.step,
               .step_b = size,
               .step_c = dk.step()});
    tile.gemm({.c = dv.at(b, 0, h, n.d),
               .a = k.at(b, 0, h, n.m),
               .b = dS,
               .m = n.L,
               .n = n.d,
               .k = n.m,
               .beta = 1,
               .lda = k.width,
               .ldb = w,
               .ldc = dv.width,
               .batch = images,
               .step_a = k.step(),
               .step_b = size,
               .step_c = dv.step()});
  }
};

// Features q and k [B,L,·] of m channels a head, v[B,L,·] of d -> [B,L,H d]
inline Tensor linear_attention(Tape& t, HeadView q, HeadView k, HeadView v, int heads, int m, int d, bool normalised,
                               double scale = 1) {
  const LinearAttentionShape n{.B = q.x.shape[0], .H = heads, .L = q.x.shape[1], .m = m, .d = d,
                               .normalised = normalised, .scale = real(scale)};
  for (auto [view, width] : {std::pair{q, m}, {k, m}, {v, d}})
    require_heads("linear attention", view, n.B, n.L, heads, width);
  Tensor o = t.make("linear attention", {n.B, n.L, heads * d}, {q.x, k.x, v.x});
  auto forward = [=, &t](real* output) {
    return LinearForward{.o = {output, n.L, heads * d},
                         .q = read_heads(t, q),
                         .k = read_heads(t, k),
                         .v = read_heads(t, v),
                         .n = n};
  };
  t.device.tiles(forward(t.value(o)));
  t.on_backward(o, [=, &t] {
    const HeadRows<const real> d_o{t.gradient(o), n.L, heads * d};
    t.device.tiles(LinearBackward{.dq = write_heads(t, q),
                                  .dk = write_heads(t, k),
                                  .dv = write_heads(t, v),
                                  .d_o = d_o,
                                  .forward = forward(nullptr)});
  });
  return o;
}

// The same with a head for each channel, o_i = q_i ⊙ Σ_j k_j ⊙ v_j (Hydra attention: Bolya et al. 2022, 2209.07484,
// eq. 6). With s = Σ_j k_j ⊙ v_j:  dq = do ⊙ s,  ds = Σ_i do_i ⊙ q_i,  dk = ds ⊙ v,  dv = ds ⊙ k
struct ScaleByImage {                                          // y[row, :] (+)= x[row, :] ⊙ s[image, :]
  real* y; const real *x, *s; int L, C, stride_y, stride_x, add;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real* sb = s + row / L * C;
    team.each(C, [&](int c) {
      y[row * stride_y + c] = previous(add, y[row * stride_y + c]) + x[row * stride_x + c] * sb[c];
    });
  }
};

// q and k [B,L,C], v a view of so many channels -> [B,L,C]
inline Tensor hydra_product(Tape& t, Tensor q, Tensor k, HeadView v) {
  const int B = q.shape[0], L = q.shape[1], C = q.shape.last();
  if (k.shape != q.shape) fail(ExitCode::failed, "hydra: keys are {}, expected {}", k.shape.text(), q.shape.text());
  require_heads("hydra", v, B, L, 1, C);
  Tensor o = t.make("hydra", q.shape, {q, k, v.x});
  const Saved<real> s = t.saved<real>(size_t(B) * C);
  const auto values = read_heads(t, v);
  const size_t rows = size_t(B) * L;
  sum_over_tokens(t.device, s->data, ProductTerm{t.value(k), values.data, C, values.width}, B, L, C);
  t.device.rows(rows, ScaleByImage{.y = t.value(o), .x = t.value(q), .s = s->data, .L = L, .C = C, .stride_y = C,
                                    .stride_x = C, .add = 0});
  t.on_backward(o, [=, &t] {
    const real* d_o = t.gradient(o);
    const auto values = read_heads(t, v);
    const Gradient dq = t.add_gradient(q), dk = t.add_gradient(k);
    const Temporary<real> ds = t.temporary<real>(size_t(B) * C);
    sum_over_tokens(t.device, ds.data, ProductTerm{d_o, t.value(q), C, C}, B, L, C);
    t.device.rows(rows, ScaleByImage{.y = dq.data, .x = d_o, .s = s->data, .L = L, .C = C, .stride_y = C, .stride_x = C,
                                      .add = dq.add});
    t.device.rows(rows, ScaleByImage{.y = dk.data, .x = values.data, .s = ds.data, .L = L, .C = C, .stride_y = C,
                                      .stride_x = values.width, .add = dk.add});
    t.device.rows(rows, ScaleByImage{.y = write_heads(t, v).data, .x = t.value(k), .s = ds.data, .L = L, .C = C,
                                      .stride_y = values.width, .stride_x = C, .add = 1});
  });
  return o;
}

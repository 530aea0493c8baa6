// Differential attention (Ye et al. 2024, 2410.05258, eq. 1 to 3): two maps a head, one subtracted from the other, with
// any φ.
//
//   o = (A₁ - λ A₂) v   A₁ = φ(q₁ k₁ᵀ/√d)   A₂ = φ(q₂ k₂ᵀ/√d)   λ = exp(λq₁·λk₁) - exp(λq₂·λk₂) + λ₀
//   backward   dA₁ = do vᵀ   dA₂ = -λ dA₁   dλ = -Σ dA₁ ⊙ A₂   dv += (A₁ - λ A₂)ᵀ do, the scores of each map as ever
//
// q and k have 2H heads of d channels, maps 2h and 2h + 1 make head h, and v and o have H heads of 2d.
// defines: differential_attention, differential_lambda
#pragma once
#include "engine/attention/attention.h"
#include "engine/ops/column_sums.h"

struct Difference {                                            // W = A₁ - λ A₂; W may be A₁
  real* W; const real *A1, *A2, *lambda; int L;
  template <class Team> HD void operator()(Team team, size_t row) const {
    team.each(L, [&](int j) { W[row * L + j] = A1[row * L + j] - *lambda * A2[row * L + j]; });
  }
};
struct DifferenceBackward {                                    // dA₂ = -λ dA₁; dlambda[image, row] = -Σ_j dA₁ A₂
  real *dA2, *dlambda; const real *dA1, *A2, *lambda; int L, rows; size_t step;      // of dlambda, from image to image
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real *g = dA1 + row * L, *a = A2 + row * L;
    team.each(L, [&](int j) { dA2[row * L + j] = -*lambda * g[j]; });
    const real sum = team.sum(L, [&](int j) { return g[j] * a[j]; });
    team.once([&] { dlambda[row / rows * step + row % rows] = -sum; });
  }
};

// `maps` has the 2H maps; its v and o are read as H heads of 2d channels.
struct DifferentialForward {
  AttentionForward maps; const real* lambda;
  int images() const { return maps.n.B; }
  int heads() const { return maps.n.H / 2; }
  int queries() const { return maps.n.Lq; }
  int keys() const { return 2 * maps.n.L; }                   // of both maps
  void operator()(Tile& tile, int h, int b, int images) const {
    const AttentionShape& n = maps.n;
    AttentionProbe* const probe = maps.probe;
    const int most = tile.query_rows(n.Lq, keys());
    for (int first = 0; first < n.Lq; first += most) {
      const int rows = std::min(most, n.Lq - first);
      const size_t scores = size_t(rows) * n.L, map = images * scores;
      real* S = tile.scratch(0, 2 * map);
      real* A = probe ? tile.scratch(1, 2 * map) : S;
      for (int i : {0, 1}) maps.weights(tile, S + i * map, A + i * map, 2 * h + i, b, images, first, rows);
      real* W = probe ? tile.scratch(2, map) : A;
      tile.rows(size_t(images) * rows, Difference{.W = W, .A1 = A, .A2 = A + map, .lambda = lambda, .L = n.L});
      maps.weigh_values(tile, W, h, b, images, first, rows);
      if (probe)
        for (int i : {0, 1})
          tile.show(*probe, images,
                    {.image = b, .head = 2 * h + i, .first_row = first, .rows = rows, .L = n.L, .S = S + i * map,
                     .A = A + i * map});
    }
  }
};

struct DifferentialBackward {
  AttentionBackward maps; const real* lambda; real* dlambda;      // dlambda[B, H, Lq]
  int images() const { return maps.images(); }
  int heads() const { return maps.heads() / 2; }
  int queries() const { return maps.queries(); }
  int keys() const { return 2 * maps.keys(); }
  void operator()(Tile& tile, int h, int b, int images) const {
    const AttentionShape& n = maps.forward.n;
    AttentionProbe* const probe = maps.forward.probe;
    const int most = tile.query_rows(n.Lq, keys());
    for (int first = 0; first < n.Lq; first += most) {
      const int rows = std::min(most, n.Lq - first);
      const size_t scores = size_t(rows) * n.L, map = images * scores, all_rows = size_t(images) * rows;
      real *S = tile.scratch(0, 2 * map), *A = tile.scratch(1, 2 * map), *dA = tile.scratch(2, 2 * map), *W = dA;
      real* dS = probe ? tile.scratch(3, 2 * map) : dA;
      for (int i : {0, 1}) maps.forward.weights(tile, S + i * map, A + i * map, 2 * h + i, b, images, first, rows);
      tile.rows(all_rows, Difference{.W = W, .A1 = A, .A2 = A + map, .lambda = lambda, .L = n.L});
      maps.add_value_gradients(tile, W, h, b, images, first, rows);
      maps.weight_gradients(tile, dA, h, b, images, first, rows);
      const size_t heads_rows = size_t(heads()) * n.Lq;
      tile.rows(all_rows, DifferenceBackward{.dA2 = dA + map,
                                             .dlambda = dlambda + b * heads_rows + size_t(h) * n.Lq + first,
                                             .dA1 = dA,
                                             .A2 = A + map,
                                             .lambda = lambda,
                                             .L = n.L,
                                             .rows = rows,
                                             .step = heads_rows});
      for (int i : {0, 1}) {
        maps.forward.f->backward(tile, all_rows, dS + i * map, dA + i * map, A + i * map, S + i * map, n.L);
        maps.add_score_gradients(tile, dS + i * map, 2 * h + i, b, images, first, rows);
        if (probe)
          tile.show(*probe, images,
                    {.image = b, .head = 2 * h + i, .first_row = first, .rows = rows, .L = n.L, .S = S + i * map,
                     .A = A + i * map, .dA = dA + i * map, .dS = dS + i * map});
      }
    }
  }
};

// q and k [B,L,·] with `maps` heads of d channels, v[B,L,·] with maps/2 heads of 2d, lambda[1] -> [B,L,maps d]. A probe
// sees each map as a head.
inline Tensor differential_attention(Tape& t, HeadView q, HeadView k, HeadView v, int maps, int d,
                                     std::string_view function, double alpha, Tensor lambda,
                                     AttentionProbe* probe = nullptr) {
  const int L = q.x.shape[1];
  const AttentionShape n{.B = q.x.shape[0], .H = maps, .Lq = L, .L = L, .d = d, .dv = 2 * d};
  for (HeadView view : {q, k, v}) require_heads("differential attention", view, n.B, n.L, maps, d);
  if (maps % 2) fail(ExitCode::failed, "differential attention: {} maps, expected an even number", maps);
  Tensor o = t.make("differential attention", {n.B, n.L, maps * d}, {q.x, k.x, v.x, lambda});
  const size_t rows = size_t(n.B) * (maps / 2) * n.L;
  const auto f = row_function(function, alpha, n.L);
  if (f->has_number)
    fail(ExitCode::failed, "differential attention: {} has a number of the head, for which there is no place",
         function);
  auto forward = [=, &t](real* output) {
    return AttentionForward{.o = {output, n.L, maps * d},
                            .q = product_heads(t, q),
                            .k = product_heads(t, k),
                            .v = product_heads(t, v),
                            .n = n,
                            .f = f,
                            .scale = 1 / std::sqrt(real(d)),
                            .probe = probe,
                            .learned = {}};
  };
  t.device.tiles(DifferentialForward{forward(t.value(o)), t.value(lambda)});
  t.on_backward(o, [=, &t] {
    const HeadOperands d_o{t.gradient(o), n.L, maps * d};
    AttentionBackward both{.dq = write_heads(t, q),
                           .dk = write_heads(t, k),
                           .dv = write_heads(t, v),
                           .d_o = d_o,
                           .forward = forward(nullptr),
                           .parts = {}};
    const Temporary<real> dlambda = t.temporary<real>(rows);
    t.device.tiles(DifferentialBackward{.maps = both, .lambda = t.value(lambda), .dlambda = dlambda.data});
    both.forward.n.dv = d;                                    // to a probe a map has half of the head's values
    both.show_operands(t.device);
    add_column_sums(t, lambda, Values{dlambda.data, 1}, rows);
  });
  return o;
}

struct LambdaForward {
  real *lambda, *exponentials; const real *q1, *k1, *q2, *k2; int d; real first;
  template <class Team> HD void operator()(Team team, size_t) const {
    const real one = exponential(team.sum(d, [&](int c) { return q1[c] * k1[c]; })),
               two = exponential(team.sum(d, [&](int c) { return q2[c] * k2[c]; }));
    team.once([&] { exponentials[0] = one; exponentials[1] = two; *lambda = one - two + first; });
  }
};
struct LambdaBackward {
  Gradient dq1, dk1, dq2, dk2; const real *dlambda, *exponentials, *q1, *k1, *q2, *k2;
  HD void operator()(size_t c) const {
    const real one = *dlambda * exponentials[0], two = -*dlambda * exponentials[1];
    dq1.data[c] = previous(dq1.add, dq1.data[c]) + one * k1[c];
    dk1.data[c] = previous(dk1.add, dk1.data[c]) + one * q1[c];
    dq2.data[c] = previous(dq2.add, dq2.data[c]) + two * k2[c];
    dk2.data[c] = previous(dk2.add, dk2.data[c]) + two * q2[c];
  }
};
// λ₀ of a layer, counted from 0 (2410.05258, section 2.1)
inline double first_lambda(int layer) { return 0.8 - 0.6 * std::exp(-0.3 * layer); }

// [1]; q1, k1, q2, k2 [d], `first` the λ₀ of the layer
inline Tensor differential_lambda(Tape& t, Tensor q1, Tensor k1, Tensor q2, Tensor k2, double first) {
  const int d = q1.shape.last();
  Tensor lambda = t.make("differential lambda", {1}, {q1, k1, q2, k2});
  const Saved<real> exponentials = t.saved<real>(2);
  t.device.rows(1, LambdaForward{.lambda = t.value(lambda),
                                    .exponentials = exponentials->data,
                                    .q1 = t.value(q1),
                                    .k1 = t.value(k1),
                                    .q2 = t.value(q2),
                                    .k2 = t.value(k2),
                                    .d = d,
                                    .first = real(first)});
  t.on_backward(lambda, [=, &t] {
    t.device.each(d, LambdaBackward{.dq1 = t.add_gradient(q1),
                                    .dk1 = t.add_gradient(k1),
                                    .dq2 = t.add_gradient(q2),
                                    .dk2 = t.add_gradient(k2),
                                    .dlambda = t.gradient(lambda),
                                    .exponentials = exponentials->data,
                                    .q1 = t.value(q1),
                                    .k1 = t.value(k1),
                                    .q2 = t.value(q2),
                                    .k2 = t.value(k2)});
  });
  return lambda;
}

// o_i = Σ_j a_ij v_j,  a_i = φ(s_i),  s_ij = q_i · k_j / √d  for every image and head, tile by tile: the L x L scores and
// weights exist for one tile at a time and are computed again in the backward pass.
//
//   forward   S = q kᵀ/√d   A = φ(S)   o = A v
//   backward  S, A again;  dA = do vᵀ;  dv += Aᵀ do;  dS = φ'(S; A, dA);  dq += dS k/√d;  dk += dSᵀ q/√d
//
// A tile is some query rows of one head, of one image (CPU) or several (CUDA), against all their keys: φ sees whole rows and
// may be any row function. The device's Tile says how many rows at once.
// defines: HeadView, AttentionProbe, AttentionTile, AttentionOperands, attention
#pragma once
#include "engine/attention/functions.h"
#include "engine/error.h"
#include "engine/ops/elementwise.h"
#include "engine/tape.h"

// The H heads of d channels that start at column `offset` of x[B,L,W].
struct HeadView { Tensor x; int offset = 0; };

// q, k, v, o or their gradients: element (b, i, h, c) lies at data + (b L + i) width + h d + c
template <class T> struct HeadRows {
  T* data; int L, width;
  HD T* at(size_t b, int i, int h, int d) const { return data + (b * L + i) * size_t(width) + h * d; }
  HD size_t step() const { return size_t(L) * width; }                   // from image to image
};

struct AttentionShape {
  int B, H, Lq, L, d;
};

// One tile as a probe sees it: row-major [rows, L] in host memory, valid during the call. dA and dS are null in a forward pass.
struct AttentionTile {
  int image, head, first_row, rows, L;
  const real *S, *A, *dA, *dS;
};
// What a backward pass read and made, on the device.
struct AttentionOperands {
  AttentionShape n;
  HeadRows<const real> q, k, v, d_o, dq, dk, dv;
};
struct AttentionProbe {
  virtual ~AttentionProbe() = default;
  // Called while the real computation passes, from several threads at once, never twice at once for the same image and head.
  // With recording on, it is called again with gradients in the backward pass.
  virtual void tile(const AttentionTile& tile) = 0;
  // Called once after the tiles of a backward pass.
  virtual void operands(Device&, const AttentionOperands&) {}
};

template <class F> struct WeightsForward {                    // A = φ(S), row by row
  real* A; const real* S; F f; int L;
  template <class Team> HD void operator()(Team team, size_t row) const { f.forward(team, A + row * L, S + row * L, L); }
};
template <class F> struct WeightsBackward {                   // dS = φ'(S; A, dA)
  real* dS; const real *dA, *A, *S; F f; int L;
  template <class Team> HD void operator()(Team team, size_t row) const {
    f.backward(team, dS + row * L, dA + row * L, A + row * L, S + row * L, L);
  }
};

template <class F> struct AttentionForward {
  HeadRows<real> o; HeadRows<const real> q, k, v; AttentionShape n; F f; real scale; AttentionProbe* probe;
  int images() const { return n.B; }
  int heads() const { return n.H; }
  int queries() const { return n.Lq; }
  int keys() const { return n.L; }
  template <class Tile> void operator()(Tile& tile, int h, int b, int images) const {
    const int most = tile.query_rows(n.Lq, n.L);
    for (int first = 0; first < n.Lq; first += most) {
      const int rows = std::min(most, n.Lq - first);
      const size_t scores = size_t(rows) * n.L;
      real* S = tile.scratch(0, images * scores);
      real* A = probe ? tile.scratch(1, images * scores) : S;
      weights(tile, S, A, h, b, images, first, rows);
      tile.gemm({.c = o.at(b, first, h, n.d), .a = A, .b = v.at(b, 0, h, n.d), .m = rows, .n = n.d, .k = n.L, .ldb = v.width, .ldc = o.width,
                 .batch = images, .step_a = scores, .step_b = v.step(), .step_c = o.step()});
      if (probe) tile.show(*probe, images, {b, h, first, rows, n.L, S, A, nullptr, nullptr});
    }
  }
  template <class Tile> void weights(Tile& tile, real* S, real* A, int h, int b, int images, int first, int rows) const {
    tile.gemm({.c = S, .a = q.at(b, first, h, n.d), .b = k.at(b, 0, h, n.d), .m = rows, .n = n.L, .k = n.d, .tb = true, .alpha = scale,
               .lda = q.width, .ldb = k.width, .batch = images, .step_a = q.step(), .step_b = k.step(), .step_c = size_t(rows) * n.L});
    tile.rows(size_t(images) * rows, WeightsForward<F>{A, S, f, n.L});
  }
};

template <class F> struct AttentionBackward {
  HeadRows<real> dq, dk, dv; HeadRows<const real> d_o; AttentionForward<F> forward;
  int images() const { return forward.images(); }
  int heads() const { return forward.heads(); }
  int queries() const { return forward.queries(); }
  int keys() const { return forward.keys(); }
  template <class Tile> void operator()(Tile& tile, int h, int b, int images) const {
    const auto& [o, q, k, v, n, f, scale, probe] = forward;
    const int most = tile.query_rows(n.Lq, n.L);
    for (int first = 0; first < n.Lq; first += most) {
      const int rows = std::min(most, n.Lq - first);
      const size_t scores = size_t(rows) * n.L;
      real *S = tile.scratch(0, images * scores), *A = tile.scratch(1, images * scores), *dA = tile.scratch(2, images * scores);
      real* dS = probe ? tile.scratch(3, images * scores) : dA;
      const real *dout = d_o.at(b, first, h, n.d), *queries = q.at(b, first, h, n.d), *keys = k.at(b, 0, h, n.d);
      forward.weights(tile, S, A, h, b, images, first, rows);
      tile.gemm({.c = dA, .a = dout, .b = v.at(b, 0, h, n.d), .m = rows, .n = n.L, .k = n.d, .tb = true, .lda = d_o.width, .ldb = v.width,
                 .batch = images, .step_a = d_o.step(), .step_b = v.step(), .step_c = scores});
      tile.gemm({.c = dv.at(b, 0, h, n.d), .a = A, .b = dout, .m = n.L, .n = n.d, .k = rows, .ta = true, .beta = 1, .ldb = d_o.width, .ldc = dv.width,
                 .batch = images, .step_a = scores, .step_b = d_o.step(), .step_c = dv.step()});
      tile.rows(size_t(images) * rows, WeightsBackward<F>{dS, dA, A, S, f, n.L});
      tile.gemm({.c = dq.at(b, first, h, n.d), .a = dS, .b = keys, .m = rows, .n = n.d, .k = n.L, .alpha = scale, .beta = 1, .ldb = k.width,
                 .ldc = dq.width, .batch = images, .step_a = scores, .step_b = k.step(), .step_c = dq.step()});
      tile.gemm({.c = dk.at(b, 0, h, n.d), .a = dS, .b = queries, .m = n.L, .n = n.d, .k = rows, .ta = true, .alpha = scale, .beta = 1,
                 .ldb = q.width, .ldc = dk.width, .batch = images, .step_a = scores, .step_b = q.step(), .step_c = dk.step()});
      if (probe) tile.show(*probe, images, {b, h, first, rows, n.L, S, A, dA, dS});
    }
  }
};

// q[B,Lq,·], k and v[B,L,·] -> [B,Lq,H d]. `function` is a name of AttentionFunctions, alpha its exponent of L.
inline Tensor attention(Tape& t, HeadView q, HeadView k, HeadView v, int heads, int d, std::string_view function, double alpha,
                        AttentionProbe* probe = nullptr) {
  const AttentionShape n{q.x.shape[0], heads, q.x.shape[1], k.x.shape[1], d};
  for (auto [view, length] : {std::pair{q, n.Lq}, {k, n.L}, {v, n.L}})
    if (view.x.shape.rank() != 3 || view.x.shape[0] != n.B || view.x.shape[1] != length || view.offset + heads * d > view.x.shape[2])
      fail(ExitCode::failed, "attention: input is {}, expected [{}, {}, at least {}]", view.x.shape.text(), n.B, length, view.offset + heads * d);
  Tensor o = t.make("attention", {n.B, n.Lq, heads * d}, {q.x, k.x, v.x});
  auto read = [&t](HeadView view) { return HeadRows<const real>{t.value(view.x) + view.offset, view.x.shape[1], view.x.shape[2]}; };
  const real scale = 1 / std::sqrt(real(d));
  const bool known = AttentionFunctions::visit(function, alpha, n.L, [&](auto f) {
    auto forward = [=, &t] {
      return AttentionForward<decltype(f)>{{t.value(o), n.Lq, heads * d}, read(q), read(k), read(v), n, f, scale, probe};
    };
    t.device.tiles(forward());
    t.on_backward(o, [=, &t] {
      auto write = [&t](HeadView view) { return HeadRows<real>{t.add_into_gradient(view.x) + view.offset, view.x.shape[1], view.x.shape[2]}; };
      const HeadRows<const real> d_o{t.gradient(o), n.Lq, heads * d};
      const AttentionBackward<decltype(f)> backward{write(q), write(k), write(v), d_o, forward()};
      t.device.tiles(backward);
      auto made = [](HeadRows<real> rows) { return HeadRows<const real>{rows.data, rows.L, rows.width}; };
      if (probe) probe->operands(t.device, {n, read(q), read(k), read(v), d_o, made(backward.dq), made(backward.dk), made(backward.dv)});
    });
  });
  if (!known) fail(ExitCode::usage, "attention function '{}' is unknown", function);
  return o;
}

// o_i = Σ_j a_ij v_j,  a_i = φ(s_i),  s_ij = q_i · k_j / √d  for every image and head, tile by tile: the L x L scores
// and weights exist for one tile at a time and are computed again in the backward pass.
//
//   forward   S = q kᵀ/√d   A = φ(S)   o = A v
//   backward  S, A again;  dA = do vᵀ;  dv += Aᵀ do;  dS = φ'(S; A, dA);  dq += dS k/√d;  dk += dSᵀ q/√d
//
// A tile is some query rows of one head, of one image (CPU) or several (CUDA), against all their keys: φ sees whole
// rows and may be any row function. The device's Tile says how many rows at once.
// defines: AttentionForward, AddToHeads, AttentionBackward
#pragma once
#include "engine/attention/probe.h"
#include "engine/attention/row_function.h"
#include "engine/error.h"

struct AttentionForward {
  HeadOutputs o;
  HeadOperands q, k, v;
  AttentionShape n;
  std::shared_ptr<const RowFunction> f;
  real scale;
  AttentionProbe* probe;
  Learned<HeadNumbers> learned;
  real* saved = nullptr;  // by a fused forward for its backward; see Device::fuses
  int images() const { return n.B; }
  int heads() const { return n.H; }
  int queries() const { return n.Lq; }
  int keys() const { return n.L; }
  void operator()(Tile& tile, int h, int b, int images) const {
    const int most = tile.query_rows(n.Lq, n.L);
    for (int first = 0; first < n.Lq; first += most) {
      const int rows = std::min(most, n.Lq - first);
      const size_t scores = size_t(rows) * n.L;
      real* S = tile.scratch(0, images * scores);
      real* A = probe ? tile.scratch(1, images * scores) : S;
      weights(tile, S, A, h, b, images, first, rows);
      weigh_values(tile, A, h, b, images, first, rows);
      if (probe)
        tile.show(*probe, images,
                  {.image = b, .head = h, .first_row = first, .rows = rows, .L = n.L, .S = S, .A = A});
    }
  }
  Learned<const real*> learned_by(int h) const {
    return learned.map<const real*>([=](const HeadNumbers& x) { return x.of(h); });
  }
  void weights(Tile& tile, real* S, real* A, int h, int b, int images, int first, int rows) const {
    scores(tile, S, h, b, images, first, rows);
    f->forward(tile, size_t(images) * rows, A, S, n.L, learned_by(h));
  }
  void scores(Tile& tile, real* S, int h, int b, int images, int first, int rows) const {
    tile.gemm({.c = S,
               .a = q.at(b, first, h, n.d),
               .b = k.at(b, 0, h, n.d),
               .m = rows,
               .n = n.L,
               .k = n.d,
               .tb = true,
               .alpha = scale,
               .lda = q.width,
               .ldb = k.width,
               .batch = images,
               .step_a = q.step(),
               .step_b = k.step(),
               .step_c = size_t(rows) * n.L});
  }
  // o = A v
  void weigh_values(Tile& tile, const real* A, int h, int b, int images, int first, int rows) const {
    tile.gemm({.c = o.at(b, first, h, n.dv),
               .a = A,
               .b = v.at(b, 0, h, n.dv),
               .m = rows,
               .n = n.dv,
               .k = n.L,
               .ldb = v.width,
               .ldc = o.width,
               .batch = images,
               .step_a = size_t(rows) * n.L,
               .step_b = v.step(),
               .step_c = o.step()});
  }
};

// Whether to add to what is in dq, dk, dv.
struct AddToHeads { int q = 1, k = 1, v = 1; };

struct AttentionBackward {
  HeadOutputs dq, dk, dv; HeadOperands d_o; AttentionForward forward; Learned<real*> parts; AddToHeads add = {};
  int images() const { return forward.images(); }
  int heads() const { return forward.heads(); }
  int queries() const { return forward.queries(); }
  int keys() const { return forward.keys(); }
  void operator()(Tile& tile, int h, int b, int images) const {
    const AttentionShape& n = forward.n;
    AttentionProbe* const probe = forward.probe;
    if (dq.rounded || dk.rounded || dv.rounded)
      fail(ExitCode::failed,
           "attention: the forward pass was fused, and its backward cannot be: heads of {} lie at odd places", n.d);
    const int most = tile.query_rows(n.Lq, n.L);
    for (int first = 0; first < n.Lq; first += most) {
      const int rows = std::min(most, n.Lq - first);
      const size_t scores = size_t(rows) * n.L;
      real *S = tile.scratch(0, images * scores), *A = tile.scratch(1, images * scores),
           *dA = tile.scratch(2, images * scores);
      real* dS = probe ? tile.scratch(3, images * scores) : dA;
      forward.weights(tile, S, A, h, b, images, first, rows);
      weight_gradients(tile, dA, h, b, images, first, rows);
      add_value_gradients(tile, A, h, b, images, first, rows);
      const TileRows place{.first = (size_t(b) * n.Lq + first) * n.H + h, .rows = rows, .Lq = n.Lq, .H = n.H};
      forward.f->backward(tile, size_t(images) * rows, dS, dA, A, S, n.L, forward.learned_by(h), parts, place);
      add_score_gradients(tile, dS, h, b, images, first, rows);
      if (probe)
        tile.show(*probe, images,
                  {.image = b, .head = h, .first_row = first, .rows = rows, .L = n.L, .S = S, .A = A, .dA = dA,
                   .dS = dS});
    }
  }
  void show_operands(Device& device) const {
    auto made = [](const HeadOutputs& rows) { return HeadOperands{rows.data, rows.L, rows.width}; };
    if (forward.probe)
      forward.probe->operands(device, {.n = forward.n, .q = forward.q, .k = forward.k, .v = forward.v, .d_o = d_o,
                                       .dq = made(dq), .dk = made(dk), .dv = made(dv)});
  }
  // dA = do vᵀ
  void weight_gradients(Tile& tile, real* dA, int h, int b, int images, int first, int rows) const {
    const AttentionShape& n = forward.n;
    const HeadOperands& v = forward.v;
    tile.gemm({.c = dA,
               .a = d_o.at(b, first, h, n.dv),
               .b = v.at(b, 0, h, n.dv),
               .m = rows,
               .n = n.L,
               .k = n.dv,
               .tb = true,
               .lda = d_o.width,
               .ldb = v.width,
               .batch = images,
               .step_a = d_o.step(),
               .step_b = v.step(),
               .step_c = size_t(rows) * n.L});
  }
  // dv += Aᵀ do
  void add_value_gradients(Tile& tile, const real* A, int h, int b, int images, int first, int rows) const {
    const AttentionShape& n = forward.n;
    tile.gemm({.c = dv.at(b, 0, h, n.dv),
               .a = A,
               .b = d_o.at(b, first, h, n.dv),
               .m = n.L,
               .n = n.dv,
               .k = rows,
               .ta = true,
               .beta = real(first || add.v),
               .ldb = d_o.width,
               .ldc = dv.width,
               .batch = images,
               .step_a = size_t(rows) * n.L,
               .step_b = d_o.step(),
               .step_c = dv.step()});
  }
  void add_score_gradients(Tile& tile, const real* dS, int h, int b, int images, int first, int rows) const {
    const AttentionShape& n = forward.n;
    const HeadOperands &q = forward.q, &k = forward.k;
    const real scale = forward.scale;
    const Operand ds = tile.operand(dS, size_t(images) * rows * n.L);
    tile.gemm({.c = dq.at(b, first, h, n.d),
               .a = ds,
               .b = k.at(b, 0, h, n.d),
               .m = rows,
               .n = n.d,
               .k = n.L,
               .alpha = scale,
               .beta = real(add.q),
               .ldb = k.width,
               .ldc = dq.width,
               .batch = images,
               .step_a = size_t(rows) * n.L,
               .step_b = k.step(),
               .step_c = dq.step()});
    tile.gemm({.c = dk.at(b, 0, h, n.d),
               .a = ds,
               .b = q.at(b, first, h, n.d),
               .m = n.L,
               .n = n.d,
               .k = rows,
               .ta = true,
               .alpha = scale,
               .beta = real(first || add.k),
               .ldb = q.width,
               .ldc = dk.width,
               .batch = images,
               .step_a = size_t(rows) * n.L,
               .step_b = q.step(),
               .step_c = dk.step()});
  }
};

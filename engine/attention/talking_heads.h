// Talking-heads attention (Shazeer et al. 2020, 2003.02436): the heads' scores are mixed before φ, and their weights
// after it.
//
//   S'_h = Σ_g pre_hg S_g   A = φ(S')   A'_h = Σ_g post_hg A_g   o = A' v
//   backward   dA' = do vᵀ   dpost = dA' Aᵀ   dA = postᵀ dA'   dS' = φ'(S'; A, dA)   dpre = dS' Sᵀ   dS = preᵀ dS'
//
// A tile is some query rows of all heads, [H, images, rows, L], so that mixing is a product with an H x H matrix.
// defines: talking_heads_attention
#pragma once
#include "engine/attention/attention.h"
#include "engine/ops/column_sums.h"

struct TalkingForward {
  AttentionForward heads_; const real *pre, *post;            // [H,H]
  int images() const { return heads_.n.B; }
  int heads() const { return 1; }                             // all at once
  int queries() const { return heads_.n.Lq; }
  int keys() const { return 2 * heads_.n.H * heads_.n.L; }    // a slot holds at most two tiles
  // c[H,part] = mix[H,H] x, or its transpose
  void mix(Tile& tile, real* c, const real* matrix, const real* x, size_t part, bool transposed) const {
    tile.gemm({.c = c, .a = matrix, .b = x, .m = heads_.n.H, .n = int(part), .k = heads_.n.H, .ta = transposed});
  }
  void weights(Tile& tile, real* S, real* mixed, real* A, int b, int images, int first, int rows) const {
    const auto& n = heads_.n;
    const size_t part = size_t(images) * rows * n.L;
    for (int h = 0; h < n.H; h++) heads_.scores(tile, S + h * part, h, b, images, first, rows);
    mix(tile, mixed, pre, S, part, false);
    heads_.f->forward(tile, size_t(n.H) * images * rows, A, mixed, n.L);
  }
  void operator()(Tile& tile, int, int b, int images) const {
    const AttentionShape& n = heads_.n;
    AttentionProbe* const probe = heads_.probe;
    const int most = tile.query_rows(n.Lq, keys());
    for (int first = 0; first < n.Lq; first += most) {
      const int rows = std::min(most, n.Lq - first);
      const size_t scores = size_t(rows) * n.L, part = images * scores;
      real *S = tile.scratch(0, n.H * part), *mixed = tile.scratch(1, n.H * part),
           *A = probe ? tile.scratch(2, n.H * part) : mixed, *used = S;
      weights(tile, S, mixed, A, b, images, first, rows);
      mix(tile, used, post, A, part, false);
      for (int h = 0; h < n.H; h++) {
        heads_.weigh_values(tile, used + h * part, h, b, images, first, rows);
        if (probe)
          tile.show(*probe, images,
                    {.image = b, .head = h, .first_row = first, .rows = rows, .L = n.L, .S = mixed + h * part,
                     .A = A + h * part});
      }
    }
  }
};

struct TalkingBackward {
  AttentionBackward heads_; TalkingForward forward; real *dpre, *dpost;      // of each image: [B,H,H]
  int images() const { return forward.images(); }
  int heads() const { return 1; }
  int queries() const { return forward.queries(); }
  int keys() const { return forward.keys(); }
  void operator()(Tile& tile, int, int b, int images) const {
    const AttentionShape& n = heads_.forward.n;
    AttentionProbe* const probe = heads_.forward.probe;
    const int most = tile.query_rows(n.Lq, keys());
    for (int first = 0; first < n.Lq; first += most) {
      const int rows = std::min(most, n.Lq - first);
      const size_t scores = size_t(rows) * n.L, part = images * scores, size = n.H * part, matrix = size_t(n.H) * n.H;
      real *S = tile.scratch(0, size), *mixed = tile.scratch(1, size), *A = tile.scratch(2, size),
           *used = tile.scratch(3, 2 * size), *d_used = used, *dA = used + size;
      forward.weights(tile, S, mixed, A, b, images, first, rows);
      forward.mix(tile, used, forward.post, A, part, false);
      for (int h = 0; h < n.H; h++) {
        heads_.add_value_gradients(tile, used + h * part, h, b, images, first, rows);
        heads_.weight_gradients(tile, d_used + h * part, h, b, images, first, rows);
      }
      // dmatrix[H,H] of each image += y xᵀ
      auto add_outer = [&](real* dmatrix, const real* y, const real* x) {
        tile.gemm({.c = dmatrix + b * matrix,
                   .a = y,
                   .b = x,
                   .m = n.H,
                   .n = n.H,
                   .k = int(scores),
                   .tb = true,
                   .beta = real(first > 0),
                   .lda = int(part),
                   .ldb = int(part),
                   .batch = images,
                   .step_a = scores,
                   .step_b = scores,
                   .step_c = matrix});
      };
      add_outer(dpost, d_used, A);
      forward.mix(tile, dA, forward.post, d_used, part, true);
      real* dmixed = d_used;
      heads_.forward.f->backward(tile, size_t(n.H) * images * rows, dmixed, dA, A, mixed, n.L);
      if (probe)
        for (int h = 0; h < n.H; h++)
          tile.show(*probe, images,
                    {.image = b, .head = h, .first_row = first, .rows = rows, .L = n.L, .S = mixed + h * part,
                     .A = A + h * part, .dA = dA + h * part, .dS = dmixed + h * part});
      add_outer(dpre, dmixed, S);
      real* dS = dA;
      forward.mix(tile, dS, forward.pre, dmixed, part, true);
      for (int h = 0; h < n.H; h++) heads_.add_score_gradients(tile, dS + h * part, h, b, images, first, rows);
    }
  }
};

// As attention() with as many queries as keys, and pre, post [H,H]. A probe sees what enters φ and leaves it, mixed
// scores and weights that are not mixed yet.
inline Tensor talking_heads_attention(Tape& t, HeadView q, HeadView k, HeadView v, int heads, int d,
                                      std::string_view function, double alpha, Tensor pre, Tensor post,
                                      AttentionProbe* probe = nullptr) {
  const int L = q.x.shape[1];
  const AttentionShape n{.B = q.x.shape[0], .H = heads, .Lq = L, .L = L, .d = d};
  for (HeadView view : {q, k, v}) require_heads("talking heads", view, n.B, n.L, heads, d);
  for (Tensor matrix : {pre, post})
    if (matrix.shape != Shape{heads, heads})
      fail(ExitCode::failed, "talking heads: a mixing matrix is {}, expected [{}, {}]", matrix.shape.text(), heads,
           heads);
  Tensor o = t.make("talking heads", {n.B, n.L, heads * d}, {q.x, k.x, v.x, pre, post});
  const size_t size = size_t(n.B) * heads * heads;
  const auto f = row_function(function, alpha, n.L);
  if (f->has_number)
    fail(ExitCode::failed, "talking heads: {} has a number of the head, for which there is no place", function);
  auto forward = [=, &t](real* output) {
    const AttentionForward plain{.o = {output, n.L, heads * d},
                                 .q = product_heads(t, q),
                                 .k = product_heads(t, k),
                                 .v = product_heads(t, v),
                                 .n = n,
                                 .f = f,
                                 .scale = 1 / std::sqrt(real(d)),
                                 .probe = probe,
                                 .learned = {}};
    return TalkingForward{.heads_ = plain, .pre = t.value(pre), .post = t.value(post)};
  };
  t.device.tiles(forward(t.value(o)));
  t.on_backward(o, [=, &t] {
    const HeadOperands d_o{t.gradient(o), n.L, heads * d};
    const TalkingForward again = forward(nullptr);
    const AttentionBackward heads_alone{.dq = write_heads(t, q),
                                        .dk = write_heads(t, k),
                                        .dv = write_heads(t, v),
                                        .d_o = d_o,
                                        .forward = again.heads_,
                                        .parts = {}};
    const Temporary<real> dpre = t.temporary<real>(size), dpost = t.temporary<real>(size);
    t.device.tiles(
        TalkingBackward{.heads_ = heads_alone, .forward = again, .dpre = dpre.data, .dpost = dpost.data});
    heads_alone.show_operands(t.device);
    add_column_sums(t, pre, Values{dpre.data, size_t(heads) * heads}, n.B);
    add_column_sums(t, post, Values{dpost.data, size_t(heads) * heads}, n.B);
  });
  return o;
}

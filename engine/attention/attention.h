// o_i = Σ_j a_ij v_j,  a_i = φ(s_i),  s_ij = q_i · k_j / √d  for every image and head, tile by tile: the L x L scores
// and weights exist for one tile at a time and are computed again in the backward pass.
//
//   forward   S = q kᵀ/√d   A = φ(S)   o = A v
//   backward  S, A again;  dA = do vᵀ;  dv += Aᵀ do;  dS = φ'(S; A, dA);  dq += dS k/√d;  dk += dSᵀ q/√d
//
// A tile is some query rows of one head, of one image (CPU) or several (CUDA), against all their keys: φ sees whole
// rows and may be any row function. The device's Tile says how many rows at once.
// defines: HeadView, read_heads, product_heads, write_heads, require_heads, attention
#pragma once
#include "engine/attention/probe.h"
#include "engine/attention/row_function.h"
#include "engine/error.h"
#include "engine/ops/linear.h"
#include "engine/tape.h"

// The H heads of d channels that start at column `offset` of x[B,L,W].
struct HeadView { Tensor x; int offset = 0; };

// Where the heads of a view lie, and where their gradients go.
inline HeadOperands product_heads(Tape& t, HeadView view) {
  Operand x = t.operand(view.x);
  x += size_t(view.offset);
  return {x, view.x.shape[1], view.x.shape[2]};
}
inline HeadRows<const real> read_heads(Tape& t, HeadView view) {
  return {t.value(view.x) + view.offset, view.x.shape[1], view.x.shape[2]};
}
inline HeadRows<real> write_heads(Tape& t, HeadView view) {
  return {t.add_into_gradient(view.x) + view.offset, view.x.shape[1], view.x.shape[2]};
}

// x must be [B,L,·] and hold the heads.
inline void require_heads(const char* op, HeadView view, int B, int L, int heads, int d) {
  if (view.x.shape.rank() != 3 || view.x.shape[0] != B || view.x.shape[1] != L ||
      view.offset + heads * d > view.x.shape[2])
    fail(ExitCode::failed, "{}: input is {}, expected [{}, {}, at least {}]", op, view.x.shape.text(), B, L,
         view.offset + heads * d);
}

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
      tile.gemm({.c = o.at(b, first, h, n.dv),
                 .a = A,
                 .b = v.at(b, 0, h, n.dv),
                 .m = rows,
                 .n = n.dv,
                 .k = n.L,
                 .ldb = v.width,
                 .ldc = o.width,
                 .batch = images,
                 .step_a = scores,
                 .step_b = v.step(),
                 .step_c = o.step()});
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
    const HeadOperands& v = forward.v;
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
      const Operand dout = d_o.at(b, first, h, n.dv);
      forward.weights(tile, S, A, h, b, images, first, rows);
      tile.gemm({.c = dA,
                 .a = dout,
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
                 .step_c = scores});
      tile.gemm({.c = dv.at(b, 0, h, n.dv),
                 .a = A,
                 .b = dout,
                 .m = n.L,
                 .n = n.dv,
                 .k = rows,
                 .ta = true,
                 .beta = real(first || add.v),
                 .ldb = d_o.width,
                 .ldc = dv.width,
                 .batch = images,
                 .step_a = scores,
                 .step_b = d_o.step(),
                 .step_c = dv.step()});
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

struct HeadGradients { HeadOutputs dq, dk, dv; AddToHeads add; };

// Where views fill their tensor, alone or side by side, nothing is there before: they are written, `rounded` if
// products alone read them.
inline HeadGradients write_heads(Tape& t, HeadView q, HeadView k, HeadView v, const AttentionShape& n, bool rounded) {
  const int C = n.H * n.d, Cv = n.H * n.dv;
  const bool apart = q.x.node != k.x.node && k.x.node != v.x.node && q.x.node != v.x.node;
  auto whole = [&](Tensor x) {
    const Gradient g = t.add_gradient(x, rounded ? Kept::for_products : Kept::full);
    return std::pair(HeadOutputs(g.output(), x.shape[1], x.shape[2]), g.add);
  };
  auto alone = [&](HeadView view, int width) {
    return apart && view.x.shape.last() == width ? whole(view.x) : std::pair(HeadOutputs(write_heads(t, view)), 1);
  };
  if (q.x.node == k.x.node && k.x.node == v.x.node && q.offset == 0 && k.offset == C && v.offset == 2 * C &&
      v.x.shape.last() == 2 * C + Cv) {
    const auto [dq, add] = whole(q.x);
    return {.dq = dq, .dk = dq.from_column(C), .dv = dq.from_column(2 * C), .add = {add, add, add}};
  }
  const auto [dq, add_q] = alone(q, C);
  const auto [dk, add_k] = alone(k, C);
  const auto [dv, add_v] = alone(v, Cv);
  return {.dq = dq, .dk = dk, .dv = dv, .add = {.q = add_q, .k = add_k, .v = add_v}};
}

// q[B,Lq,·], k and v[B,L,·] -> [B,Lq,H dv]. `function` is a name of AttentionFunctions, alpha its exponent of L;
// dv = 0: d. What is learned has H elements, or 1 for all heads; learned.number must be given for a function that has
// one, and learned.alpha takes the place of alpha. kept: for_products where products alone will read the output.
inline Tensor attention(Tape& t, HeadView q, HeadView k, HeadView v, int heads, int d, std::string_view function,
                        double alpha, AttentionProbe* probe = nullptr, const Learned<Tensor>& learned = {}, int dv = 0,
                        Kept kept = Kept::full) {
  const AttentionShape n{.B = q.x.shape[0], .H = heads, .Lq = q.x.shape[1], .L = k.x.shape[1], .d = d,
                         .dv = dv ? dv : d};
  require_heads("attention", q, n.B, n.Lq, heads, d), require_heads("attention", k, n.B, n.L, heads, d),
      require_heads("attention", v, n.B, n.L, heads, n.dv);
  learned.each_with(learned, [&](Tensor x, Tensor) {
    if (x && x.shape.size() != 1 && int(x.shape.size()) != heads)
      fail(ExitCode::failed, "attention: learned numbers are {}, expected [1] or [{}]", x.shape.text(), heads);
  });
  const real scale = 1 / std::sqrt(real(d));
  const auto f = row_function(function, learned.alpha ? 0 : alpha, n.L);
  if (!f->scaled_by_length && (learned.alpha || learned.log_gamma))
    fail(ExitCode::failed, "attention: {} has no factor L^-alpha to learn", function);
  if (f->has_number != bool(learned.number))
    fail(ExitCode::failed, "attention: {} {} a number of the head", function,
         learned.number ? "does not have" : "needs");
  auto forward = [=, &t](const Output& output) {
    const auto numbers = learned.map<HeadNumbers>(
        [&](Tensor x) { return x ? HeadNumbers{t.value(x), x.shape.size() > 1} : HeadNumbers{}; });
    return AttentionForward{.o = {output, n.Lq, heads * n.dv},
                            .q = product_heads(t, q),
                            .k = product_heads(t, k),
                            .v = product_heads(t, v),
                            .n = n,
                            .f = f,
                            .scale = scale,
                            .probe = probe,
                            .learned = numbers};
  };
  AttentionForward pass = forward({});
  const std::optional<size_t> fused = t.device.fuses(TilesBody(pass));
  Tensor o =
      t.make("attention", {n.B, n.Lq, heads * n.dv},
             {q.x, k.x, v.x, learned.alpha, learned.log_gamma, learned.bias, learned.log_temperature, learned.number},
             kept);
  const Saved<real> saved = t.saved<real>(t.wants_gradient(o) ? fused.value_or(0) : 0);
  const Output output = t.output(o);
  const Temporary<real> full = t.temporary<real>(output.rounded && !fused ? o.shape.size() : 0);
  pass.o = {full.data ? Output{full.data} : output, n.Lq, heads * n.dv}, pass.saved = saved->data;
  t.device.tiles(pass);
  if (full.data) t.device.each(o.shape.size(), Round{output.rounded, full.data});
  t.on_backward(o, [=, &t] {
    const Operand given = t.gradient_operand(o);
    const Temporary<bf16> rounded = t.temporary<bf16>(fused && given.full ? o.shape.size() : 0);
    if (rounded.data) t.device.each(o.shape.size(), Round{rounded.data, given.full});
    const HeadOperands d_o{rounded.data ? Operand(rounded.data) : given, n.Lq, heads * n.dv};
    const size_t rows = size_t(n.B) * n.Lq * heads;
    size_t wanted = 0;
    learned.each_with(learned, [&](Tensor x, Tensor) { wanted += t.wants_gradient(x); });
    const Temporary<real> memory = t.temporary<real>(wanted * rows);
    real* next = memory.data;
    const auto parts = learned.map<real*>(
        [&](Tensor x) { return t.wants_gradient(x) ? std::exchange(next, next + rows) : nullptr; });
    const HeadGradients d_heads = write_heads(t, q, k, v, n, fused.has_value());
    AttentionBackward backward{.dq = d_heads.dq,
                               .dk = d_heads.dk,
                               .dv = d_heads.dv,
                               .d_o = d_o,
                               .forward = forward(fused ? t.output(o) : Output{}),
                               .parts = parts,
                               .add = d_heads.add};
    backward.forward.saved = saved->data;
    t.device.tiles(backward);
    learned.each_with(parts, [&](Tensor x, real* part) {
      if (part) add_column_sums(t, x, Values{part, x.shape.size()}, rows / x.shape.size());
    });
    backward.show_operands(t.device);
  }, Kept::for_products);
  return o;
}

// The op: attention of views of q, k, v, whose tiles are in tiles.h; and what it shares with its other forms.
// defines: HeadView, read_heads, product_heads, write_heads, require_heads, attention
#pragma once
#include "engine/attention/tiles.h"
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

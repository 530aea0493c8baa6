// y = H(x W1ᵀ + b1) W2ᵀ + b2, plus a residual of y's shape if given: the MLP of a block, H its activation. One op,
// because its hidden layer is the largest activation of a ViT: the passes over it happen while pieces of the products
// before them are in the cache. Kept for the backward pass is h = x W1ᵀ + b1, rounded where products round; a = H(h) is
// made again where memory is short.
// defines: mlp, MlpParameters, HiddenForward, HiddenOfInference, HiddenBackward, HiddenBackwardInPlace
#pragma once
#include "engine/ops/activations.h"
#include "engine/ops/linear.h"

// Training: a row of x W1ᵀ, which may lie in h, makes one of h and of a = H(h).
template <class H, class X> struct HiddenForward {
  X* h; Output a; const real* bias; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* product) const {
    X* to_h = h + (row * C + first);
    const Output to_a = a + (row * C + first);
    const real* b = bias + first;
    team.each(
        columns, [=](int c) { return product[c] + b[c]; },
        [=](int c, real x) { to_a.set(c, H::value(put(to_h[c], x))); });
  }
};
// Inference: the same bits of a, and no h; the product may lie in a.
template <class H, class X> struct HiddenOfInference {
  Output a; const real* bias; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* product) const {
    const Output to = a + (row * C + first);
    const real* b = bias + first;
    team.each(columns, [=](int c) { return product[c] + b[c]; }, [=](int c, real x) {
      X h;
      to.set(c, H::value(put(h, x)));
    });
  }
};
// Backward: dh = H'(h) da of a row of the product da, which may lie in dh.
template <class H, class X> struct HiddenBackward {
  Output dh; const X* h; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* da) const {
    const size_t at = row * C + first;
    const Output to = dh + at;
    const X* x = h + at;
    team.each(columns, [=](int c) { return H::slope(widened(x[c])) * da[c]; }, [=](int c, real d) { to.set(c, d); });
  }
};
// Backward in place: h becomes dh, and the product da, which may lie in a, becomes a = H(h).
template <class H, class X> struct HiddenBackwardInPlace {
  X* h; Output a; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* da) const {
    const size_t at = row * C + first;
    const Output to_a = a + at;
    X* to_h = h + at;
    struct Pair { real h, da; };
    team.each(columns, [=](int c) { return Pair{widened(to_h[c]), da[c]}; }, [=](int c, Pair x) {
      to_a.set(c, H::value(x.h));
      put(to_h[c], H::slope(x.h) * x.da);
    });
  }
};

// Whether dh should take the place of h: not where that would need memory for the product, and a pass to somewhere else
// would not.
template <class H, class X> bool in_place_is_best(Device& device, const Gemm& da, X* h) {
  if constexpr (!std::is_same_v<X, bf16>) return true;
  else
    return device.keeps_pieces(da, HiddenBackwardInPlace<H, X>{h, {nullptr, h}, da.n}) ||
           !device.keeps_pieces(da, HiddenBackward<H, X>{{nullptr, h}, h, da.n});
}

struct MlpParameters { Tensor w1, b1, w2, b2; };                 // [M,C], [M], [D,M], [D]

template <class H, class X> Tensor mlp_as(Tape& t, Tensor x, const MlpParameters& p, Tensor residual) {
  const LinearShape fc1(x.shape, p.w1, p.b1), fc2(fc1.y, p.w2, p.b2);
  const size_t hidden = fc1.y.size();
  const int M = fc1.out;
  const Saved<X> h = t.recording() ? t.saved<X>(hidden) : nullptr, a = t.saved<X>(hidden);
  const Gemm product = fc1.forward(t.operand(x), t.weight(p.w1));
  if (h)
    run_product(t, product, output_to(h->data), HiddenForward<H, X>{h->data, output_to(a->data), t.value(p.b1), M});
  else run_product(t, product, output_to(a->data), HiddenOfInference<H, X>{output_to(a->data), t.value(p.b1), M});
  t.drop_rounded(p.w1);
  Tensor y = t.make("mlp", fc2.y, {x, p.w1, p.b1, p.w2, p.b2, residual});
  linear_forward(t, fc2, a->data, p.w2, p.b2, residual, t.output(y));

  const Saved<X> kept = t.spares(hidden * sizeof(X)) ? a : nullptr;
  t.on_backward(y, [=, &t] {
    Saved<X> dh;
    {
      const OutputGradient dy(t, y, p.b2);
      const Gemm da = fc2.dx(dy.operand, t.operand(p.w2));
      const Saved<X> a = kept ? kept : t.saved<X>(hidden);
      if (!kept && in_place_is_best<H>(t.device, da, h->data)) {
        dh = h;
        run_product(t, da, output_to(a->data), HiddenBackwardInPlace<H, X>{h->data, output_to(a->data), M});
        if (t.wants_gradient(p.w2)) add_weight_gradient(t, p.w2, fc2.dw(dy.operand, a->data));
      } else {
        if (!kept) t.device.each(hidden, MapForward<H, X>{output_to(a->data), h->data});
        if (t.wants_gradient(p.w2)) add_weight_gradient(t, p.w2, fc2.dw(dy.operand, a->data));
        dh = t.saved<X>(hidden);
        run_product(t, da, output_to(dh->data), HiddenBackward<H, X>{output_to(dh->data), h->data, M});
      }
      t.drop_rounded(p.w2);
    }
    if (residual) t.pass_gradient(y, residual);                  // it may move dy
    add_column_sums(t, p.b1, row_values(dh->data, M), fc1.rows);
    if (t.wants_gradient(p.w1)) add_weight_gradient(t, p.w1, fc1.dw(dh->data, t.operand(x)));
    add_input_gradient(t, x, fc1, dh->data, p.w1);
  }, gradient_read_by_products(residual));
  return y;
}

// x[..,C] -> [..,D]; activation: a name of MlpActivations
inline Tensor mlp(Tape& t, Tensor x, const MlpParameters& p, Tensor residual,
                  std::string_view activation = GeluTanh::name) {
  Tensor y;
  MlpActivations::visit_known("mlp", activation, [&]<class H>() {
    y = t.device.rounds_operands() ? mlp_as<H, bf16>(t, x, p, residual) : mlp_as<H, real>(t, x, p, residual);
  });
  return y;
}

// a = gelu(h), h = x Wᵀ + b: the hidden layer of an MLP. Its two passes over h, the largest activation of a ViT, happen while
// pieces of the products before them are in the cache. Where products round their inputs h is kept rounded too.
// defines: linear_gelu
#pragma once
#include "engine/ops/activations.h"
#include "engine/ops/linear.h"

template <class H, class X> struct BiasAndMap {                  // a row of x Wᵀ, which may lie in h, makes one of h and of a = H(h)
  X* h; Output a; const real* bias; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* product) const {
    X* to_h = h + (row * C + first);
    const Output to_a = a + (row * C + first);
    const real* b = bias + first;
    team.each(columns, [=](int c) { to_a.set(c, H::value(put(to_h[c], product[c] + b[c]))); });
  }
};
template <class H, class X> struct BiasThenMap {                 // the same bits of a where nobody will ask for h; the product may lie in a
  Output a; const real* bias; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* product) const {
    const Output to = a + (row * C + first);
    const real* b = bias + first;
    team.each(columns, [=](int c) {
      X h;
      to.set(c, H::value(put(h, product[c] + b[c])));
    });
  }
};
template <class H, class X> struct MapOfProduct {                // dh += H'(h) da of a row of the product da, which may lie in dh
  Output dh; const X* h; int C, add;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* da) const {
    const size_t at = row * C + first;
    const Output to = dh + at;
    const X* x = h + at;
    if (add) team.each(columns, [=](int c) { to.full[c] += H::slope(widened(x[c])) * da[c]; });
    else team.each(columns, [=](int c) { to.set(c, H::slope(widened(x[c])) * da[c]); });
  }
};
template <class H, class X> struct MapInPlaceOfProduct {         // h becomes dh, and the product da, which may lie in a, becomes a = H(h)
  X* h; Output a; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* da) const {
    const size_t at = row * C + first;
    const Output to_a = a + at;
    X* to_h = h + at;
    team.each(columns, [=](int c) {
      const real x = widened(to_h[c]), d = da[c];
      to_a.set(c, H::value(x));
      put(to_h[c], H::slope(x) * d);
    });
  }
};

template <class H, class X> Tensor linear_map(Tape& t, std::string_view op, Tensor x, Tensor w, Tensor b, Kept kept) {
  const LinearShape shape(x, w, b);
  auto run = [&](const Output& to, const auto& then) {
    run_product(t, shape.product(t.operand(x), t.weight(w)), to, 0, then);
    t.drop_rounded(w);
  };
  if (!t.recording()) {
    Tensor a = t.make(op, shape.y, {x, w, b}, kept);
    run(t.output(a), BiasThenMap<H, X>{t.output(a), t.value(b), shape.out});
    return a;
  }
  Tensor h = t.make("linear", shape.y, {x, w, b}, Kept::for_products), a = t.make(op, shape.y, {h}, kept);
  run(t.output(h), BiasAndMap<H, X>{stored<X>(t, h), t.output(a), t.value(b), shape.out});
  on_linear_backward(t, h, x, w, b);
  on_map_backward<H, X>(t, a, h);
  t.on_product_gradient(a, [=, &t](Gemm da) {
    X* x = stored<X>(t, h);
    if (t.refills_with_gradient(a) && t.dies_with_reader(h)) {
      t.gradient_takes_value(h);
      const Output value = t.refill(a);
      run_product(t, da, value, 0, MapInPlaceOfProduct<H, X>{x, value, h.shape.last()});
    } else {
      const auto [dh, add] = t.add_gradient_for_products(h);
      run_product(t, da, dh, add, MapOfProduct<H, X>{dh, x, h.shape.last(), add});
    }
  });
  return a;
}

// x[..,in], w[out,in], b[out] -> [..,out]; the erf form of GELU or that with tanh
inline Tensor linear_gelu(Tape& t, Tensor x, Tensor w, Tensor b, bool erf, Kept kept = Kept::full) {
  if (t.device.rounds_operands()) return erf ? linear_map<GeluErf, bf16>(t, "gelu erf", x, w, b, kept) : linear_map<GeluTanh, bf16>(t, "gelu", x, w, b, kept);
  return erf ? linear_map<GeluErf, real>(t, "gelu erf", x, w, b, kept) : linear_map<GeluTanh, real>(t, "gelu", x, w, b, kept);
}

// a = gelu(h), h = x Wᵀ + b: the hidden layer of an MLP. Its two passes over h, the largest activation of a ViT, happen while
// pieces of the products before them are in the cache.
// defines: linear_gelu
#pragma once
#include "engine/ops/activations.h"
#include "engine/ops/linear.h"

template <class H> struct BiasAndMap {                           // a row of x Wᵀ becomes one of h, and a one of h(·)
  Output a; const real* bias; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* h) const {
    const Output to = a + (row * C + first);
    const real* b = bias + first;
    team.each(columns, [=](int c) {
      const real x = h[c] + b[c];
      h[c] = x;
      to.set(c, H::value(x));
    });
  }
};
template <class H> struct MapOfProduct {                         // dh += h'(h) da of a row of the product da, which may lie in dh
  Output dh; const real* h; int C, add;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* da) const {
    const size_t at = row * C + first;
    const Output to = dh + at;
    const real* x = h + at;
    if (add) team.each(columns, [=](int c) { to.full[c] += H::slope(x[c]) * da[c]; });
    else team.each(columns, [=](int c) { to.set(c, H::slope(x[c]) * da[c]); });
  }
};

template <class H> Tensor linear_map(Tape& t, std::string_view op, Tensor x, Tensor w, Tensor b, Kept kept) {
  const LinearShape shape(x, w, b);
  Tensor h = t.make("linear", shape.y, {x, w, b}), a = t.make(op, shape.y, {h}, kept);
  Gemm product = shape.product(t.operand(x), t.operand(w));
  product.c = t.value(h);
  t.device.gemm(product, BiasAndMap<H>{t.output(a), t.value(b), shape.out});
  on_linear_backward(t, h, x, w, b);
  on_map_backward<H>(t, a, h);
  t.on_product_gradient(a, [=, &t](Gemm da) {
    const auto [dh, add] = t.add_gradient_for_products(h);
    const bool in_place = dh.full && !add;
    const Temporary<real> memory = t.temporary<real>(in_place || t.device.keeps_pieces() ? 0 : h.shape.size());
    da.c = in_place ? dh.full : memory.data;
    t.device.gemm(da, MapOfProduct<H>{dh, t.value(h), h.shape.last(), add});
  });
  return a;
}

// x[..,in], w[out,in], b[out] -> [..,out]; the erf form of GELU or that with tanh
inline Tensor linear_gelu(Tape& t, Tensor x, Tensor w, Tensor b, bool erf, Kept kept = Kept::full) {
  return erf ? linear_map<GeluErf>(t, "gelu erf", x, w, b, kept) : linear_map<GeluTanh>(t, "gelu", x, w, b, kept);
}

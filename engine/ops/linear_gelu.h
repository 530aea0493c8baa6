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
    team.each(
        columns, [=](int c) { return product[c] + b[c]; },
        [=](int c, real x) { to_a.set(c, H::value(put(to_h[c], x))); });
  }
};
template <class H, class X> struct BiasThenMap {                 // the same bits of a where nobody will ask for h; the product may lie in a
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
template <class H, class X> struct MapOfProduct {                // dh += H'(h) da of a row of the product da, which may lie in dh
  Output dh; const X* h; int C, add;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* da) const {
    const size_t at = row * C + first;
    const Output to = dh + at;
    const X* x = h + at;
    const auto gradient = [=](int c) { return H::slope(widened(x[c])) * da[c]; };
    if (add) team.each(columns, gradient, [=](int c, real d) { to.full[c] += d; });
    else team.each(columns, gradient, [=](int c, real d) { to.set(c, d); });
  }
};
template <class H, class X> struct MapInPlaceOfProduct {         // h becomes dh, and the product da, which may lie in a, becomes a = H(h)
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

// Whether d h should take the place of h: not where that would need memory for the product, and a pass to somewhere
// else would not.
template <class H, class X> bool in_place_is_best(Device& device, const Gemm& da, X* h) {
  if constexpr (!std::is_same_v<X, bf16>) return true;
  else
    return device.keeps_pieces(da, MapInPlaceOfProduct<H, X>{h, {nullptr, h}, da.n}) ||
           !device.keeps_pieces(da, MapOfProduct<H, X>{{nullptr, h}, h, da.n, 0});
}

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
    if (t.refills_with_gradient(a) && t.dies_with_reader(h) && in_place_is_best<H>(t.device, da, x)) {
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

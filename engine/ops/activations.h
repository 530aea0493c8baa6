// Element-wise ops: GELU (tanh and erf form), tanh, SiLU, and the gates y = x silu(g) and y = x σ(g).
// defines: gelu, tanh_op, silu, gate
#pragma once
#include "engine/ops/elementwise.h"
#include "engine/ops/smooth.h"
#include "engine/tape.h"

template <class H, class X = real> struct MapForward {       // y = h(x)
  Output y; const X* x;
  HD void operator()(size_t i) const { y.set(i, H::value(widened(x[i]))); }
};
template <class H> struct MapBackward {                      // dx += h'(x) dy
  real* dx; const real* dy; const real* x; int add;
  HD void operator()(size_t i) const { dx[i] = previous(add, dx[i]) + H::slope(x[i]) * dy[i]; }
};

template <class H> Tensor map(Tape& t, std::string_view op, Tensor x) {
  Tensor y = t.make(op, x.shape, {x});
  auto forward = [=, &t] { t.device.each(x.shape.size(), MapForward<H>{t.output(y), t.value(x)}); };
  forward();
  t.on_remake(y, forward);
  t.on_backward(y, [=, &t] {
    const Gradient dx = t.add_gradient(x);
    t.device.each(x.shape.size(), MapBackward<H>{dx.data, t.gradient(y), t.value(x), dx.add});
  });
  return y;
}

inline Tensor gelu(Tape& t, Tensor x, std::string_view form = GeluTanh::name) {
  Tensor y;
  MlpActivations::visit_known("gelu", form, [&]<class H>() { y = map<H>(t, "gelu", x); });
  return y;
}
inline Tensor tanh_op(Tape& t, Tensor x) { return map<Tanh>(t, "tanh", x); }

// y = x h(g): h = silu is the gate of Hua et al. 2022 (2202.10447), h = σ that of Qwen's gated attention (2505.06708)
template <class H> struct GateForward {
  real* y; const real *x, *g;
  HD void operator()(size_t i) const { y[i] = x[i] * H::value(g[i]); }
};
template <class H> struct GateBackward {
  real *dx, *dg; const real *dy, *x, *g; int add_x, add_g;
  HD void operator()(size_t i) const {
    dx[i] = previous(add_x, dx[i]) + dy[i] * H::value(g[i]);
    dg[i] = previous(add_g, dg[i]) + dy[i] * x[i] * H::slope(g[i]);
  }
};

template <class H> Tensor gate_by(Tape& t, Tensor x, Tensor g) {
  Tensor y = t.make("gate", x.shape, {x, g});
  t.device.each(x.shape.size(), GateForward<H>{t.value(y), t.value(x), t.value(g)});
  t.on_backward(y, [=, &t] {
    const Gradient dx = t.add_gradient(x), dg = t.add_gradient(g);
    t.device.each(x.shape.size(), GateBackward<H>{.dx = dx.data,
                                                     .dg = dg.data,
                                                     .dy = t.gradient(y),
                                                     .x = t.value(x),
                                                     .g = t.value(g),
                                                     .add_x = dx.add,
                                                     .add_g = dg.add});
  });
  return y;
}
inline Tensor gate(Tape& t, Tensor x, Tensor g, std::string_view function = Swish::name) {
  Tensor y;
  GateFunctions::visit_known("gate", function, [&]<class H>() { y = gate_by<H>(t, x, g); });
  return y;
}
inline Tensor silu(Tape& t, Tensor x) { return map<Swish>(t, "silu", x); }

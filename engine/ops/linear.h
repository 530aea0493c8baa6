// y[..,out] = x[..,in] Wᵀ + b, plus a residual of y's shape if given. W[out,in], b[out].
// defines: linear, LinearShape, on_linear_backward, run_product, StoreProduct, AddBiasAndResidual
#pragma once
#include "engine/error.h"
#include "engine/ops/column_sums.h"

struct AddBias {                                                 // y = a row of a product, which may lie in y, + bias
  Output y; const real* bias; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* product) const {
    const Output to = y + (row * C + first);
    const real* b = bias + first;
    team.each(columns, [=](int c) { to.set(c, product[c] + b[c]); });
  }
};
struct StoreProduct {                                            // y += a row of a product; where `add` is 0 it may lie in y
  Output y; int C, add;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* product) const {
    const Output to = y + (row * C + first);
    if (add) team.each(columns, [=](int c) { to.full[c] += product[c]; });
    else team.each(columns, [=](int c) { to.set(c, product[c]); });
  }
};

struct AddBiasAndResidual {  // y = a row of a product, which may lie in y, + bias + residual; bias may be null
  real* y; const real *bias, *residual; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* product) const {
    real* to = y + (row * C + first);
    const real *b = bias ? bias + first : nullptr, *r = residual + (row * C + first);
    team.each(columns, [=](int c) { to[c] = product[c] + (b ? b[c] : 0) + r[c]; });
  }
};

// The product, then `then` on its pieces. It lies in `to` where that is full and free, else nowhere, or in memory of its own.
template <class Then> void run_product(Tape& t, Gemm product, const Output& to, int add, const Then& then) {
  const bool in_place = to.full && !add;
  const Temporary<real> memory =
      t.temporary<real>(in_place || t.device.keeps_pieces(product, then) ? 0 : size_t(product.m) * product.n);
  product.c = in_place ? to.full : memory.data;
  t.device.gemm(product, then);
}

struct LinearShape {
  int rows, in, out;
  Shape y;
  LinearShape(Tensor x, Tensor w, Tensor b) : rows(int(x.shape.rows())), in(x.shape.last()), out(w.shape[0]), y(x.shape.with_last(out)) {
    if (w.shape != Shape{out, in}) fail(ExitCode::failed, "linear: weight is {}, expected [{}, {}] for an input of {}", w.shape.text(), out, in, x.shape.text());
    if (b && b.shape != Shape{out}) fail(ExitCode::failed, "linear: bias is {}, expected [{}]", b.shape.text(), out);
  }
  Gemm product(Operand x, Operand w) const { return {.c = nullptr, .a = x, .b = w, .m = rows, .n = out, .k = in, .tb = true}; }
};

// dW += dyᵀ x, dx += dy W, db += Σ_rows dy
inline void on_linear_backward(Tape& t, Tensor y, Tensor x, Tensor w, Tensor b, Tensor residual = {}) {
  if (!residual) t.takes_rounded_gradient(y);  // a residual's is passed on in full
  t.on_backward(y, [=, &t] {
    const auto [rows, in, out, shape] = LinearShape(x, w, b);
    const bf16* rounded = t.rounded_gradient(y);
    const Temporary<bf16> memory = t.temporary<bf16>(t.device.rounds_operands() && !rounded ? shape.size() : 0);
    if (rounded) {
      add_column_sums(t, b, RoundedValues{rounded, size_t(out)}, rows);
    } else if (const real* dy = t.gradient(y); !memory.data) {
      add_column_sums(t, b, Values{dy, size_t(out)}, rows);
    } else {
      rounded = memory.data;                                                                // one pass for the sums and to round
      if (t.wants_gradient(b)) add_column_sums(t, b, RoundingValues{memory.data, dy, size_t(out)}, rows);
      else t.device.each(shape.size(), Round{memory.data, dy});
    }
    const Operand dy = rounded ? Operand(rounded) : Operand(t.gradient(y));
    const bool refills = t.refills_with_gradient(x);                                        // then dx first: dW reads what it leaves in x
    auto add_dx = [&, rows = rows, in = in, out = out] {  // by name: clang 14 captures no bindings
      if (t.wants_gradient(x))
        t.add_product_gradient(x, {.c = nullptr, .a = dy, .b = t.operand(w), .m = rows, .n = in, .k = out});
    };
    if (refills) add_dx();
    if (t.wants_gradient(w)) {
      const Gradient dw = t.add_gradient(w);
      t.device.gemm({.c = dw.data, .a = dy, .b = t.operand(x), .m = out, .n = in, .k = rows, .ta = true, .beta = real(dw.add)});
    }
    if (!refills) add_dx();
    t.drop_rounded(w);
    if (residual) t.pass_gradient(y, residual);                                             // last: it may move dy
  });
}

inline Tensor linear(Tape& t, Tensor x, Tensor w, Tensor b = {}, Tensor residual = {}, Kept kept = Kept::full) {
  const LinearShape shape(x, w, b);
  if (residual && residual.shape != shape.y) fail(ExitCode::failed, "linear: residual is {}, expected {}", residual.shape.text(), shape.y.text());
  if (residual && kept != Kept::full) fail(ExitCode::failed, "linear: a sum with a residual cannot be kept for products alone");
  Tensor y = t.make("linear", shape.y, {x, w, b, residual}, kept);
  Gemm product = shape.product(t.operand(x), t.weight(w));
  const Output to = t.output(y);
  const real* bias = b ? t.value(b) : nullptr;
  if (residual) run_product(t, product, to, 0, AddBiasAndResidual{to.full, bias, t.value(residual), shape.out});
  else if (b) run_product(t, product, to, 0, AddBias{to, bias, shape.out});
  else if (to.rounded) run_product(t, product, to, 0, StoreProduct{to, shape.out, 0});
  else product.c = to.full, t.device.gemm(product);
  t.drop_rounded(w);
  on_linear_backward(t, y, x, w, b, residual);
  return y;
}

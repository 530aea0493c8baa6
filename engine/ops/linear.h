// y[..,out] = x[..,in] Wᵀ + b, plus a residual of y's shape if given. W[out,in], b[out].
//   backward  dW += dyᵀ x,  dx += dy W,  db += Σ_rows dy,  d residual += dy
// defines: linear, LinearShape, OutputGradient, gradient_read_by_products, run_product, add_weight_gradient,
// add_input_gradient, StoreProduct, AddBias, AddBiasAndResidual
#pragma once
#include "engine/error.h"
#include "engine/ops/column_sums.h"

// What follows on a row of a product, from column `first` on; the product may lie in y.
struct StoreProduct {
  Output y; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* product) const {
    const Output to = y + (row * C + first);
    team.each(columns, [=](int c) { to.set(c, product[c]); });
  }
};
struct AddBias {
  Output y; const real* bias; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* product) const {
    const Output to = y + (row * C + first);
    const real* b = bias + first;
    team.each(columns, [=](int c) { to.set(c, product[c] + b[c]); });
  }
};
struct AddBiasAndResidual {                                      // bias: null where there is none
  real* y; const real *bias, *residual; int C;
  template <class Team> HD void operator()(Team team, size_t row, int first, int columns, real* product) const {
    real* to = y + (row * C + first);
    const real *b = bias ? bias + first : nullptr, *r = residual + (row * C + first);
    team.each(columns, [=](int c) { to[c] = product[c] + (b ? b[c] : 0) + r[c]; });
  }
};

// The product, then `then` on its pieces. It lies in `to` where that is full, else nowhere, or in memory of its own.
template <class Then> void run_product(Tape& t, Gemm product, const Output& to, const Then& then) {
  const Temporary<real> memory =
      t.temporary<real>(to.full || t.device.keeps_pieces(product, then) ? 0 : size_t(product.m) * product.n);
  product.c = to.full ? to.full : memory.data;
  t.device.gemm(product, then);
}

struct LinearShape {
  int rows, in, out;
  Shape y;
  LinearShape(const Shape& x, Tensor w, Tensor b)
      : rows(int(x.rows())), in(x.last()), out(w.shape[0]), y(x.with_last(out)) {
    if (w.shape != Shape{out, in})
      fail(ExitCode::failed, "linear: weight is {}, expected [{}, {}] for an input of {}", w.shape.text(), out, in,
           x.text());
    if (b && b.shape != Shape{out}) fail(ExitCode::failed, "linear: bias is {}, expected [{}]", b.shape.text(), out);
  }
  Gemm forward(Operand x, Operand w) const {
    return {.c = nullptr, .a = x, .b = w, .m = rows, .n = out, .k = in, .tb = true};
  }
  Gemm dw(Operand dy, Operand x) const {
    return {.c = nullptr, .a = dy, .b = x, .m = out, .n = in, .k = rows, .ta = true};
  }
  Gemm dx(Operand dy, Operand w) const { return {.c = nullptr, .a = dy, .b = w, .m = rows, .n = in, .k = out}; }
};

inline void linear_forward(Tape& t, const LinearShape& shape, Operand x, Tensor w, Tensor b, Tensor residual,
                           Output y) {
  if (residual && residual.shape != shape.y)
    fail(ExitCode::failed, "linear: residual is {}, expected {}", residual.shape.text(), shape.y.text());
  Gemm product = shape.forward(x, t.weight(w));
  const real* bias = b ? t.value(b) : nullptr;
  if (residual) run_product(t, product, y, AddBiasAndResidual{y.full, bias, t.value(residual), shape.out});
  else if (b) run_product(t, product, y, AddBias{y, bias, shape.out});
  else if (y.rounded) run_product(t, product, y, StoreProduct{y, shape.out});
  else product.c = y.full, t.device.gemm(product);
  t.drop_rounded(w);
}

// How the gradient of a product's sum with a residual is read: the residual's part is passed on in full.
inline Kept gradient_read_by_products(Tensor residual) { return residual ? Kept::full : Kept::for_products; }

// dy of y[rows,out] as products read it: where they round, rounded once, by the pass that adds its sums to d bias.
struct OutputGradient {
  OutputGradient(Tape& t, Tensor y, Tensor bias)
      : dy(t.gradient_operand(y)),
        memory(t.temporary<bf16>(t.device.rounds_operands() && dy.full ? y.shape.size() : 0)),
        operand(memory.data ? Operand(memory.data) : dy) {
    const int rows = int(y.shape.rows()), C = y.shape.last();
    if (dy.rounded) add_column_sums(t, bias, row_values(dy.rounded, C), rows);
    else if (!memory.data) add_column_sums(t, bias, row_values(dy.full, C), rows);
    else if (t.wants_gradient(bias)) add_column_sums(t, bias, RoundingValues{memory.data, dy.full, size_t(C)}, rows);
    else t.device.each(y.shape.size(), Round{memory.data, dy.full});
  }
  Operand dy;
  Temporary<bf16> memory;
  Operand operand;
};

// For a w that wants one: of another, the operands of dw need not be made.
inline void add_weight_gradient(Tape& t, Tensor w, Gemm dw) {
  const Gradient to = t.add_gradient(w);
  dw.c = to.data, dw.beta = real(to.add);
  t.device.gemm(dw);
}

inline void add_input_gradient(Tape& t, Tensor x, const LinearShape& shape, Operand dy, Tensor w) {
  if (t.wants_gradient(x)) {
    Gemm dx = shape.dx(dy, t.operand(w));
    const Gradient to = t.add_gradient(x, Kept::for_products);
    if (to.rounded) run_product(t, dx, to.output(), StoreProduct{to.output(), shape.in});
    else dx.c = to.data, dx.beta = real(to.add), t.device.gemm(dx);
  }
  t.drop_rounded(w);
}

inline Tensor linear(Tape& t, Tensor x, Tensor w, Tensor b = {}, Tensor residual = {}, Kept kept = Kept::full) {
  if (residual && kept != Kept::full)
    fail(ExitCode::failed, "linear: a sum with a residual cannot be kept for products alone");
  const LinearShape shape(x.shape, w, b);
  Tensor y = t.make("linear", shape.y, {x, w, b, residual}, kept);
  linear_forward(t, shape, t.operand(x), w, b, residual, t.output(y));
  t.on_backward(y, [=, &t] {
    {
      const OutputGradient dy(t, y, b);
      if (t.wants_gradient(w)) add_weight_gradient(t, w, shape.dw(dy.operand, t.operand(x)));
      add_input_gradient(t, x, shape, dy.operand, w);
    }
    if (residual) t.pass_gradient(y, residual);                  // it may move dy
  }, gradient_read_by_products(residual));
  return y;
}

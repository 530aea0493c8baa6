// y[..,out] = x[..,in] Wᵀ + b, plus a residual of y's shape if given. W[out,in], b[out].
// defines: linear
#pragma once
#include "engine/error.h"
#include "engine/ops/column_sums.h"

inline Tensor linear(Tape& t, Tensor x, Tensor w, Tensor b = {}, Tensor residual = {}) {
  const int rows = int(x.shape.rows()), in = x.shape.last(), out = w.shape[0];
  const Shape shape = x.shape.with_last(out);
  if (w.shape != Shape{out, in}) fail(ExitCode::failed, "linear: weight is {}, expected [{}, {}] for an input of {}", w.shape.text(), out, in, x.shape.text());
  if (b && b.shape != Shape{out}) fail(ExitCode::failed, "linear: bias is {}, expected [{}]", b.shape.text(), out);
  if (residual && residual.shape != shape) fail(ExitCode::failed, "linear: residual is {}, expected {}", residual.shape.text(), shape.text());

  Tensor y = t.make("linear", shape, {x, w, b, residual});
  const Epilogue epilogue{b ? t.value(b) : nullptr, residual ? t.value(residual) : nullptr};
  const bool late = t.device.late_epilogues();
  t.device.gemm({.c = t.value(y), .a = t.operand(x), .b = t.operand(w), .m = rows, .n = out, .k = in, .tb = true,
                 .bias = late ? nullptr : epilogue.bias, .residual = late ? nullptr : epilogue.residual});
  if (late) t.set_epilogue(y, epilogue);
  t.on_backward(y, [=, &t] {
    const real* const gradient = t.gradient(y);
    const bool rounds = t.device.rounds_operands();
    const auto rounded = t.temporary<bf16>(rounds ? y.shape.size() : 0);
    if (rounds && t.wants_gradient(b)) add_column_sums(t, b, RoundedValues{rounded.data, gradient, size_t(out)}, rows);      // one pass over dy
    else if (b) add_column_sums(t, b, Values{gradient, size_t(out)}, rows);
    if (rounds && !t.wants_gradient(b)) t.device.each(y.shape.size(), Round{rounded.data, gradient});
    const Operand dy = rounds ? Operand(rounded.data) : Operand(gradient);
    if (t.wants_gradient(w)) {                                                              // dW = dyᵀ x
      const Gradient dw = t.add_gradient(w);
      t.device.gemm({.c = dw.data, .a = dy, .b = t.operand(x), .m = out, .n = in, .k = rows, .ta = true, .beta = real(dw.add)});
    }
    if (t.wants_gradient(x)) {                                                              // dx = dy W
      const Gradient dx = t.add_gradient(x);
      t.device.gemm({.c = dx.data, .a = dy, .b = t.operand(w), .m = rows, .n = in, .k = out, .beta = real(dx.add)});
    }
    if (residual) t.pass_gradient(y, residual);                                             // last: it may move dy
  });
  return y;
}

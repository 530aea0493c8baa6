// y = a + b, of one shape.
// defines: add
#pragma once
#include "engine/error.h"
#include "engine/ops/elementwise.h"
#include "engine/tape.h"

struct Sum {
  real* y; const real *a, *b;
  HD void operator()(size_t i) const { y[i] = a[i] + b[i]; }
};

inline Tensor add(Tape& t, Tensor a, Tensor b) {
  if (a.shape != b.shape) fail(ExitCode::failed, "add: {} and {}, expected one shape", a.shape.text(), b.shape.text());
  Tensor y = t.make("add", a.shape, {a, b});
  t.device.each(y.shape.size(), Sum{t.value(y), t.value(a), t.value(b)});
  t.on_backward(y, [=, &t] {
    if (t.wants_gradient(a)) {
      const Gradient da = t.add_gradient(a);
      t.device.each(a.shape.size(), Accumulate{da.data, t.gradient(y), da.add});
    }
    t.pass_gradient(y, b);                                                        // last: it may move dy
  });
  return y;
}

// y = f(x) without keeping what f makes on the way: the backward pass computes f again (Chen et al. 2016, 1604.06174).
// defines: rematerialised
#pragma once
#include "engine/ops/elementwise.h"
#include "engine/tape.h"

// f makes one tensor of x on the tape it is given, and gives the same bits every time.
inline Tensor rematerialised(Tape& t, Tensor x, const std::function<Tensor(Tape&, Tensor)>& f) {
  Tensor y;
  {
    Tape once(t, false);
    Tensor result = f(once, once.leaf("x", x.shape, t.value(x)));
    y = t.make("rematerialised", result.shape, {x});
    t.device.each(y.shape.size(), Accumulate{t.value(y), once.value(result), 0});
  }
  t.want_gradient(y);                                            // for the parameters within f
  t.on_backward(y, [=, &t] {
    Tape again(t, true);
    const Gradient dx = t.wants_gradient(x) ? t.add_gradient(x) : Gradient{nullptr, 0};
    Tensor result = f(again, again.leaf("x", x.shape, t.value(x), dx.data, dx.add));
    if (!again.wants_gradient(result)) return;
    t.device.each(y.shape.size(), Accumulate{again.add_gradient(result).data, t.gradient(y), 0});
    again.backward(result, {});  // frees as the outer pass does, and by the same ops: the same bits
  });
  return y;
}

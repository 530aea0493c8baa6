// Cross-entropies on soft labels, one loss an example, as in BigVision's utils.py; and their mean over the batch.
// logits[B,C], labels[B,C] -> losses[B]
// defines: softmax_cross_entropy, sigmoid_cross_entropy, mean
#pragma once
#include "engine/error.h"
#include "engine/ops/column_sums.h"

// -Σ_c y_c log softmax(z)_c = (Σ y) logΣe^z - Σ y z
struct SoftmaxCrossEntropy {
  static constexpr std::string_view name = "softmax_cross_entropy";
  real *losses, *log_sum; const real *logits, *labels; int C;
  template <class Team> HD void operator()(Team team, size_t b) const {
    const real *z = logits + b * C, *y = labels + b * C;
    const real m = team.max(C, [&](int c) { return z[c]; });
    const real total = m + std::log(team.sum(C, [&](int c) { return exponential(z[c] - m); }));
    const real loss = team.sum(C, [&](int c) { return y[c] * (total - z[c]); });
    team.once([&] { log_sum[b] = total; losses[b] = loss; });
  }
};
// dz = dloss (softmax(z) Σy - y)
struct SoftmaxCrossEntropyBackward {
  real* dlogits; const real *dlosses, *log_sum, *logits, *labels; int C; int add;
  template <class Team> HD void operator()(Team team, size_t b) const {
    const real *z = logits + b * C, *y = labels + b * C;
    real* dz = dlogits + b * C;
    const real mass = team.sum(C, [&](int c) { return y[c]; });
    team.each(
        C, [&](int c) { dz[c] = previous(add, dz[c]) + dlosses[b] * (mass * exponential(z[c] - log_sum[b]) - y[c]); });
  }
};

// -Σ_c y_c log σ(z_c) + (1 - y_c) log σ(-z_c) = Σ_c softplus(z_c) - y_c z_c
struct SigmoidCrossEntropy {
  static constexpr std::string_view name = "sigmoid_cross_entropy";
  real *losses, *log_sum; const real *logits, *labels; int C;
  template <class Team> HD void operator()(Team team, size_t b) const {
    const real *z = logits + b * C, *y = labels + b * C;
    // apart: thousands of tiny terms beside few large ones
    const real all = team.sum(C, [&](int c) { return softplus(z[c]); });
    const real labelled = team.sum(C, [&](int c) { return y[c] * z[c]; });
    team.once([&] { losses[b] = all - labelled; });
  }
};
// dz = dloss (σ(z) - y)
struct SigmoidCrossEntropyBackward {
  real* dlogits; const real *dlosses, *log_sum, *logits, *labels; int C; int add;
  template <class Team> HD void operator()(Team team, size_t b) const {
    const real *z = logits + b * C, *y = labels + b * C;
    real* dz = dlogits + b * C;
    team.each(C, [&](int c) { dz[c] = previous(add, dz[c]) + dlosses[b] * (logistic(z[c]) - y[c]); });
  }
};

template <class Forward, class Backward> Tensor cross_entropy(Tape& t, Tensor logits, Tensor labels) {
  const int B = logits.shape[0], C = logits.shape[1];
  if (labels.shape != logits.shape)
    fail(ExitCode::failed, "{}: labels are {}, expected {}", Forward::name, labels.shape.text(), logits.shape.text());
  Tensor losses = t.make(Forward::name, {B}, {logits});
  const Saved<real> log_sum = t.saved<real>(B);
  t.device.rows(B, Forward{t.value(losses), log_sum->data, t.value(logits), t.value(labels), C});
  t.on_backward(losses, [=, &t] {
    const Gradient dz = t.add_gradient(logits);
    t.device.rows(B, Backward{dz.data, t.gradient(losses), log_sum->data, t.value(logits), t.value(labels), C, dz.add});
  });
  return losses;
}
inline Tensor softmax_cross_entropy(Tape& t, Tensor logits, Tensor labels) {
  return cross_entropy<SoftmaxCrossEntropy, SoftmaxCrossEntropyBackward>(t, logits, labels);
}
inline Tensor sigmoid_cross_entropy(Tape& t, Tensor logits, Tensor labels) {
  return cross_entropy<SigmoidCrossEntropy, SigmoidCrossEntropyBackward>(t, logits, labels);
}

struct Mean {
  real* y; const real* x; int n, of;
  template <class Team> HD void operator()(Team team, size_t) const {
    const real s = team.sum(n, [&](int i) { return x[i]; }) / of;
    team.once([&] { *y = s; });
  }
};
struct MeanBackward {
  real* dx; const real* dy; int of; int add;
  HD void operator()(size_t i) const { dx[i] = previous(add, dx[i]) + *dy / of; }
};
// x[n] -> [1]; what x adds to the mean over a batch of `of` (0: n)
inline Tensor mean(Tape& t, Tensor x, int of = 0) {
  const int n = int(x.shape.size());
  if (of == 0) of = n;
  Tensor y = t.make("mean", {1}, {x});
  t.device.rows(1, Mean{t.value(y), t.value(x), n, of});
  t.on_backward(y, [=, &t] {
    const Gradient dx = t.add_gradient(x);
    t.device.each(n, MeanBackward{dx.data, t.gradient(y), of, dx.add});
  });
  return y;
}

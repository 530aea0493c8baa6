// Softmax and what adds to its denominator or scales its scores.
// defines: Softmax, SoftmaxOne, SoftmaxSink, ScalableSoftmax
#pragma once
#include "engine/attention/functions/pointwise.h"

// ds = a (da - Σ a da), the backward of every a_j = e^{s_j} / (c + Σ e^{s_k}); returns Σ a da. ds may be da.
template <class Team> HD real softmax_backward(Team team, real* ds, const real* da, const real* a, int L) {
  const real dot = team.sum(L, [&](int j) { return a[j] * da[j]; });
  team.each(L, [&](int j) { ds[j] = a[j] * (da[j] - dot); });
  return dot;
}

// a_j = e^{s_j} / Σ e^{s_k}
struct Softmax : AttentionFunction {
  static constexpr std::string_view name = "softmax", formula = "exp(s) / sum exp(s)",
                                    source = "Vaswani et al. 2017, 1706.03762";
  static constexpr bool shift_matters = false, always_positive = true;
  Softmax(double /*alpha*/, int /*L*/) {}
  template <class Team> HD void forward(Team team, real* a, const real* s, int L) const {
    const real m = team.max(L, [&](int j) { return s[j]; });
    team.each(L, [&](int j) { a[j] = exponential(s[j] - m); });
    const real r = 1 / team.sum(L, [&](int j) { return a[j]; });
    team.each(L, [&](int j) { a[j] *= r; });
  }
  template <class Team>
  HD void backward(Team team, real* ds, const real* da, const real* a, const real* /*s*/, int L) const {
    softmax_backward(team, ds, da, a, L);
  }
};

// a_j = e^{s_j} / (e^b + Σ e^{s_k}): softmax over one more key, whose value is zero
template <class Team> HD void softmax_with_sink(Team team, real* a, const real* s, real b, int L) {
  const real highest = team.max(L, [&](int j) { return s[j]; }), m = highest < b ? b : highest;
  team.each(L, [&](int j) { a[j] = exponential(s[j] - m); });
  const real r = 1 / (exponential(b - m) + team.sum(L, [&](int j) { return a[j]; }));
  team.each(L, [&](int j) { a[j] *= r; });
}

struct SoftmaxOne : Softmax {
  static constexpr std::string_view name = "softmax1", formula = "exp(s) / (1 + sum exp(s))",
                                    source = "Miller 2023, Attention is off by one";
  static constexpr bool shift_matters = true;
  using Softmax::Softmax;
  template <class Team>
  HD void forward(Team team, real* a, const real* s, int L) const {
    softmax_with_sink(team, a, s, real(0), L);
  }
};

// Functions with a number of the head: forward and backward take it, and backward returns the row's part of its
// gradient.

// b starts at 0;  d b = -(1 - Σ a) Σ a da
struct SoftmaxSink : AttentionFunction {
  static constexpr std::string_view name = "softmax-sink", formula = "exp(s) / (exp(b) + sum exp(s)), b learned",
                                    source = "gpt-oss, OpenAI 2025, 2508.10925: a sink for each head", number = "sink";
  static constexpr bool shift_matters = false, always_positive = true;
  SoftmaxSink(double /*alpha*/, int /*L*/) {}
  double initial_number() const { return 0; }
  template <class Team>
  HD void forward(Team team, real* a, const real* s, int L, real b) const {
    softmax_with_sink(team, a, s, b, L);
  }
  template <class Team>
  HD real backward(Team team, real* ds, const real* da, const real* a, const real* /*s*/, int L, real /*b*/) const {
    const real dot = softmax_backward(team, ds, da, a, L);
    return (team.sum(L, [&](int j) { return a[j]; }) - 1) * dot;
  }
};

// a = softmax(c log(L) s): at one L only a temperature. c starts so that this is softmax;
// d c = log(L) Σ s a (da - Σ a da)
struct ScalableSoftmax : Softmax {
  static constexpr std::string_view name = "ssmax", formula = "softmax(c log(L) s), c learned",
                                    source = "Nakanishi 2025, 2501.19399", number = "ssmax_scale";
  static constexpr bool scale_matters = false;
  real log_length;
  ScalableSoftmax(double alpha, int L) : Softmax(alpha, L), log_length(real(std::log(double(L)))) {}
  double initial_number() const { return log_length > 0 ? 1 / double(log_length) : 1; }
  template <class Team> HD void forward(Team team, real* a, const real* s, int L, real c) const {
    team.each(L, [&](int j) { a[j] = c * log_length * s[j]; });
    Softmax::forward(team, a, a, L);
  }
  template <class Team>
  HD real backward(Team team, real* ds, const real* da, const real* a, const real* s, int L, real c) const {
    softmax_backward(team, ds, da, a, L);
    const real slope = log_length * team.sum(L, [&](int j) { return ds[j] * s[j]; });
    team.each(L, [&](int j) { ds[j] *= c * log_length; });
    return slope;
  }
};

// Sparse probabilities: a_j = max(s_j / p - θ, 0)^p with the threshold θ for which they sum to 1. This is α-entmax with
// α = 1 + 1/p (Peters et al. 2019, 1905.05702): sparsemax for p = 1.
// defines: Threshold, Sparsemax, Entmax15, Entmax125
#pragma once
#include "engine/attention/functions/pointwise.h"

// f(θ) = Σ max(s/p - θ, 0)^p - 1 is convex and falls, and f(max s/p - 1) >= 0: Newton's steps from there come from one
// side and end when rounding does. Every step halves f or f' (f_k+1 / f_k + f'_k+1 / f'_k <= 1), so `most_steps` are
// enough for any row. With r = a^{1 - 1/p} (1 on the support for p = 1):  ds = r (da - Σ r da / Σ r)
template <int p> struct Threshold : AttentionFunction {
  static_assert(p == 1 || p == 2 || p == 4);
  static constexpr bool shift_matters = false, always_positive = true;
  static constexpr int most_steps = 60;
  Threshold(double /*alpha*/, int /*L*/) {}
  HD static real power(real x) { return p == 1 ? x : p == 2 ? x * x : x * x * x * x; }
  HD static real slope(real x) { return p == 1 ? real(x > 0) : p == 2 ? 2 * x : 4 * x * x * x; }  // of power, x >= 0
  HD static real r(real a) { return p == 1 ? real(a > 0) : p == 2 ? std::sqrt(a) : std::sqrt(a * std::sqrt(a)); }
  template <class Team> HD void forward(Team team, real* a, const real* s, int L) const {
    const real m = team.max(L, [&](int j) { return s[j]; });
    team.each(L, [&](int j) { a[j] = (s[j] - m) / p; });
    real threshold = -1;
    for (int step = 0; step < most_steps; step++) {
      const real f = team.sum(L, [&](int j) { return power(Relu::value(a[j] - threshold)); }) - 1;
      const real next = threshold + f / team.sum(L, [&](int j) { return slope(Relu::value(a[j] - threshold)); });
      if (!(next > threshold)) break;
      threshold = next;
    }
    team.each(L, [&](int j) { a[j] = power(Relu::value(a[j] - threshold)); });
    const real total = 1 / team.sum(L, [&](int j) { return a[j]; });
    team.each(L, [&](int j) { a[j] *= total; });
  }
  template <class Team>
  HD void backward(Team team, real* ds, const real* da, const real* a, const real* /*s*/, int L) const {
    const real mean = team.sum(L, [&](int j) { return r(a[j]) * da[j]; }) / team.sum(L, [&](int j) { return r(a[j]); });
    team.each(L, [&](int j) { ds[j] = r(a[j]) * (da[j] - mean); });
  }
};

struct Sparsemax : Threshold<1> {
  static constexpr std::string_view name = "sparsemax", formula = "max(s - t, 0), t so that the row sums to 1",
                                    source = "Martins & Astudillo 2016, 1602.02068";
  using Threshold::Threshold;
};
struct Entmax15 : Threshold<2> {
  static constexpr std::string_view name = "entmax15", formula = "max(s/2 - t, 0)^2, t so that the row sums to 1",
                                    source = "Peters et al. 2019, 1905.05702: alpha-entmax, alpha = 1.5";
  using Threshold::Threshold;
};
struct Entmax125 : Threshold<4> {
  static constexpr std::string_view name = "entmax125", formula = "max(s/4 - t, 0)^4, t so that the row sums to 1",
                                    source = "Peters et al. 2019, 1905.05702: alpha-entmax, alpha = 1.25";
  using Threshold::Threshold;
};

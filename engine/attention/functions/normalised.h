// Weights divided by a sum over their row.
// defines: Normalised, ReluNormalised, EluNormalised, SigmoidNormalised, StableMax, TaylorSoftmax, Softpick,
//   StandardScores
#pragma once
#include "engine/attention/functions/pointwise.h"

// a_j = h(s_j) / Z,  Z = ε + Σ h(s_k),  for h >= 0;  ds = h'(s) (da - Σ a da) / Z. A row of zeros stays one, and learns
// nothing.
template <class H> struct Normalised : AttentionFunction {
  static constexpr bool always_positive = H::always_positive;
  static constexpr real epsilon = real(1e-6);
  Normalised(double /*alpha*/, int /*L*/) {}
  template <class Team> HD void forward(Team team, real* a, const real* s, int L) const {
    team.each(L, [&](int j) { a[j] = H::value(s[j]); });
    const real r = 1 / (team.sum(L, [&](int j) { return a[j]; }) + epsilon);
    team.each(L, [&](int j) { a[j] *= r; });
  }
  template <class Team>
  HD void backward(Team team, real* ds, const real* da, const real* a, const real* s, int L) const {
    const real dot = team.sum(L, [&](int j) { return a[j] * da[j]; });
    const real r = 1 / (team.sum(L, [&](int j) { return H::value(s[j]); }) + epsilon);
    team.each(L, [&](int j) { ds[j] = r * H::slope(s[j]) * (da[j] - dot); });
  }
};

struct ReluNormalised : Normalised<Relu> {
  static constexpr std::string_view name = "relu-norm", formula = "max(s, 0) / (sum max(s, 0) + 1e-6)",
                                    source = "Li et al. 2022, as cited by 2309.08586";
  static constexpr bool scale_matters = false;
  using Normalised::Normalised;
};
struct EluNormalised : Normalised<EluPlusOne> {
  static constexpr std::string_view name = "elu1-norm", formula = "elu1(s) / (sum elu1(s) + 1e-6)",
                                    source = "Katharopoulos et al. 2020, 2006.16236, of the scores";
  using Normalised::Normalised;
};
struct SigmoidNormalised : Normalised<Sigmoid> {
  static constexpr std::string_view name = "sigmoid-norm", formula = "sigmoid(s) / (sum sigmoid(s) + 1e-6)",
                                    source = "sigmoid, normalised by the row";
  using Normalised::Normalised;
};
struct StableMax : Normalised<Stable> {
  static constexpr std::string_view name = "stablemax", formula = "stable(s) / (sum stable(s) + 1e-6)",
                                    source = "Prieto et al. 2025, 2501.04697";
  using Normalised::Normalised;
};
struct TaylorSoftmax : Normalised<Taylor> {
  static constexpr std::string_view name = "taylor-softmax", formula = "taylor2(s) / (sum taylor2(s) + 1e-6)",
                                    source = "Banerjee et al. 2020, 2011.11538";
  using Normalised::Normalised;
};

// With d_j = e^{s_j - m} - e^{-m} and Z = ε e^{-m} + Σ |d_k|:  a_j = max(d_j, 0) / Z,
// ds = e^{s-m} / Z (1[d > 0] da - sgn(d) Σ a da). m = max(0, max s) keeps every power finite and changes nothing else;
// the authors' ε, without e^{-m}, would make ds depend on it.
struct Softpick : AttentionFunction {
  static constexpr std::string_view name = "softpick", formula = "max(exp(s) - 1, 0) / (sum abs(exp(s) - 1) + 1e-8)",
                                    source = "Zuhri et al. 2025, 2504.20966";
  static constexpr real epsilon = real(1e-8);
  Softpick(double /*alpha*/, int /*L*/) {}
  struct Row {
    real m, one, r;                                       // one: e^{-m}; r: 1 / Z
    HD real difference(real s) const { return exponential(s - m) - one; }
  };
  template <class Team> HD static Row row(Team team, const real* s, int L) {
    const real highest = team.max(L, [&](int j) { return s[j]; }), m = highest < 0 ? real(0) : highest;
    Row row{m, exponential(-m), 1};
    row.r = 1 / (team.sum(L, [&](int j) { return std::fabs(row.difference(s[j])); }) + epsilon * row.one);
    return row;
  }
  template <class Team> HD void forward(Team team, real* a, const real* s, int L) const {
    const Row x = row(team, s, L);
    team.each(L, [&](int j) { a[j] = x.r * Relu::value(x.difference(s[j])); });
  }
  template <class Team>
  HD void backward(Team team, real* ds, const real* da, const real* a, const real* s, int L) const {
    const Row x = row(team, s, L);
    const real dot = team.sum(L, [&](int j) { return a[j] * da[j]; });
    team.each(L, [&](int j) {
      const real d = x.difference(s[j]), inner = d > 0 ? da[j] - dot : d < 0 ? dot : real(0);
      ds[j] = x.r * exponential(s[j] - x.m) * inner;
    });
  }
};

// a = L^-α x̂,  x̂ = (s - mean) / √(var + ε): weights of both signs. With g = L^-α da:
// ds = (g - mean(g) - x̂ mean(g x̂)) / √(var + ε)
struct StandardScores : AttentionFunction {
  static constexpr std::string_view
      name = "nap",
      formula = "(s - mean(s)) / sqrt(var(s) + 1e-6)",
      source = "Richter & Wattenhofer 2020, 2005.09561, without its learned scale and shift; L^-alpha is ours";
  static constexpr bool scaled_by_length = true, shift_matters = false, scale_matters = false;
  real scale;
  StandardScores(double alpha, int L) : scale(real(std::pow(double(L), -alpha))) {}
  struct Row { real mean, r; };
  template <class Team> HD static Row row(Team team, const real* s, int L) {
    const real mean = team.sum(L, [&](int j) { return s[j]; }) / L;
    const real variance = team.sum(L, [&](int j) { return (s[j] - mean) * (s[j] - mean); }) / L;
    return {mean, 1 / std::sqrt(variance + real(1e-6))};
  }
  template <class Team> HD void forward(Team team, real* a, const real* s, int L) const {
    const Row x = row(team, s, L);
    team.each(L, [&](int j) { a[j] = scale * (s[j] - x.mean) * x.r; });
  }
  template <class Team>
  HD void backward(Team team, real* ds, const real* da, const real* /*a*/, const real* s, int L) const {
    const Row x = row(team, s, L);
    const real mean = team.sum(L, [&](int j) { return da[j]; }) / L;
    const real slope = team.sum(L, [&](int j) { return da[j] * (s[j] - x.mean); }) * x.r / L;
    team.each(L, [&](int j) { ds[j] = scale * x.r * (da[j] - mean - (s[j] - x.mean) * x.r * slope); });
  }
};

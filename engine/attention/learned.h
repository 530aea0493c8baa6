// What attention may learn beside its projections, a number for each head or one for all heads of a layer:
//
//   a = φ(τ s + b),  φ = γ L^-α h,  and a number that φ has of its own
//
// γ and τ are learned as their logarithms, so they stay positive and every gradient is a sum over rows, with s' = τ s +
// b:
//   d α = -log L Σ dA∘A    d log γ = Σ dA∘A    d b = Σ dS'    d log τ = Σ dS'∘(s' - b)
// defines: Learned, HeadNumbers, HeadFunction
#pragma once
#include "engine/attention/functions.h"

// One T for each; where T is a tensor or pointer, none or null: not learned.
template <class T> struct Learned {
  T alpha{}, log_gamma{}, bias{}, log_temperature{}, number{};
  bool any() const { return alpha || log_gamma || bias || log_temperature || number; }
  template <class To, class F> HD Learned<To> map(F f) const { 
    return {.alpha = f(alpha),
            .log_gamma = f(log_gamma),
            .bias = f(bias),
            .log_temperature = f(log_temperature),
            .number = f(number)};
  }
  template <class U, class F> void each_with(const Learned<U>& other, F f) const {
    f(alpha, other.alpha), f(log_gamma, other.log_gamma), f(bias, other.bias),
        f(log_temperature, other.log_temperature), f(number, other.number);
  }
};

// The number of head h is values[h step]; step 0: all heads have the same.
struct HeadNumbers {
  const real* values = nullptr;
  int step = 0;
  explicit operator bool() const { return values; }
  const real* of(int h) const { return values ? values + h * step : nullptr; }
};

// φ of one head with what it has learned.
template <class F> struct HeadFunction {
  F f; int L; Learned<const real*> learned;

  // s becomes τ s + b, and a = φ(s); a may be s
  template <class Team> HD void forward(Team team, real* a, real* s) const {
    if (learned.bias || learned.log_temperature) {
      const real temperature = tau(), b = bias();
      team.each(L, [&](int j) { s[j] = temperature * s[j] + b; });
    }
    if constexpr (F::number.empty()) with_factor().forward(team, a, s, L);
    else f.forward(team, a, s, L, *learned.number);
  }
  // d s of the scores before they became s; ds may be da. The row's part of the gradients goes to element `at` of
  // `parts`.
  template <class Team>
  HD void backward(Team team, real* ds, const real* da, const real* a, const real* s, const Learned<real*>& parts,
                   size_t at) const {
    auto put = [&](real* part, real value) { if (part) team.once([&] { part[at] = value; }); };
    if (parts.alpha || parts.log_gamma) {
      const real dot = team.sum(L, [&](int j) { return da[j] * a[j]; });
      put(parts.alpha, -std::log(real(L)) * dot);
      put(parts.log_gamma, dot);
    }
    if constexpr (F::number.empty()) with_factor().backward(team, ds, da, a, s, L);
    else put(parts.number, f.backward(team, ds, da, a, s, L, *learned.number));
    if (!learned.bias && !learned.log_temperature) return;
    const real temperature = tau(), b = bias();
    put(parts.bias, team.sum(L, [&](int j) { return ds[j]; }));
    put(parts.log_temperature, team.sum(L, [&](int j) { return ds[j] * (s[j] - b); }));
    team.each(L, [&](int j) { ds[j] *= temperature; });
  }

 private:
  HD real tau() const { return learned.log_temperature ? exponential(*learned.log_temperature) : real(1); }
  HD real bias() const { return learned.bias ? *learned.bias : real(0); }
  // where α is learned f was made with α = 0
  HD F with_factor() const {
    F g = f;
    if constexpr (F::scaled_by_length)
      if (learned.alpha || learned.log_gamma)
        g.scale *= exponential((learned.log_gamma ? *learned.log_gamma : 0) -
                               (learned.alpha ? *learned.alpha * std::log(real(L)) : 0));
    return g;
  }
};

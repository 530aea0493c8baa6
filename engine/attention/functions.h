// The attention functions φ: one struct each. A row of scores s[L] becomes a row of weights a[L]; backward turns d a into d s.
// To add one, write its struct and append it to AttentionFunctions: the command line, the help, both devices, the gradient
// checks and the table of README take it from there.
// defines: the functions, AttentionFunctions, AttentionFunctionInfo
#pragma once
#include <string>
#include <string_view>
#include <vector>
#include "engine/ops/gelu.h"
#include "engine/tensor.h"

// a_j = e^{s_j} / Σ e^{s_k};  ds = a (da - Σ a da)
struct Softmax {
  static constexpr std::string_view name = "softmax", formula = "exp(s) / sum exp(s)", source = "Vaswani et al. 2017, 1706.03762";
  static constexpr bool scaled_by_length = false;
  Softmax(double /*alpha*/, int /*L*/) {}
  template <class Team> HD void forward(Team team, real* a, const real* s, int L) const {
    const real m = team.max(L, [&](int j) { return s[j]; });
    team.each(L, [&](int j) { a[j] = exponential(s[j] - m); });
    const real r = 1 / team.sum(L, [&](int j) { return a[j]; });
    team.each(L, [&](int j) { a[j] *= r; });
  }
  // ds may be da
  template <class Team> HD void backward(Team team, real* ds, const real* da, const real* a, const real* /*s*/, int L) const {
    const real dot = team.sum(L, [&](int j) { return a[j] * da[j]; });
    team.each(L, [&](int j) { ds[j] = a[j] * (da[j] - dot); });
  }
};

// a_j = L^-α h(s_j);  ds = L^-α h'(s) da. The family of Wortsman et al. 2023 (2309.08586), section 3. L counts all keys.
// H states h as value(s) and h' as slope(s), with slope 0 where h has a kink.
template <class H> struct Pointwise {
  static constexpr bool scaled_by_length = true;
  real scale;
  Pointwise(double alpha, int L) : scale(real(std::pow(double(L), -alpha))) {}
  template <class Team> HD void forward(Team team, real* a, const real* s, int L) const {
    team.each(L, [&](int j) { a[j] = scale * H::value(s[j]); });
  }
  template <class Team> HD void backward(Team team, real* ds, const real* da, const real* /*a*/, const real* s, int L) const {
    team.each(L, [&](int j) { ds[j] = scale * H::slope(s[j]) * da[j]; });
  }
};

struct Relu : Pointwise<Relu> {
  static constexpr std::string_view name = "relu", formula = "max(s, 0)", source = "2309.08586, eq. 1 with alpha = 1: ReLU-attention";
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s < 0 ? T(0) : s; }                  // a NaN stays one
  template <class T> HD static T slope(T s) { return s > 0 ? T(1) : T(0); }
};

struct SquaredRelu : Pointwise<SquaredRelu> {
  static constexpr std::string_view name = "relu2", formula = "max(s, 0)^2", source = "2309.08586; Hua et al. 2022, 2202.10447";
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return Relu::value(s) * Relu::value(s); }
  template <class T> HD static T slope(T s) { return s > 0 ? 2 * s : T(0); }
};

struct Gelu : Pointwise<Gelu> {
  static constexpr std::string_view name = "gelu", formula = "s/2 (1 + tanh(sqrt(2/pi) (s + 0.044715 s^3)))", source = "2309.08586; the tanh form of jax.nn.gelu";
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return GeluTanh::value(s); }
  template <class T> HD static T slope(T s) { return GeluTanh::slope(s); }
};

struct Softplus : Pointwise<Softplus> {
  static constexpr std::string_view name = "softplus", formula = "log(1 + exp(s))", source = "2309.08586";
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return softplus(s); }
  template <class T> HD static T slope(T s) { return logistic(s); }
};

struct Identity : Pointwise<Identity> {
  static constexpr std::string_view name = "identity", formula = "s", source = "2309.08586: no activation, linear attention";
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s; }
  template <class T> HD static T slope(T) { return 1; }
};

struct Relu6 : Pointwise<Relu6> {
  static constexpr std::string_view name = "relu6", formula = "min(max(s, 0), 6)", source = "2309.08586";
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s > 6 ? T(6) : Relu::value(s); }
  template <class T> HD static T slope(T s) { return s < 6 ? Relu::slope(s) : T(0); }
};

struct Sigmoid : Pointwise<Sigmoid> {
  static constexpr std::string_view name = "sigmoid", formula = "1 / (1 + exp(-s))", source = "2309.08586";
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return logistic(s); }
  template <class T> HD static T slope(T s) { const T p = logistic(s); return p * (1 - p); }
};

struct AttentionFunctionInfo {
  std::string name, formula, source;
  bool scaled_by_length;               // α matters
};

template <class... F> struct AttentionFunctionList {
  // calls f(function) with the one called `name`, made for α and L; false if there is none
  template <class Call> static bool visit(std::string_view name, double alpha, int L, Call call) {
    return ((name == F::name && (call(F(alpha, L)), true)) || ...);
  }
  static std::vector<AttentionFunctionInfo> all() {
    return {{std::string(F::name), (F::scaled_by_length ? "L^-alpha " : "") + std::string(F::formula), std::string(F::source), F::scaled_by_length}...};
  }
  static std::string names() {
    std::string list;
    ((list += (list.empty() ? "" : ", ") + std::string(F::name)), ...);
    return list;
  }
  template <template <class> class Kernel, template <class...> class List> using Kernels = List<Kernel<F>...>;
};

using AttentionFunctions = AttentionFunctionList<Softmax, Relu, SquaredRelu, Gelu, Softplus, Identity, Relu6, Sigmoid>;

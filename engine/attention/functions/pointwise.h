// a_j = L^-α h(s_j): every function that looks at one score at a time.
// defines: Saturation, AttentionFunction, Pointwise, Relu, SquaredRelu, Gelu, Softplus, Identity, Relu6, Sigmoid, Silu,
//          Mish, Elu, EluPlusOne, LeakyRelu, TanhFunction, Exponential, Laplace, Square, Cube, Taylor, Stable,
//          SigmoidBias, ReluFormer
#pragma once
#include <cmath>
#include <limits>
#include <string_view>
#include "engine/ops/smooth.h"
#include "engine/tensor.h"

// Scores at or beyond which a bounded function is flat: its slope is 0, or at most a hundredth of its largest. Where
// the weight is 0 as well, it is counted as a zero instead. Infinite where there is no such place.
struct Saturation {
  static constexpr double infinity = std::numeric_limits<double>::infinity(), flat_slope = 0.01;
  double low = -infinity, high = infinity;
  bool any() const { return std::isfinite(low) || std::isfinite(high); }
  static Saturation around(double center, double reach) { return {center - reach, center + reach}; }
  static double of_logistic() { return 2 * std::acosh(1 / std::sqrt(flat_slope)); }  // slope 1 / (4 cosh²(s/2))
};

// What the others say otherwise.
struct AttentionFunction {
  static constexpr bool scaled_by_length = false;                    // has the factor L^-α
  // false: b, or τ, of φ(τ s + b) would change nothing that `number` does not
  static constexpr bool shift_matters = true, scale_matters = true;
  static constexpr bool homogeneous = false;  // h(τ s) = τ^p h(s) for τ > 0: τ is a factor of the weights
  static constexpr bool always_positive = false;                     // weights of at least 0, in each row one above
  static constexpr std::string_view number = "";  // the name of the number that each head learns for it
  static Saturation saturation(int /*L*/) { return {}; }
};

// a_j = L^-α h(s_j);  ds = L^-α h'(s) da. The family of Wortsman et al. 2023 (2309.08586), section 3. L counts all
// keys. H states h as value(s) and h' as slope(s), at a kink the smaller of the two.
template <class H> struct Pointwise : AttentionFunction {
  static constexpr bool scaled_by_length = true;
  real scale;
  Pointwise(double alpha, int L) : scale(real(std::pow(double(L), -alpha))) {}
  template <class Team> HD void forward(Team team, real* a, const real* s, int L) const {
    team.each(L, [&](int j) { a[j] = scale * H::value(s[j]); });
  }
  template <class Team>
  HD void backward(Team team, real* ds, const real* da, const real* /*a*/, const real* s, int L) const {
    team.each(L, [&](int j) { ds[j] = scale * H::slope(s[j]) * da[j]; });
  }
};

struct Relu : Pointwise<Relu> {
  static constexpr std::string_view name = "relu", formula = "max(s, 0)",
                                    source = "2309.08586, eq. 1 with alpha = 1: ReLU-attention";
  static constexpr bool homogeneous = true;
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s < 0 ? T(0) : s; }                  // a NaN stays one
  template <class T> HD static T slope(T s) { return s > 0 ? T(1) : T(0); }
};

struct SquaredRelu : Pointwise<SquaredRelu> {
  static constexpr std::string_view name = "relu2", formula = "max(s, 0)^2",
                                    source = "2309.08586; Hua et al. 2022, 2202.10447, relu^2(s / L): alpha = 2";
  static constexpr bool homogeneous = true;
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return Relu::value(s) * Relu::value(s); }
  template <class T> HD static T slope(T s) { return s > 0 ? 2 * s : T(0); }
};

struct Gelu : Pointwise<Gelu> {
  static constexpr std::string_view name = "gelu", formula = "s/2 (1 + tanh(sqrt(2/pi) (s + 0.044715 s^3)))",
                                    source = "2309.08586; the tanh form of jax.nn.gelu";
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return GeluTanh::value(s); }
  template <class T> HD static T slope(T s) { return GeluTanh::slope(s); }
};

struct Softplus : Pointwise<Softplus> {
  static constexpr std::string_view name = "softplus", formula = "log(1 + exp(s))", source = "2309.08586";
  static constexpr bool always_positive = true;
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return softplus(s); }
  template <class T> HD static T slope(T s) { return logistic(s); }
};

struct Identity : Pointwise<Identity> {
  static constexpr std::string_view name = "identity", formula = "s",
                                    source = "2309.08586: no activation, linear attention";
  static constexpr bool homogeneous = true;
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s; }
  template <class T> HD static T slope(T) { return 1; }
};

struct Relu6 : Pointwise<Relu6> {
  static constexpr std::string_view name = "relu6", formula = "min(max(s, 0), 6)", source = "2309.08586";
  static Saturation saturation(int /*L*/) { return {.high = 6}; }
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s > 6 ? T(6) : Relu::value(s); }
  template <class T> HD static T slope(T s) { return s < 6 ? Relu::slope(s) : T(0); }
};

struct Sigmoid : Pointwise<Sigmoid> {
  static constexpr std::string_view name = "sigmoid", formula = "1 / (1 + exp(-s))", source = "2309.08586";
  static constexpr bool always_positive = true;
  static Saturation saturation(int /*L*/) { return Saturation::around(0, Saturation::of_logistic()); }
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return Logistic::value(s); }
  template <class T> HD static T slope(T s) { return Logistic::slope(s); }
};

struct Silu : Pointwise<Silu> {
  static constexpr std::string_view name = "silu", formula = "s / (1 + exp(-s))",
                                    source = "Elfwing et al. 2017, 1702.03118";
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return Swish::value(s); }
  template <class T> HD static T slope(T s) { return Swish::slope(s); }
};

struct Mish : Pointwise<Mish> {
  static constexpr std::string_view name = "mish", formula = "s tanh(log(1 + exp(s)))",
                                    source = "Misra 2019, 1908.08681";
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s * hyperbolic_tangent(softplus(s)); }
  template <class T>
  HD static T slope(T s) {
    const T t = hyperbolic_tangent(softplus(s));
    return t + s * (1 - t * t) * logistic(s);
  }
};

struct Elu : Pointwise<Elu> {
  static constexpr std::string_view name = "elu", formula = "(s if s > 0, else exp(s) - 1)",
                                    source = "Clevert et al. 2015, 1511.07289";
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s > 0 ? s : exponential(s) - 1; }
  template <class T> HD static T slope(T s) { return s > 0 ? T(1) : exponential(s); }
};

struct EluPlusOne : Pointwise<EluPlusOne> {
  static constexpr std::string_view name = "elu1", formula = "(s + 1 if s > 0, else exp(s))",
                                    source = "Katharopoulos et al. 2020, 2006.16236: elu(s) + 1, there of q and k";
  static constexpr bool always_positive = true;
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s > 0 ? s + 1 : exponential(s); }
  template <class T> HD static T slope(T s) { return Elu::slope(s); }
};

struct LeakyRelu : Pointwise<LeakyRelu> {
  static constexpr std::string_view name = "leaky", formula = "max(s, 0.01 s)", source = "Maas et al. 2013";
  static constexpr bool homogeneous = true;
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s > 0 ? s : T(0.01) * s; }
  template <class T> HD static T slope(T s) { return s > 0 ? T(1) : T(0.01); }
};

struct TanhFunction : Pointwise<TanhFunction> {
  static constexpr std::string_view name = "tanh", formula = "tanh(s)",
                                    source = "an odd, bounded h: rows sum to O(1/sqrt(L)) at alpha = 1";
  static Saturation saturation(int /*L*/) {  // slope 1 / cosh² s
    return Saturation::around(0, Saturation::of_logistic() / 2);
  }
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return Tanh::value(s); }
  template <class T> HD static T slope(T s) { return Tanh::slope(s); }
};

struct Exponential : Pointwise<Exponential> {
  static constexpr std::string_view name = "exp", formula = "exp(s)",
                                    source = "softmax with L^alpha in place of its sum";
  static constexpr bool always_positive = true;
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return exponential(s); }
  template <class T> HD static T slope(T s) { return exponential(s); }
};

struct Laplace : Pointwise<Laplace> {
  static constexpr std::string_view name = "laplace", formula = "(1 + erf(sqrt(2 pi) (s - sqrt(1/2)))) / 2",
                                    source = "MEGA, Ma et al. 2022, 2209.10655, there of qk/L + bias";
  static Saturation saturation(int /*L*/) {  // slope √2 exp(-2π (s - √½)²)
    return Saturation::around(std::sqrt(0.5), std::sqrt(-std::log(Saturation::flat_slope) / (2 * std::acos(-1))));
  }
  using Pointwise::Pointwise;
  template <class T>
  HD static T value(T s) {
    return (1 + error_function(T(2.5066282746310002) * (s - T(0.7071067811865476)))) / 2;
  }
  template <class T> HD static T slope(T s) {
    const T x = s - T(0.7071067811865476);
    return T(1.4142135623730951) * exponential(T(-6.283185307179586) * x * x);
  }
};

struct Square : Pointwise<Square> {
  static constexpr std::string_view name = "square", formula = "s^2",
                                    source = "Saratchandran et al. 2024, 2410.18613; its 1/sqrt(L): alpha = 0.5";
  static constexpr bool homogeneous = true;
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s * s; }
  template <class T> HD static T slope(T s) { return 2 * s; }
};

struct Cube : Pointwise<Cube> {
  static constexpr std::string_view name = "cube", formula = "s^3",
                                    source = "Saratchandran et al. 2024, 2410.18613; its 1/sqrt(L): alpha = 0.5";
  static constexpr bool homogeneous = true;
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s * s * s; }
  template <class T> HD static T slope(T s) { return 3 * s * s; }
};

struct Taylor : Pointwise<Taylor> {
  static constexpr std::string_view name = "taylor2", formula = "(1 + s + s^2 / 2)",
                                    source = "the numerator of Taylor softmax";
  static constexpr bool always_positive = true;
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return 1 + s + s * s / 2; }
  template <class T> HD static T slope(T s) { return 1 + s; }
};

struct Stable : Pointwise<Stable> {
  static constexpr std::string_view name = "stable", formula = "(s + 1 if s >= 0, else 1 / (1 - s))",
                                    source = "the numerator of StableMax";
  static constexpr bool always_positive = true;
  using Pointwise::Pointwise;
  template <class T> HD static T value(T s) { return s < 0 ? 1 / (1 - s) : s + 1; }
  template <class T> HD static T slope(T s) { return s < 0 ? 1 / ((1 - s) * (1 - s)) : T(1); }
};

// With the factor of its source in place of L^-α: a = scale h(s - shift).
template <class H> struct FixedPointwise : AttentionFunction {
  static constexpr bool always_positive = H::always_positive;
  real scale, shift;
  FixedPointwise(double scale, double shift) : scale(real(scale)), shift(real(shift)) {}
  template <class Team> HD void forward(Team team, real* a, const real* s, int L) const {
    team.each(L, [&](int j) { a[j] = scale * H::value(s[j] - shift); });
  }
  template <class Team>
  HD void backward(Team team, real* ds, const real* da, const real* /*a*/, const real* s, int L) const {
    team.each(L, [&](int j) { ds[j] = scale * H::slope(s[j] - shift) * da[j]; });
  }
};

struct SigmoidBias : FixedPointwise<Sigmoid> {
  static constexpr std::string_view name = "sigmoid-bias", formula = "1 / (1 + exp(log(L) - s))",
                                    source = "Ramapuram et al. 2024, 2409.04431";
  static Saturation saturation(int L) { return Saturation::around(std::log(L), Saturation::of_logistic()); }
  SigmoidBias(double /*alpha*/, int L) : FixedPointwise(1, std::log(double(L))) {}
};

struct ReluFormer : FixedPointwise<Relu> {
  static constexpr std::string_view name = "reluformer", formula = "max(s, 0) / sqrt(L/2)",
                                    source =
                                        "Shen et al. 2023, 2302.06461: its factor for the variance, without its loss";
  ReluFormer(double /*alpha*/, int L) : FixedPointwise(1 / std::sqrt(L / 2.0), 0) {}
};

// The attention functions in double, written from their formulas: what the engine's are compared with.
// defines: Row, ReferenceFunction, reference_function
#pragma once
#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <vector>

using Row = std::vector<double>;

// a = forward(s), ds = backward(s, da)
struct ReferenceFunction {
  std::function<Row(const Row& s)> forward;
  std::function<Row(const Row& s, const Row& da)> backward;
};

using Scalar = std::function<double(double)>;
inline double sum_of(const Row& x) { return std::accumulate(x.begin(), x.end(), 0.0); }
inline Row map_of(const Row& x, const Scalar& f) {
  Row y;
  for (double v : x) y.push_back(f(v));
  return y;
}
// From a row's Jacobian da_k / ds_j = δ_kj diagonal_j - left_k right_j, in parts of s and a.
struct Jacobian { Row diagonal, left, right; };
inline ReferenceFunction with_jacobian(std::function<Row(const Row&)> forward,
                                       std::function<Jacobian(const Row& s, const Row& a)> jacobian) {
  return {forward, [=](const Row& s, const Row& da) {
            const auto [diagonal, left, right] = jacobian(s, forward(s));
            const double sum = std::inner_product(da.begin(), da.end(), left.begin(), 0.0);
            Row ds;
            for (size_t j = 0; j < s.size(); j++) ds.push_back(diagonal[j] * da[j] - right[j] * sum);
            return ds;
          }};
}

// e^s / (e^b + Σ e^s); b = -∞: softmax
inline ReferenceFunction softmax_reference(double b = -INFINITY) {
  return with_jacobian([=](const Row& s) {
    double sum = std::exp(b);
    for (double x : s) sum += std::exp(x);
    return map_of(s, [=](double x) { return std::exp(x) / sum; });
  }, [](const Row&, const Row& a) { return Jacobian{a, a, a}; });
}

inline ReferenceFunction pointwise_reference(const std::function<double(double L)>& scale, const Scalar& h,
                                             const Scalar& slope) {
  return {[=](const Row& s) { return map_of(s, [&](double x) { return scale(double(s.size())) * h(x); }); },
          [=](const Row& s, const Row& da) {
            Row ds;
            for (size_t j = 0; j < s.size(); j++) ds.push_back(scale(double(s.size())) * slope(s[j]) * da[j]);
            return ds;
          }};
}

inline ReferenceFunction normalised_reference(const Scalar& h, const Scalar& slope) {
  auto denominator = [=](const Row& s) { return sum_of(map_of(s, h)) + 1e-6; };
  return with_jacobian(
      [=](const Row& s) {
        const double z = denominator(s);
        return map_of(s, [&](double x) { return h(x) / z; });
      },
      [=](const Row& s, const Row& a) {
        const double z = denominator(s);
        const Row slopes = map_of(s, [&](double x) { return slope(x) / z; });
        return Jacobian{slopes, a, slopes};
      });
}

// max(s/p - t, 0)^p by bisection
inline ReferenceFunction threshold_reference(double p) {
  return with_jacobian([=](const Row& s) {
    const double highest = *std::max_element(s.begin(), s.end()) / p;
    double low = highest - 1, high = highest;
    auto weights = [&](double t) { return map_of(s, [=](double x) { return std::pow(std::max(x / p - t, 0.0), p); }); };
    for (int i = 0; i < 60; i++) {
      const double middle = (low + high) / 2;
      (sum_of(weights(middle)) >= 1 ? low : high) = middle;
    }
    return weights(low);
  }, [=](const Row&, const Row& a) {
    // low is a rounding below t
    const Row r = map_of(a, [=](double x) { return std::pow(x, 1 / p) > 1e-12 ? std::pow(x, 1 - 1 / p) : 0; });
    return Jacobian{r, r, map_of(r, [sum = sum_of(r)](double x) { return x / sum; })};
  });
}

inline ReferenceFunction softpick_reference() {
  auto denominator = [](const Row& s) {
    return sum_of(map_of(s, [](double x) { return std::abs(std::exp(x) - 1); })) + 1e-8;
  };
  return with_jacobian(
      [=](const Row& s) {
        const double z = denominator(s);
        return map_of(s, [&](double x) { return std::max(std::exp(x) - 1, 0.0) / z; });
      },
      [=](const Row& s, const Row& a) {
        const double z = denominator(s);
        return Jacobian{map_of(s, [&](double x) { return std::exp(x) / z * (x > 0); }), a,
                        map_of(s, [&](double x) { return std::exp(x) / z * ((x > 0) - (x < 0)); })};
      });
}

inline ReferenceFunction standard_scores_reference(double alpha) {
  struct Standard { Row x; double deviation, scale; };
  auto standard = [=](const Row& s) {
    const double L = double(s.size()), mean = sum_of(s) / L;
    const double deviation = std::sqrt(sum_of(map_of(s, [=](double x) { return (x - mean) * (x - mean); })) / L + 1e-6);
    return Standard{map_of(s, [&](double x) { return (x - mean) / deviation; }), deviation, std::pow(L, -alpha)};
  };
  return {[=](const Row& s) {
            const Standard z = standard(s);
            return map_of(z.x, [&](double x) { return z.scale * x; });
          },
          [=](const Row& s, const Row& da) {  // da_k / ds_j = L^-α (δ_kj - 1/L - x_k x_j / L) / deviation
            const auto [x, deviation, scale] = standard(s);
            const double L = double(s.size()), sum = sum_of(da),
                         along = std::inner_product(da.begin(), da.end(), x.begin(), 0.0);
            Row ds;
            for (size_t j = 0; j < s.size(); j++)
              ds.push_back(scale * (da[j] - sum / L - x[j] * along / L) / deviation);
            return ds;
          }};
}

// `number` is what the head has learned, for functions that have such a number.
inline ReferenceFunction reference_function(const std::string& name, double alpha, double number = 0) {
  static const Scalar inner = [](double s) { return std::sqrt(2 / M_PI) * (s + 0.044715 * s * s * s); };
  static const Scalar sigmoid = [](double s) { return 1 / (1 + std::exp(-s)); },
                      sigmoid_slope = [](double s) { return sigmoid(s) * sigmoid(-s); };
  static const Scalar relu = [](double s) { return std::max(s, 0.0); }, step = [](double s) { return double(s > 0); };
  static const Scalar elu_slope = [](double s) { return s > 0 ? 1 : std::exp(s); };
  static const Scalar stable = [](double s) { return s >= 0 ? s + 1 : 1 / (1 - s); },
                      stable_slope = [](double s) { return s >= 0 ? 1 : std::pow(1 - s, -2); };
  const std::map<std::string, std::pair<Scalar, Scalar>> scalars = {
      {"relu", {relu, step}},
      {"relu2", {[](double s) { return std::pow(relu(s), 2); }, [](double s) { return 2 * relu(s); }}},
      {"gelu",
       {[](double s) { return s / 2 * (1 + std::tanh(inner(s))); },
        [](double s) {
          return (1 + std::tanh(inner(s))) / 2 +
                 s / 2 / std::pow(std::cosh(inner(s)), 2) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * s * s);
        }}},
      {"softplus", {[](double s) { return std::log1p(std::exp(s)); }, sigmoid}},
      {"identity", {[](double s) { return s; }, [](double) { return 1.0; }}},
      {"relu6", {[](double s) { return std::min(relu(s), 6.0); }, [](double s) { return double(s > 0 && s < 6); }}},
      {"sigmoid", {sigmoid, sigmoid_slope}},
      {"silu", {[](double s) { return s * sigmoid(s); }, [](double s) { return sigmoid(s) + s * sigmoid_slope(s); }}},
      {"mish",
       {[](double s) { return s * std::tanh(std::log1p(std::exp(s))); },
        [](double s) {
          const double u = std::log1p(std::exp(s));
          return std::tanh(u) + s * sigmoid(s) / std::pow(std::cosh(u), 2);
        }}},
      {"elu", {[](double s) { return s > 0 ? s : std::expm1(s); }, elu_slope}},
      {"elu1", {[](double s) { return s > 0 ? s + 1 : std::exp(s); }, elu_slope}},
      {"leaky", {[](double s) { return std::max(s, 0.01 * s); }, [](double s) { return s > 0 ? 1 : 0.01; }}},
      {"tanh", {[](double s) { return std::tanh(s); }, [](double s) { return 1 / std::pow(std::cosh(s), 2); }}},
      {"exp", {[](double s) { return std::exp(s); }, [](double s) { return std::exp(s); }}},
      {"laplace",
       {[](double s) { return 0.5 * std::erfc(-(s - std::sqrt(0.5)) / std::sqrt(2 / (4 * M_PI))); },
        [](double s) {
          return std::exp(-std::pow(s - std::sqrt(0.5), 2) * 2 * M_PI) / std::sqrt(2 * M_PI / (4 * M_PI));
        }}},
      {"square", {[](double s) { return std::pow(s, 2); }, [](double s) { return 2 * s; }}},
      {"cube", {[](double s) { return std::pow(s, 3); }, [](double s) { return 3 * std::pow(s, 2); }}},
      {"taylor2", {[](double s) { return 1 + s + std::pow(s, 2) / 2; }, [](double s) { return 1 + s; }}},
      {"stable", {stable, stable_slope}}};
  auto shifted = [](const Scalar& f, double by) { return [=](double s) { return f(s - by); }; };
  const std::map<std::string, std::function<ReferenceFunction()>> rows = {
      {"softmax", [] { return softmax_reference(); }},
      {"softmax1", [] { return softmax_reference(0); }},
      {"softmax-sink", [=] { return softmax_reference(number); }},
      {"ssmax",
       [=] {
         auto scaled = [=](const Row& s) {
           return map_of(s, [&](double x) { return number * std::log(double(s.size())) * x; });
         };
         return ReferenceFunction{[=](const Row& s) { return softmax_reference().forward(scaled(s)); },
                                  [=](const Row& s, const Row& da) {
                                    return map_of(softmax_reference().backward(scaled(s), da),
                                                  [&](double x) { return number * std::log(double(s.size())) * x; });
                                  }};
       }},
      {"sigmoid-bias",
       [=] {
         auto at_length = [=](size_t L) {
           return pointwise_reference([](double) { return 1; }, shifted(sigmoid, std::log(double(L))),
                                      shifted(sigmoid_slope, std::log(double(L))));
         };
         return ReferenceFunction{[=](const Row& s) { return at_length(s.size()).forward(s); },
                                  [=](const Row& s, const Row& da) { return at_length(s.size()).backward(s, da); }};
       }},
      {"reluformer", [] { return pointwise_reference([](double L) { return std::sqrt(2 / L); }, relu, step); }},
      {"relu-norm", [&] { return normalised_reference(relu, step); }},
      {"elu1-norm", [&] { return normalised_reference(scalars.at("elu1").first, elu_slope); }},
      {"sigmoid-norm", [&] { return normalised_reference(sigmoid, sigmoid_slope); }},
      {"stablemax", [&] { return normalised_reference(stable, stable_slope); }},
      {"taylor-softmax",
       [&] { return normalised_reference(scalars.at("taylor2").first, scalars.at("taylor2").second); }},
      {"softpick", [] { return softpick_reference(); }},
      {"nap", [=] { return standard_scores_reference(alpha); }},
      {"sparsemax", [] { return threshold_reference(1); }},
      {"entmax15", [] { return threshold_reference(2); }},
      {"entmax125", [] { return threshold_reference(4); }}};
  if (rows.count(name)) return rows.at(name)();
  REQUIRE_MESSAGE(scalars.count(name), "write the formula of '" << name << "' here");
  return pointwise_reference([=](double L) { return std::pow(L, -alpha); }, scalars.at(name).first,
                             scalars.at(name).second);
}

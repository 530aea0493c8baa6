// The attention functions in double, written from their formulas: what the engine's are compared with.
// defines: Row, RowFunction, reference_function
#pragma once
#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

using Row = std::vector<double>;

// a = forward(s), ds = backward(s, da)
struct RowFunction {
  std::function<Row(const Row& s)> forward;
  std::function<Row(const Row& s, const Row& da)> backward;
};

inline RowFunction softmax_reference() {
  auto forward = [](const Row& s) {
    Row a;
    double sum = 0;
    for (double x : s) sum += std::exp(x);
    for (double x : s) a.push_back(std::exp(x) / sum);
    return a;
  };
  return {forward, [=](const Row& s, const Row& da) {
            const Row a = forward(s);
            Row ds(s.size());
            for (size_t j = 0; j < s.size(); j++)
              for (size_t k = 0; k < s.size(); k++) ds[j] += da[k] * a[k] * ((j == k) - a[j]);
            return ds;
          }};
}

using Scalar = double (*)(double);
inline RowFunction pointwise_reference(double alpha, Scalar h, Scalar slope) {
  auto scale = [=](const Row& s) { return std::pow(double(s.size()), -alpha); };
  return {[=](const Row& s) {
            Row a;
            for (double x : s) a.push_back(scale(s) * h(x));
            return a;
          },
          [=](const Row& s, const Row& da) {
            Row ds;
            for (size_t j = 0; j < s.size(); j++) ds.push_back(scale(s) * slope(s[j]) * da[j]);
            return ds;
          }};
}

inline RowFunction reference_function(const std::string& name, double alpha) {
  static constexpr Scalar inner = [](double s) { return std::sqrt(2 / M_PI) * (s + 0.044715 * s * s * s); };
  static constexpr Scalar sigmoid = [](double s) { return 1 / (1 + std::exp(-s)); };
  const std::map<std::string, std::pair<Scalar, Scalar>> scalars = {
      {"relu", {[](double s) { return std::max(s, 0.0); }, [](double s) { return double(s > 0); }}},
      {"relu2", {[](double s) { return std::pow(std::max(s, 0.0), 2); }, [](double s) { return 2 * std::max(s, 0.0); }}},
      {"gelu", {[](double s) { return s / 2 * (1 + std::tanh(inner(s))); },
                [](double s) {
                  return (1 + std::tanh(inner(s))) / 2 + s / 2 / std::pow(std::cosh(inner(s)), 2) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * s * s);
                }}},
      {"softplus", {[](double s) { return std::log1p(std::exp(s)); }, sigmoid}},
      {"identity", {[](double s) { return s; }, [](double) { return 1.0; }}},
      {"relu6", {[](double s) { return std::min(std::max(s, 0.0), 6.0); }, [](double s) { return double(s > 0 && s < 6); }}},
      {"sigmoid", {sigmoid, [](double s) { return sigmoid(s) * sigmoid(-s); }}}};
  if (name == "softmax") return softmax_reference();
  REQUIRE_MESSAGE(scalars.count(name), "write the formula of '" << name << "' here");
  return pointwise_reference(alpha, scalars.at(name).first, scalars.at(name).second);
}

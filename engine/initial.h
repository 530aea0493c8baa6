// What the values of a parameter are before training: a distribution, or numbers that follow from their place.
// defines: Initial, initial::constant, initial::identity, initial::normal, initial::xavier, initial::lecun
#pragma once
#include <functional>

#include "engine/random.h"

using Initial = std::function<double(Random& random, size_t i)>;    // value i of a parameter, asked for in order

namespace initial {
inline Initial constant(double value) {
  return [=](Random&, size_t) { return value; };
}
inline Initial identity(size_t n) {    // of a matrix [n, n]
  return [=](Random&, size_t i) { return i / n == i % n ? 1.0 : 0.0; };
}
inline Initial normal(double deviation) {
  return [=](Random& random, size_t) { return deviation * random.normal(); };
}
inline Initial xavier(double fan_in, double fan_out) {    // uniform, variance 2 / (fan_in + fan_out)
  const double a = std::sqrt(6 / (fan_in + fan_out));
  return [=](Random& random, size_t) { return random.uniform(-a, a); };
}
inline Initial lecun(double fan_in) {    // normal within two deviations, variance 1 / fan_in
  const double root = 0.87962566 * std::sqrt(fan_in);
  return [=](Random& random, size_t) { return random.truncated_normal() / root; };
}
}    // namespace initial

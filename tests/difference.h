// How far numbers are from those expected.
// defines: largest_error, norm_error
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

// max |got - expected| / max |expected|, which is at least `size`; infinity where one of them is not finite
template <class T, class U>
double largest_error(const std::vector<T>& got, const std::vector<U>& expected, double size = 1e-30) {
  double largest = 0;
  for (size_t i = 0; i < got.size(); i++) {
    if (!std::isfinite(got[i]) || !std::isfinite(expected[i])) return INFINITY;
    largest = std::max(largest, std::abs(double(got[i]) - expected[i]));
    size = std::max(size, std::abs(double(expected[i])));
  }
  return largest / size;
}

// ‖got - expected‖ / ‖expected‖, a norm below 1e-3 counting as that: softmax over one key has gradient 0
template <class T, class U> double norm_error(const std::vector<T>& got, const std::vector<U>& expected) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < got.size(); i++)
    difference += std::pow(double(got[i]) - expected[i], 2), size += std::pow(double(expected[i]), 2);
  return std::sqrt(difference / std::max(size, 1e-6));
}

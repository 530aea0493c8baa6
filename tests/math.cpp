// engine/math.h against the standard library in double, over floats of every magnitude.
#include <doctest/doctest.h>
#include <algorithm>
#include <limits>
#include "engine/math.h"

TEST_SUITE_BEGIN("math");

static constexpr float infinity = std::numeric_limits<float>::infinity();

// |got - exact| in units of the last place of the float nearest to `exact`
static double ulps(float got, double exact) {
  const float nearest = float(exact);
  if (!std::isfinite(got) || !std::isfinite(nearest)) return got == nearest ? 0 : infinity;
  return std::abs(got - exact) / std::ldexp(1, std::max(std::ilogb(nearest), -126) - 23);
}

// The largest error over every 1009th float, subnormal ones included, from low to high.
template <class F, class Exact>
static double largest_error(F f, Exact exact, float low = -infinity, float high = infinity) {
  double largest = 0;
  float where = 0;
  for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 1009) {
    const float x = std::bit_cast<float>(uint32_t(bits));
    if (!(low <= x && x <= high)) continue;
    if (const double error = ulps(f(x), exact(double(x))); error > largest) largest = error, where = x;
  }
  MESSAGE(largest << " ulp at " << where);
  return largest;
}

TEST_CASE("exponential") {
  CHECK(largest_error([](float x) { return exponential(x); }, [](double x) { return std::exp(x); }, -86.9f) <= 1.2);
  CHECK(exponential(0.0f) == 1);
  CHECK(exponential(-86.91f) == 0);
  CHECK(exponential(-1e30f) == 0);
  CHECK(exponential(88.73f) == infinity);
  CHECK(exponential(-infinity) == 0);
  CHECK(exponential(infinity) == infinity);
  CHECK(exponential(88.72f) < infinity);
}

TEST_CASE("hyperbolic_tangent") {
  CHECK(largest_error([](float x) { return hyperbolic_tangent(x); }, [](double x) { return std::tanh(x); }) <= 1.4);
  CHECK(hyperbolic_tangent(infinity) == 1);
  CHECK(hyperbolic_tangent(-infinity) == -1);
}

TEST_CASE("error_function") {
  CHECK(largest_error([](float x) { return error_function(x); }, [](double x) { return std::erf(x); }) <= 1.2);
  CHECK(error_function(infinity) == 1);
  CHECK(error_function(-infinity) == -1);
}

TEST_CASE("log1p_unit") {
  CHECK(largest_error([](float x) { return log1p_unit(x); }, [](double x) { return std::log1p(x); }, 0, 1) <= 1.4);
  CHECK(log1p_unit(0.0f) == 0);
}

TEST_CASE("logistic") {
  auto exact = [](double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); };
  CHECK(largest_error([](float x) { return logistic(x); }, exact, -88.7f) <= 2.6);
  CHECK(logistic(-89.0f) == 0);
  CHECK(logistic(0.0f) == 0.5f);
  CHECK(logistic(infinity) == 1);
  CHECK(logistic(-infinity) == 0);
}

TEST_CASE("softplus") {
  auto exact = [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); };
  CHECK(largest_error([](float x) { return softplus(x); }, exact, -86.9f) <= 2.6);
  CHECK(softplus(infinity) == infinity);
  CHECK(softplus(-infinity) == 0);
}

TEST_CASE("NaN stays NaN") {
  for (const float x : {NAN, -NAN}) {
    CHECK(std::isnan(exponential(x)));
    CHECK(std::isnan(hyperbolic_tangent(x)));
    CHECK(std::isnan(error_function(x)));
    CHECK(std::isnan(log1p_unit(x)));
    CHECK(std::isnan(logistic(x)));
    CHECK(std::isnan(softplus(x)));
  }
}

TEST_SUITE_END();

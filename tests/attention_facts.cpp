// What an attention function's struct says of it, against what it does on many rows of scores.
#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <optional>
#include "engine/attention/functions.h"
#include "engine/attention/host_team.h"
#include "tests/synthetic.h"

TEST_SUITE_BEGIN("attention facts");

namespace {

using Row = std::vector<real>;

template <class F> Row weights(const F& f, const Row& s) {
  Row a(s.size());
  const int L = int(s.size());
  if constexpr (F::number.empty()) f.forward(HostTeam{}, a.data(), s.data(), L);
  else f.forward(HostTeam{}, a.data(), s.data(), L, real(f.initial_number()));
  return a;
}

// calls see(function) with every function, made for L keys
void each_function(int L, const auto& see) {
  for (const auto& info : AttentionFunctions::all()) AttentionFunctions::visit(info.name, 1, L, see);
}

// Rows of one score, of one that stands out of the others, and of scores at random, all from -8 to 8.
std::vector<Row> many_rows(int L) {
  std::vector<Row> rows;
  for (int step = -128; step <= 128; step++) {
    const real s = real(step) / 16;
    rows.emplace_back(L, s);
    for (const real other : {-8, 0, 8}) rows.emplace_back(L, other).front() = s;
  }
  for (int seed = 0; seed < 200; seed++) {
    const auto values = random_values(L, seed);
    Row& row = rows.emplace_back(values.begin(), values.end());
    for (real& s : row) s = std::clamp(s * 3, real(-8), real(8));
  }
  return rows;
}

constexpr double step = 1.0 / 256, far = 32;

// Slopes at -far, -far + step, ...; none where a weight depends on other scores than its own.
template <class F> std::optional<std::vector<double>> slopes(const F& f, int L) {
  Row s(L, 1), a = weights(f, s);
  for (int j = 1; j < L; j++) s[j] = real(j % 5) - 2;
  if (weights(f, s)[0] != a[0]) return {};
  std::vector<double> list;
  if constexpr (F::number.empty())
    for (double x = -far; x <= far; x += step) {
      const Row at(L, real(x)), da(L, 1);
      Row ds(L);
      f.backward(HostTeam{}, ds.data(), da.data(), weights(f, at).data(), at.data(), L);
      list.push_back(std::abs(ds[0]));
    }
  return list;
}

// What a bounded function's Saturation should be, by its slopes.
template <class F> Saturation sampled_saturation(const F& f, int L) {
  const auto weight = [&](double x) { return std::abs(weights(f, Row(L, real(x)))[0]); };
  const auto list = slopes(f, L);
  if (!list || weight(1000) > 2 * weight(far) || weight(-1000) > 2 * weight(-far)) return {};
  const long most = std::ranges::max_element(*list) - list->begin(), n = long(list->size());
  const auto flat = [&](long i) { return (*list)[i] <= Saturation::flat_slope * (*list)[most]; };
  const auto edge = [&](int by) {    // the first that is flat, if its weight is not 0
    long i = most;
    while (i >= 0 && i < n && !flat(i)) i += by;
    const double x = -far + double(i) * step;
    return i < 0 || i >= n || weight(x) == 0 ? by * Saturation::infinity : x;
  };
  return {edge(-1), edge(1)};
}

}  // namespace

TEST_CASE("weights that are never negative nor all 0 are those of the functions that say so") {
  for (const int L : {1, 2, 33})
    each_function(L, [&]<class F>(const F& f) {
      bool positive = true;
      for (const Row& s : many_rows(L)) {
        const Row a = weights(f, s);
        positive = positive && std::ranges::min(a) >= 0 && std::ranges::max(a) > 0;
      }
      if (L == 33 || F::always_positive) CHECK_MESSAGE(positive == F::always_positive, std::string(F::name), ", L ", L);
    });
}

TEST_CASE("a function saturates where it says") {
  for (const int L : {33, 197})
    each_function(L, [&]<class F>(const F& f) {
      const Saturation says = f.saturation(L), is = sampled_saturation(f, L);
      INFO(std::string(F::name), ", L ", L, ": says ", says.low, " to ", says.high, ", is ", is.low, " to ", is.high);
      CHECK((says.low == is.low || std::abs(says.low - is.low) <= step));
      CHECK((says.high == is.high || std::abs(says.high - is.high) <= step));
    });
}

TEST_SUITE_END();

// The order of samples: a bijection, another one each epoch, uniform.
#include "data/order.h"

#include <doctest/doctest.h>
#include <map>
#include <vector>

namespace {
std::vector<uint64_t> all(uint64_t n, uint64_t seed, uint64_t epoch) {
  const Permutation permutation(n, seed, epoch);
  std::vector<uint64_t> order;
  for (uint64_t i = 0; i < n; i++) order.push_back(permutation(i));
  return order;
}

// Pearson's statistic of counts that should be equal: about their number of degrees of freedom, n - 1
template <class Counts>
double chi_square(const Counts& counts, double expected) {
  double sum = 0;
  for (double count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}
}

TEST_SUITE("order") {
  TEST_CASE("every sample appears once") {
    for (const uint64_t n : {1, 2, 3, 10, 255, 256, 257, 1000, 4096, 50'000, 65'537}) {
      CAPTURE(n);
      std::vector<int> seen(n);
      for (const uint64_t sample : all(n, 7, 3)) {
        REQUIRE(sample < n);
        seen[sample]++;
      }
      CHECK(std::count(seen.begin(), seen.end(), 1) == int64_t(n));
    }
    const Permutation large(uint64_t(1) << 62, 1, 0);
    for (uint64_t i = 0; i < 100; i++) CHECK(large(i) < uint64_t(1) << 62);
  }

  TEST_CASE("seed and epoch make another order, the same ones the same") {
    const auto order = all(1000, 1, 1);
    CHECK(order == all(1000, 1, 1));
    for (const auto& other : {all(1000, 1, 2), all(1000, 2, 1), all(1000, 1, uint64_t(1) << 32 | 1),
                              all(1000, uint64_t(1) << 32 | 1, 1)}) {
      int same = 0;
      for (size_t i = 0; i < order.size(); i++) same += order[i] == other[i];
      CHECK(same < 10);    // one is expected
    }
  }

  TEST_CASE("each order of three samples is as likely as the others") {
    std::map<std::vector<uint64_t>, int> counts;
    constexpr int epochs = 6000;
    for (int epoch = 0; epoch < epochs; epoch++) counts[all(3, 5, epoch)]++;
    REQUIRE(counts.size() == 6);
    std::vector<int> values;
    for (const auto& [order, count] : counts) values.push_back(count);
    CHECK(chi_square(values, epochs / 6.0) < 20.5);    // p = 0.001 for 5 degrees of freedom
  }

  TEST_CASE("samples spread evenly, neighbours are unrelated") {
    constexpr uint64_t n = 100'000, cells = 10;
    const auto order = all(n, 11, 0);
    std::vector<int> places(cells * cells), pairs(cells * cells);
    for (uint64_t i = 0; i + 1 < n; i++) {
      const uint64_t cell = order[i] * cells / n;
      places[i * cells / n * cells + cell]++;
      pairs[cell * cells + order[i + 1] * cells / n]++;
    }
    CHECK(chi_square(places, double(n) / (cells * cells)) < 148);    // p = 0.001 for 99 degrees of freedom; has 81
    CHECK(chi_square(pairs, double(n) / (cells * cells)) < 148);
  }

  TEST_CASE("positions go on through the epochs") {
    const Order order{10, 3};
    for (uint64_t position = 0; position < 35; position++) {
      const auto [epoch, sample] = order(position);
      CHECK(epoch == position / 10);
      CHECK(sample == all(10, 3, epoch)[position % 10]);
    }
  }
}

// doctest's main. With -s -r=errors the usual output ends with the largest error that each check against a bound met.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>
#include "engine/pool.h"

namespace {

const bool filled = Arena::fills_with_nan = true;

// Of each CHECK(error <= bound) in each test case. doctest gives the numbers to reporters only under -s.
class ErrorsReporter final : public doctest::ConsoleReporter {
 public:
  using ConsoleReporter::ConsoleReporter;
  void log_assert(const doctest::AssertData& check) override {
    double error, bound;
    if (check.m_failed) ConsoleReporter::log_assert(check);
    const bool compares = std::sscanf(check.m_decomp.c_str(), "%lf <= %lf", &error, &bound) == 2;
    if (!compares || bound <= 0 || bound > largest_bound) return;
    if (std::isnan(error)) error = INFINITY;    // or nothing would be smaller or larger
    Largest& largest = errors_[std::string(tc->m_test_suite) + ": " + tc->m_name + ": " + check.m_expr];
    if (error / bound >= largest.error / largest.bound) largest = {error, bound};
  }
  void test_run_end(const doctest::TestRunStats& stats) override {
    std::vector<std::pair<std::string, Largest>> sorted(errors_.begin(), errors_.end());
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
      return a.second.error / a.second.bound > b.second.error / b.second.bound;
    });
    for (const auto& [name, e] : sorted) std::printf("error %.1e of %.1e  %s\n", e.error, e.bound, name.c_str());
    std::fflush(stdout);
    ConsoleReporter::test_run_end(stats);
  }

 private:
  static constexpr double largest_bound = 0.1;    // what may be larger is no error but a count or a size
  struct Largest { double error = 0, bound = 1; };
  std::map<std::string, Largest> errors_;
};
DOCTEST_REGISTER_REPORTER("errors", 1, ErrorsReporter);

}  // namespace

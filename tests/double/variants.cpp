// Rows of tests/double/variants.txt (NumPy) through the attention op, in double.
#include <doctest/doctest.h>
#include <fstream>
#include <set>
#include <sstream>
#include "engine/attention/attention.h"

TEST_SUITE_BEGIN("gradients");

TEST_CASE("rows and gradients of a NumPy program") {
  constexpr int L = 7;
  struct Row : AttentionProbe {
    std::vector<real> a, ds;
    void tile(const AttentionTile& t) override {
      a.assign(t.A, t.A + L);
      if (t.dS) ds.assign(t.dS, t.dS + L);
    }
  };
  std::ifstream file("tests/double/variants.txt");
  REQUIRE_MESSAGE(file, "tests/double/variants.txt not found; run the tests from the root of the project");
  auto device = make_cpu(1);
  std::set<std::string> seen;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#")) continue;
    std::istringstream fields(line);
    std::string name, learned;
    real x, dx, got_dx = 0, one = 1, q_gradient = 0;
    fields >> name >> learned >> x >> dx;
    auto seven = [&] { std::vector<real> v(L); for (real& value : v) fields >> value; return v; };
    std::vector<real> s = seven(), da = seven(), zeros_k(L), zeros_v(L);
    const std::vector<real> a = seven(), ds = seven();
    REQUIRE_MESSAGE(fields, line);

    Tape tape(*device);                      // one query 1 of one channel: its scores are the keys, and dA the values
    Tensor q = tape.leaf("q", {1, 1, 1}, &one, &q_gradient), k = tape.leaf("k", {1, L, 1}, s.data(), zeros_k.data()),
           v = tape.leaf("v", {1, L, 1}, da.data(), zeros_v.data());
    auto number = [&](const char* which) {
      return learned == which ? tape.leaf("number", {1}, &x, &got_dx) : Tensor{};
    };
    Row row;
    const double alpha = learned == "log_gamma" || learned == "bias" ? 1 : 0;
    attention(tape, {q}, {k}, {v}, 1, 1, name, alpha, &row,
              {number("alpha"), number("log_gamma"), number("bias"), number("log_temperature"), number("number")});
    tape.backward(tape.tensor(tape.size() - 1));
    INFO(line);
    auto close = [](real got, real expected) {
      return std::abs(got - expected) <= 1e-6 * std::max(real(1e-2), std::abs(expected));
    };
    for (int j = 0; j < L; j++) {
      CHECK(close(row.a[j], a[j]));
      CHECK(close(row.ds[j], ds[j]));
    }
    CHECK(close(got_dx, dx));
    seen.insert(name);
  }
  for (const auto& f : AttentionFunctions::all()) CHECK_MESSAGE(seen.count(f.name), f.name);
}

TEST_SUITE_END();

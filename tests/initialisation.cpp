// What the functions L^-α h make of scores that are N(0,1), as they are at initialisation: moments, zeros, row sums and
// outputs.
#include <doctest/doctest.h>
#include <cmath>
#include <map>
#include "engine/attention/attention.h"
#include "tests/synthetic.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("initialisation");

namespace {

// Integrals over the normal density, to the digits given; softmax's output has the size √(e / L).
struct Moments { double h, h2, slope2, zeros; };
const std::map<std::string, Moments> moments = {{"relu", {0.399, 0.500, 0.500, 0.5}},
                                                {"relu2", {0.500, 1.5, 2.0, 0.5}},
                                                {"relu6", {0.399, 0.500, 0.500, 0.5}},
                                                {"gelu", {0.282, 0.425, 0.456, 0}},
                                                {"softplus", {0.806, 0.921, 0.293, 0}},
                                                {"identity", {0, 1, 1, 0}},
                                                {"sigmoid", {0.500, 0.293, 0.045, 0}},
                                                {"silu", {0.207, 0.356, 0.379, 0}},
                                                {"elu", {0.161, 0.645, 0.668, 0}},
                                                {"elu1", {1.161, 1.966, 0.668, 0}},
                                                {"leaky", {0.395, 0.500, 0.500, 0}},
                                                {"mish", {0.240, 0.452, 0.479, 0}},
                                                {"tanh", {0, 0.394, 0.464, 0}},
                                                {"exp", {1.649, 7.389, 7.389, 0}},
                                                {"square", {1, 3, 4, 0}},
                                                {"cube", {0, 15, 27, 0}},
                                                // below -1 its float is 0
                                                {"taylor2", {1.5, 3.75, 2, 0}},
                                                {"stable", {1.206, 2.0, 0.614, 0}},
                                                {"laplace", {0.248, 0.199, 0.308, NAN}}};

struct Mean {
  double sum = 0, squares = 0, n = 0;
  void add(double x) { sum += x, squares += x * x, n++; }
  double value() const { return sum / n; }
  // of the value, by sampling
  double error() const { return std::sqrt(std::max(0.0, squares / n - value() * value()) / n); }
  bool is(double expected) const { return std::abs(value() - expected) <= 6e-4 + 5 * error(); }
};

struct Statistics : AttentionProbe {
  Mean h, h2, slope2, zeros, row_sum;
  void tile(const AttentionTile& t) override {
    double sum = 0;
    for (int j = 0; j < t.L; j++) {
      const double a = t.A[j];
      if (!t.dS) h.add(a), h2.add(a * a), zeros.add(a == 0), sum += a;
      else slope2.add(double(t.dS[j]) * t.dS[j]);
    }
    if (!t.dS) row_sum.add(sum);
  }
};

constexpr int rows = 2000, L = 100;
// A row of keys an image; one query 1 of one channel, so the scores are the keys.
Mean run(const std::string& function, double alpha, Statistics& seen) {
  auto device = make_cpu(1);
  std::vector<float> q(rows, 1), k = random_values(rows * L, 1), v = random_values(rows * L, 2), dk(rows * L),
                                 dv(rows * L), dq(rows);
  Tape tape(*device);
  Tensor o = attention(tape, {tape.leaf("q", {rows, 1, 1}, q.data(), dq.data())},
                       {tape.leaf("k", {rows, L, 1}, k.data(), dk.data())},
                       {tape.leaf("v", {rows, L, 1}, v.data(), dv.data())}, 1, 1, function, alpha, &seen);
  Mean squares;
  for (float x : tape.download(o)) squares.add(double(x) * x);
  tape.backward(o);                        // d o = 1, dA = v
  return squares;
}

}  // namespace

TEST_CASE("moments of every element-wise function, and the size of its rows and outputs at alpha = 1") {
  for (const auto& f : AttentionFunctions::all()) {
    if (!f.scaled_by_length || f.name == "nap") continue;
    INFO(f.name);
    REQUIRE(moments.count(f.name));
    const auto [h, h2, slope2, zeros] = moments.at(f.name);
    Statistics plain, scaled;
    run(f.name, 0, plain);
    CHECK_MESSAGE(plain.h.is(h), plain.h.value(), " expected ", h);
    CHECK_MESSAGE(plain.h2.is(h2), plain.h2.value(), " expected ", h2);
    CHECK_MESSAGE(plain.slope2.is(slope2), plain.slope2.value(), " expected ", slope2);
    if (!std::isnan(zeros)) CHECK_MESSAGE(plain.zeros.is(zeros), plain.zeros.value(), " expected ", zeros);
    const Mean squares = run(f.name, 1, scaled);
    CHECK_MESSAGE(scaled.row_sum.is(h), scaled.row_sum.value(), " expected ", h);
    CHECK_MESSAGE(std::abs(squares.value() * L - h2) <= 1e-3 + 5 * L * squares.error(), squares.value() * L,
                  " expected ", h2);
  }
}

TEST_CASE("rows of the others: probabilities, sigmoid with bias, the factor of ReLUFormer") {
  Statistics softmax, bias, former;
  const Mean softmax_squares = run("softmax", 1, softmax), former_squares = run("reluformer", 1, former);
  run("sigmoid-bias", 1, bias);
  CHECK(softmax.row_sum.is(1));
  CHECK(softmax_squares.value() == doctest::Approx(std::exp(1) / L).epsilon(0.08));
  CHECK(bias.row_sum.is(1.582));           // L E[σ(s - log L)] for L = 100
  CHECK(former_squares.value() == doctest::Approx(1).epsilon(0.08));
}

TEST_SUITE_END();

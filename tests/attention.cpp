// Every attention function through the op, against an untiled reference in double that is written from the formulas.
#include <doctest/doctest.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <mutex>
#include <numeric>
#include <set>
#include "engine/attention/attention.h"
#include "tests/attention_problem.h"
#include "tests/difference.h"
#include "tests/error_of.h"

TEST_SUITE_BEGIN("attention");

namespace {

void check(Device& device, const Problem& p, const std::string& function, double alpha = 1) {
  INFO(function, " alpha ", alpha, " Lq ", p.Lq, " L ", p.L);
  const Result<float> got = run(device, p, function, alpha);
  const Result<double> exact = reference(p, function, alpha);
  const double size = p.L == 1 ? 0.1 : 1e-30;            // over one key a normalised row has hardly a gradient
  CHECK(largest_error(got.o, exact.o, size) <= 2e-6);
  CHECK(largest_error(got.dq, exact.dq, size) <= 2e-6);
  CHECK(largest_error(got.dkv, exact.dkv, size) <= 2e-6);
}

// Keeps what it is shown, and counts rows.
struct Recorder : AttentionProbe {
  explicit Recorder(const Problem& p)
      : p(p), maps(size_t(p.B) * p.H * p.Lq * p.L), forward(p.B * p.H * p.Lq), backward(forward.size()) {}
  void tile(const AttentionTile& t) override {
    const std::lock_guard lock(mutex);
    const size_t row = (size_t(t.image) * p.H + t.head) * p.Lq + t.first_row, n = size_t(t.rows) * t.L;
    for (int i = 0; i < t.rows; i++) (t.dS ? backward : forward)[row + i]++;
    std::copy_n(t.S, n, maps.S.begin() + row * t.L);
    std::copy_n(t.A, n, maps.A.begin() + row * t.L);
    if (!t.dS) return;
    std::copy_n(t.dA, n, maps.dA.begin() + row * t.L);
    std::copy_n(t.dS, n, maps.dS.begin() + row * t.L);
  }
  const Problem& p;
  Maps maps;
  std::vector<int> forward, backward;      // how often each row was shown
  std::mutex mutex;
};

}  // namespace

TEST_CASE("forward and backward of every function") {
  auto device = test_device(2);
  for (const auto& f : AttentionFunctions::all())
    for (int L : {1, 5, 17, 50, 197}) check(*device, {1, 2, L, L}, f.name);
}

// Query rows of the largest tile.
int tile_rows(Device& device, const Problem& p) {
  struct Largest : AttentionProbe {
    std::atomic<int> rows = 0;
    void tile(const AttentionTile& tile) override {
      for (int seen = rows; seen < tile.rows && !rows.compare_exchange_weak(seen, tile.rows);) {}
    }
  } probe;
  run(device, p, "relu", 1, &probe);
  return probe.rows;
}

TEST_CASE("several tiles") {
  auto device = test_device(2);
  if (!on_cuda()) CHECK(tile_rows(*device, {1, 1, 785, 785}) < 785 / 8);
  for (const char* name : {"softmax", "relu"}) check(*device, {1, 1, 785, 785}, name);
}

TEST_CASE("a small workspace: rows and images in several parts, on a GPU") {
  if (!on_cuda()) return;
  const Problem p{3, 2, 60, 60};
  for (const size_t scores : {60 * 7, 60 * 60 * 2}) {                     // 7 rows of one image; two images
    auto device = make_cuda({.workspace = scores * 4 * sizeof(float)});
    CHECK(tile_rows(*device, p) == (scores < 3600 ? 7 : 60));
    for (const char* name : {"softmax", "relu"}) {
      check(*device, p, name);
      Recorder seen(p);
      CHECK(run(*device, p, name, 1, &seen) == run(*device, p, name));
      CHECK(seen.forward == std::vector<int>(seen.forward.size(), 1));
      CHECK(seen.backward == seen.forward);
    }
  }
}

TEST_CASE("one query for many keys, several images") {
  auto device = test_device(2);
  for (const auto& f : AttentionFunctions::all()) check(*device, {3, 2, 1, 50}, f.name);
}

TEST_CASE("any alpha") {
  auto device = test_device(1);
  for (const auto& f : AttentionFunctions::all())
    for (double alpha : {0.0, 0.5, 2.0}) check(*device, {2, 1, 17, 17}, f.name, alpha);
}

TEST_CASE("a tile at a time gives the bits of its queries alone") {
  auto device = make_cpu(1);           // where a tile is never larger than so
  const Problem whole{1, 2, 300, 300};
  REQUIRE(tile_rows(*device, whole) == 150);
  for (const auto& f : AttentionFunctions::all()) {
    Result<float> parts;
    for (int first : {0, 150}) {
      Problem part{1, 2, 150, 300};
      part.kv = whole.kv;
      auto rows = [&](const std::vector<float>& x) {
        return std::vector<float>(x.begin() + whole.at(0, first, 0), x.begin() + whole.at(0, first + 150, 0));
      };
      part.q = rows(whole.q);
      part.d_o = rows(whole.d_o);
      const Result<float> r = run(*device, part, f.name);
      parts.o.insert(parts.o.end(), r.o.begin(), r.o.end());
      parts.dq.insert(parts.dq.end(), r.dq.begin(), r.dq.end());
      parts.dkv.resize(r.dkv.size());
      for (size_t i = 0; i < r.dkv.size(); i++) parts.dkv[i] += r.dkv[i];
    }
    const Result<float> r = run(*device, whole, f.name);
    CHECK(r.o == parts.o);
    CHECK(r.dq == parts.dq);
    CHECK(largest_error(r.dkv, parts.dkv) <= 1e-6);
  }
}

TEST_CASE("same bits for any number of threads, with and without a probe") {
  const Problem p{2, 3, 300, 300};
  auto one = test_device(1), two = test_device(2), three = test_device(3);
  // emulated under a sanitizer, they take minutes
  for (const auto& f : on_cuda() ? PaperFunctions::all() : AttentionFunctions::all()) {
    const Result<float> r = run(*one, p, f.name);
    CHECK(r == run(*two, p, f.name));
    CHECK(r == run(*three, p, f.name));
    Recorder recorder(p);
    CHECK(r == run(*three, p, f.name, 1, &recorder));
  }
}

TEST_CASE("a probe sees every row once, and what the reference sees") {
  auto device = test_device(3);
  for (const auto& f : AttentionFunctions::all())
    for (const Problem& p : {Problem{2, 2, 50, 50}, {1, 1, 300, 300}, {2, 1, 1, 17}}) {
      INFO(f.name, " L ", p.L);
      Recorder seen(p);
      run(*device, p, f.name, 0.5, &seen);
      Maps exact(seen.maps.S.size());
      reference(p, f.name, 0.5, &exact);
      CHECK(seen.forward == std::vector<int>(seen.forward.size(), 1));
      CHECK(seen.backward == seen.forward);
      CHECK(seen.maps.S == exact.S);
      CHECK(largest_error(seen.maps.A, exact.A) <= 2e-6);
      CHECK(largest_error(seen.maps.dA, exact.dA) <= 1e-6);
      CHECK(largest_error(seen.maps.dS, exact.dS) <= 2e-6);
    }
}

TEST_CASE("without recording a probe is shown the forward pass alone") {
  auto device = test_device(1);
  Problem p{1, 2, 5, 5};
  Recorder seen(p);
  Tape tape(*device, false);
  Tensor q = tape.input("q", {1, 5, 32}, p.q), kv = tape.input("kv", {1, 5, 64}, p.kv);
  attention(tape, {q}, {kv}, {kv, 32}, 2, 16, "relu", 1, &seen);
  CHECK(seen.forward == std::vector<int>(10, 1));
  CHECK(seen.backward == std::vector<int>(10, 0));
}

TEST_CASE("rows of weights: probabilities sum to 1, the family of the paper scales with L^-alpha") {
  const std::set<std::string> probabilities{"softmax",   "ssmax",        "sparsemax", "entmax15",      "entmax125",
                                            "elu1-norm", "sigmoid-norm", "stablemax", "taylor-softmax"};
  auto device = test_device(1);
  const Problem p{1, 2, 50, 50};
  for (const auto& f : AttentionFunctions::all()) {
    Recorder at_zero(p), at_half(p);
    run(*device, p, f.name, 0, &at_zero);
    run(*device, p, f.name, 0.5, &at_half);
    for (int row = 0; row < 100; row++) {
      double sum_zero = 0, sum_half = 0;
      for (int j = 0; j < 50; j++) sum_zero += at_zero.maps.A[row * 50 + j], sum_half += at_half.maps.A[row * 50 + j];
      CHECK(sum_half == doctest::Approx(f.scaled_by_length ? sum_zero / std::sqrt(50) : sum_zero).epsilon(1e-6));
      if (probabilities.count(f.name)) CHECK(std::abs(sum_zero - 1) < 2e-6);
    }
  }
}

TEST_CASE("scores beyond the range of exp do no harm") {
  auto device = test_device(1);
  Problem p{1, 1, 17, 17};
  for (float& x : p.q) x *= 1000;
  for (const auto& f : AttentionFunctions::all()) {
    if (f.name == "exp") continue;
    INFO(f.name);
    Recorder seen(p);
    const Result<float> r = run(*device, p, f.name, 1, &seen);
    for (const auto* values : {&r.o, &r.dq, &r.dkv})
      for (float x : *values) CHECK(std::isfinite(x));
    CHECK(*std::max_element(seen.maps.S.begin(), seen.maps.S.end()) > 1000);
  }
}

namespace {

using HeadValues = Learned<std::vector<float>>;
std::array<std::vector<float>*, 5> lists(HeadValues& v) {
  return {&v.alpha, &v.log_gamma, &v.bias, &v.log_temperature, &v.number};
}

// γ L^-α h(τ s + b) with the numbers of head h
struct Numbers { double temperature, bias, factor, number; };
Numbers numbers_of(const HeadValues& v, bool scaled, int L, int h) {
  auto of = [h](const std::vector<float>& x, double otherwise) {
    return x.empty() ? otherwise : double(x[x.size() > 1 ? h : 0]);
  };
  return {std::exp(of(v.log_temperature, 0)), of(v.bias, 0),
          scaled ? std::exp(of(v.log_gamma, 0)) * std::pow(L, -of(v.alpha, 1)) : 1, of(v.number, 0)};
}
Result<double> learned_reference(const Problem& p, const std::string& function, const HeadValues& values,
                                 Maps* maps = nullptr) {
  return reference(
      p,
      [&](int h) {
        const auto [temperature, bias, factor, number] =
            numbers_of(values, AttentionFunctions::find(function)->scaled_by_length, p.L, h);
        const ReferenceFunction f = reference_function(function, 0, number);
        auto seen = [=](const Row& s) { return map_of(s, [=](double x) { return temperature * x + bias; }); };
        auto times = [](const Row& x, double y) { return map_of(x, [=](double v) { return y * v; }); };
        return ReferenceFunction{
            [=](const Row& s) { return times(f.forward(seen(s)), factor); },
            [=](const Row& s, const Row& da) { return times(f.backward(seen(s), times(da, factor)), temperature); }};
      },
      maps);
}

}  // namespace

TEST_CASE("numbers that heads learn: outputs, gradients, what a probe sees, the same bits") {
  auto device = test_device(2), one_thread = test_device(1);
  const Problem p{3, 2, 20, 50};
  for (const auto& [function, values] : std::initializer_list<std::pair<const char*, HeadValues>>{
           {"relu", {.alpha = {0.8f, 1.3f}}},
           {"gelu", {.alpha = {0.9f}, .bias = {0.2f, -0.3f}}},
           {"sigmoid", {.log_gamma = {0.3f, -0.4f}, .bias = {-0.7f}, .log_temperature = {0.5f, -0.2f}}},
           {"softmax", {.log_temperature = {-0.6f, 0.3f}}},
           {"softpick", {.bias = {0.4f, -0.9f}}},
           {"nap", {.log_gamma = {0.2f}}},
           {"softmax-sink", {.log_temperature = {-0.3f, 0.2f}, .number = {1.5f, -0.5f}}},
           {"ssmax", {.number = {0.2f, 0.4f}}}}) {
    INFO(function);
    HeadValues gradients = values, again = values;
    Recorder seen(p);
    const Result<float> got = run(*device, p, function, 1, &seen, gradients);
    Maps maps(seen.maps.S.size());
    const Result<double> exact = learned_reference(p, function, values, &maps);
    CHECK(largest_error(got.o, exact.o) <= 2e-6);
    CHECK(largest_error(got.dq, exact.dq) <= 2e-6);
    CHECK(largest_error(got.dkv, exact.dkv) <= 2e-6);
    for (size_t i = 0; i < maps.S.size(); i++) {
      const Numbers n = numbers_of(values, true, p.L, int(i / (p.Lq * p.L)) % p.H);
      maps.S[i] = n.temperature * maps.S[i] + n.bias;
    }
    CHECK(largest_error(seen.maps.S, maps.S) <= 1e-6);
    CHECK(largest_error(seen.maps.A, maps.A) <= 2e-6);
    CHECK(largest_error(seen.maps.dS, maps.dS) <= 2e-6);

    HeadValues moved = values;
    for (int which = 0; which < 5; which++)
      for (size_t i = 0; i < lists(moved)[which]->size(); i++) {
        float& x = (*lists(moved)[which])[i];
        const float here = x;
        auto objective = [&](float at) {
          x = at;
          const std::vector<double> o = learned_reference(p, function, moved).o;
          return std::inner_product(o.begin(), o.end(), p.d_o.begin(), 0.0);
        };
        const float up = here + 0x1p-9f, down = here - 0x1p-9f;
        const double slope = (objective(up) - objective(down)) / (double(up) - down);
        x = here;
        CHECK((*lists(gradients)[which])[i] == doctest::Approx(slope).epsilon(1e-3));
      }

    CHECK(got == run(*one_thread, p, function, 1, nullptr, again));
    for (int which = 0; which < 5; which++) CHECK(*lists(again)[which] == *lists(gradients)[which]);
  }
}

TEST_CASE("a sink beyond the range of exp takes all, or nothing") {
  auto device = test_device(1);
  const Problem p{1, 2, 17, 17};
  HeadValues sinks{.number = {300, -300}};
  const std::vector<float> o = run(*device, p, "softmax-sink", 1, nullptr, sinks).o,
                           softmax = run(*device, p, "softmax").o;
  for (int i = 0; i < 17; i++)
    for (int c = 0; c < p.d; c++) {
      CHECK(o[p.at(0, i, 0) + c] == 0);
      CHECK(o[p.at(0, i, 1) + c] == softmax[p.at(0, i, 1) + c]);
    }
  CHECK(sinks.number[0] == 0);
  CHECK(std::abs(sinks.number[1]) < 1e-5);                // 1 - Σ a is a rounding
}

TEST_CASE("a NaN in a query is seen in its output") {
  auto device = test_device(1);
  Problem p{1, 1, 5, 17};
  p.q[p.at(0, 3, 0) + 2] = NAN;
  for (const auto& f : AttentionFunctions::all()) {
    INFO(f.name);
    const std::vector<float> o = run(*device, p, f.name).o;
    for (int i = 0; i < 5; i++) CHECK(std::isnan(o[p.at(0, i, 0)]) == (i == 3));
  }
}

TEST_CASE("errors") {
  auto device = test_device(1);
  CHECK(says(error_of(ExitCode::usage, [&] { run(*device, {1, 1, 5, 5}, "maxout"); }), {"maxout", "unknown"}));
  Tape tape(*device);
  std::vector<float> values(2 * 5 * 32);
  Tensor x = tape.leaf("x", {2, 5, 32}, values.data()), other = tape.leaf("other", {1, 10, 32}, values.data());
  CHECK(says(error_of(ExitCode::failed, [&] { attention(tape, {x}, {x}, {x, 1}, 2, 16, "relu", 1); }),
             {"attention", "[2, 5, 32]", "33"}));
  CHECK(says(error_of(ExitCode::failed, [&] { attention(tape, {x}, {other}, {other}, 2, 16, "relu", 1); }),
             {"attention", "[1, 10, 32]", "[2, 10"}));
}

TEST_CASE(
    "gradients of q, k, v replace whatever lay in their memory, or are added to it, side by side or apart, over "
    "several tiles") {
  auto device = test_device(2);
  const int B = 2, L = 500, H = 2, d = 8, C = H * d;
  const float before = 0.125f;
  const DeviceValues qkv(*device, random_values(B * L * 3 * C, 1)), alone[] = {{*device, random_values(B * L * C, 2)},
                                                                               {*device, random_values(B * L * C, 3)},
                                                                               {*device, random_values(B * L * C, 4)}};
  for (const bool packed : {true, false}) {
    std::vector<float> results[2];
    for (const bool add : {false, true}) {
      const size_t n = size_t(B) * L * C;
      const DeviceValues gradient(*device, std::vector<float>(3 * n, add ? before : NAN));
      Tape tape(*device);
      Tensor o;
      if (packed) {
        Tensor x = tape.leaf("qkv", {B, L, 3 * C}, qkv.data(), gradient.data(), add);
        o = attention(tape, {x}, {x, C}, {x, 2 * C}, H, d, "softmax", 1);
      } else {
        auto leaf = [&](int i) {
          return HeadView{tape.leaf("x", {B, L, C}, alone[i].data(), gradient.data() + i * n, add)};
        };
        const HeadView q = leaf(0), k = leaf(1), v = leaf(2);
        o = attention(tape, q, k, v, H, d, "softmax", 1);
      }
      tape.backward(o);
      results[add] = gradient.read();
    }
    for (float& sum : results[1]) sum -= before;
    CHECK(largest_error(results[0], results[1]) < 1e-6);
  }
}

TEST_CASE("q, k, v and the gradient of o that products alone read give the same bits as in full") {
  auto device = exact_test_device(2, Precision::bf16);
  if (!device->rounds_operands()) return;
  const int B = 2, L = 70, H = 2, d = 16, C = H * d;
  const DeviceValues x(*device, random_values(B * L * C, 1)), w(*device, random_values(3 * C * C, 2)),
      b(*device, random_values(3 * C, 3)), last(*device, random_values(C * C, 4));
  std::vector<float> results[2];
  for (const Kept kept : {Kept::full, Kept::for_products}) {
    const DeviceValues dx(*device, std::vector<float>(B * L * C)), dw(*device, std::vector<float>(3 * C * C));
    Tape tape(*device);
    Tensor qkv = linear(tape, tape.leaf("x", {B, L, C}, x.data(), dx.data()),
                        tape.leaf("w", {3 * C, C}, w.data(), dw.data()), tape.leaf("b", {3 * C}, b.data()), {}, kept);
    Tensor o = attention(tape, {qkv}, {qkv, C}, {qkv, 2 * C}, H, d, "relu", 1);
    Tensor y = linear(tape, o, tape.leaf("last", {C, C}, last.data()));
    results[kept == Kept::for_products] = tape.download(y);
    tape.backward(y);
    for (const auto& part : {dx.read(), dw.read()})
      results[kept == Kept::for_products].insert(results[kept == Kept::for_products].end(), part.begin(), part.end());
  }
  CHECK(results[0] == results[1]);
}

TEST_SUITE_END();

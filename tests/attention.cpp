// Every attention function through the op, against an untiled reference in double that is written from the formulas.
#include <doctest/doctest.h>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include "engine/attention/attention.h"
#include "tests/attention_problem.h"
#include "tests/difference.h"
#include "tests/error_of.h"

TEST_SUITE_BEGIN("attention");

namespace {

void check(Device& device, const Problem& p, const std::string& function, double alpha = 1) {
  INFO(function, " alpha ", alpha, " Lq ", p.Lq, " L ", p.L);
  const Result<float> got = run(device, p, function, alpha);
  const Result<double> exact = reference(p, reference_function(function, alpha));
  CHECK(largest_error(got.o, exact.o) <= 2e-6);
  CHECK(largest_error(got.dq, exact.dq) <= 2e-6);
  CHECK(largest_error(got.dkv, exact.dkv) <= 2e-6);
}

// Keeps what it is shown, and counts rows.
struct Recorder : AttentionProbe {
  explicit Recorder(const Problem& p) : p(p), maps(size_t(p.B) * p.H * p.Lq * p.L), forward(p.B * p.H * p.Lq), backward(forward.size()) {}
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
    void tile(const AttentionTile& tile) override { for (int seen = rows; seen < tile.rows && !rows.compare_exchange_weak(seen, tile.rows);) {} }
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
      auto rows = [&](const std::vector<float>& x) { return std::vector<float>(x.begin() + whole.at(0, first, 0), x.begin() + whole.at(0, first + 150, 0)); };
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
  for (const auto& f : AttentionFunctions::all()) {
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
      reference(p, reference_function(f.name, 0.5), &exact);
      CHECK(seen.forward == std::vector<int>(seen.forward.size(), 1));
      CHECK(seen.backward == seen.forward);
      CHECK(seen.maps.S == exact.S);
      CHECK(largest_error(seen.maps.A, exact.A) <= 1e-6);
      CHECK(largest_error(seen.maps.dA, exact.dA) <= 1e-6);
      CHECK(largest_error(seen.maps.dS, exact.dS) <= 1e-6);
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

TEST_CASE("rows of weights: softmax sums to 1, the others scale with L^-alpha") {
  auto device = test_device(1);
  const Problem p{1, 2, 50, 50};
  for (const auto& f : AttentionFunctions::all()) {
    Recorder at_zero(p), at_half(p);
    run(*device, p, f.name, 0, &at_zero);
    run(*device, p, f.name, 0.5, &at_half);
    for (int row = 0; row < 100; row++) {
      double sum_zero = 0, sum_half = 0;
      for (int j = 0; j < 50; j++) sum_zero += at_zero.maps.A[row * 50 + j], sum_half += at_half.maps.A[row * 50 + j];
      CHECK(sum_half == doctest::Approx(f.scaled_by_length ? sum_zero / std::sqrt(50) : 1).epsilon(1e-6));
      CHECK((f.name != "softmax" || std::abs(sum_zero - 1) < 1e-6));
    }
  }
}

TEST_CASE("scores beyond the range of exp do no harm") {
  auto device = test_device(1);
  Problem p{1, 1, 17, 17};
  for (float& x : p.q) x *= 1000;
  Recorder seen(p);
  for (float x : run(*device, p, "softmax", 1, &seen).o) CHECK(std::isfinite(x));
  CHECK(*std::max_element(seen.maps.S.begin(), seen.maps.S.end()) > 1000);
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
  CHECK(says(error_of(ExitCode::failed, [&] { attention(tape, {x}, {x}, {x, 1}, 2, 16, "relu", 1); }), {"attention", "[2, 5, 32]", "33"}));
  CHECK(says(error_of(ExitCode::failed, [&] { attention(tape, {x}, {other}, {other}, 2, 16, "relu", 1); }), {"attention", "[1, 10, 32]", "[2, 10"}));
}

TEST_SUITE_END();

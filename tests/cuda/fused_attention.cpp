// The fused kernels against the reference in double, and against the tiled path in the same precision.
#include <doctest/doctest.h>
#include "engine/bf16.h"
#include "tests/attention_problem.h"
#include "tests/difference.h"

TEST_SUITE_BEGIN("fused attention");

namespace {

// All inputs are numbers of bf16, so what is measured is the arithmetic.
Problem problem(int B, int H, int Lq, int L, int d = 64) {
  Problem p{B, H, Lq, L, d};
  for (float& x : p.d_o) x = from_bf16(to_bf16(x));
  return p;
}

struct Errors { double o, dq, dkv; };
Errors errors(const Result<float>& got, const Result<double>& exact) {
  return {norm_error(got.o, exact.o), norm_error(got.dq, exact.dq), norm_error(got.dkv, exact.dkv)};
}

std::unique_ptr<Device> fused() { return make_cuda({.precision = Precision::bf16}); }
std::unique_ptr<Device> tiled() { return make_cuda({.precision = Precision::bf16, .fused_attention = false}); }

void check(Device& device, const Problem& p, const std::string& function) {
  const Errors e = errors(run(device, p, function), reference(p, function, 1));
  INFO(function, " Lq ", p.Lq, " L ", p.L, ": ", e.o, " ", e.dq, " ", e.dkv);
  CHECK(e.o <= 4e-3);
  CHECK(e.dq <= 4e-3);
  CHECK(e.dkv <= 4e-3);
}

}  // namespace

TEST_CASE("every function, whole and partial tiles") {
  auto device = fused();
  for (const auto& f : PaperFunctions::all())
    for (int L : {1, 50, 64, 197}) check(*device, problem(1, 1, L, L), f.name);
}

TEST_CASE("several functions with heads of 32 channels") {
  auto device = fused();
  for (const char* f :
       {"softmax", "sigmoid", "softplus"})  // without kinks: √32 is no power of 2, and scores are rounded
    for (const Problem& p : {problem(1, 2, 64, 64, 32), problem(2, 3, 50, 70, 32)}) check(*device, p, f);
  const Problem p = problem(1, 2, 50, 50, 32);
  CHECK(!(run(*device, p, "softmax") == run(*tiled(), p, "softmax")));                                // so it was fused
}

TEST_CASE("several functions, all of q, k, v, o and their gradients rounded, as in a model") {
  const int B = 2, H = 2;
  // with an odd number of tiles o passes through the one that is read last
  for (const auto& [d, L] : {std::pair(32, 50), {64, 70}})
    for (const char* f : {"softmax", "relu"}) {
      std::vector<std::vector<float>> results[2];
      for (const bool is_fused : {true, false}) {
        auto device = is_fused ? fused() : tiled();
        const int C = H * d;
        const DeviceValues x(*device, random_values(B * L * C, 1)), w(*device, random_values(3 * C * C, 2)),
            b(*device, random_values(3 * C, 3)), last(*device, random_values(C * C, 4));
        const DeviceValues dx(*device, std::vector<float>(B * L * C)), dw(*device, std::vector<float>(3 * C * C)),
            db(*device, std::vector<float>(3 * C));
        Tape tape(*device);
        Tensor qkv = linear(tape, tape.leaf("x", {B, L, C}, x.data(), dx.data()),
                            tape.leaf("w", {3 * C, C}, w.data(), dw.data()),
                            tape.leaf("b", {3 * C}, b.data(), db.data()), {}, Kept::for_products);
        Tensor o = attention(tape, {qkv}, {qkv, C}, {qkv, 2 * C}, H, d, f, 1, nullptr, {}, 0, Kept::for_products);
        Tensor y = linear(tape, o, tape.leaf("last", {C, C}, last.data()));
        results[is_fused] = {tape.download(y)};
        tape.backward(y);
        for (const DeviceValues* values : {&dx, &dw, &db}) results[is_fused].push_back(values->read());
      }
      for (size_t i = 0; i < results[0].size(); i++) {
        INFO(f, ", heads of ", d, ": result ", i);
        CHECK(norm_error(results[1][i], results[0][i]) <= 2e-2);
      }
      CHECK(results[0] != results[1]);
    }
}

TEST_CASE("many tiles") {
  auto device = fused();
  for (const char* f : {"softmax", "relu", "sigmoid"}) check(*device, problem(1, 1, 785, 785), f);
}

TEST_CASE("several images and heads, other lengths of queries and keys") {
  auto device = fused();
  for (const char* f : {"softmax", "relu2"})
    for (const Problem& p : {problem(2, 3, 50, 50), problem(2, 2, 1, 70), problem(1, 2, 70, 3)}) check(*device, p, f);
}

TEST_CASE("the tiled path in bf16 agrees; only the fused one leaves the scores unrounded") {
  auto device = tiled();
  for (const auto& f : PaperFunctions::all()) check(*device, problem(2, 2, 50, 50), f.name);
  const Problem p = problem(2, 2, 50, 50);
  // so it was switched off
  for (const char* f : {"softmax", "relu"}) CHECK(!(run(*fused(), p, f) == run(*device, p, f)));
}

TEST_CASE("where it does not apply the tiled path takes over") {
  auto device = fused();
  for (const Problem& p : {problem(1, 2, 50, 50, 16), problem(1, 1, 17, 17, 128)}) {
    const Errors e = errors(run(*device, p, "relu"), reference(p, "relu", 1));
    CHECK(e.o <= 4e-3);
    CHECK(e.dkv <= 4e-3);
  }
  struct Counter : AttentionProbe {
    void tile(const AttentionTile& tile) override { rows += tile.rows; }
    int rows = 0;
  } counter;
  run(*device, problem(1, 2, 50, 50), "relu", 1, &counter);
  CHECK(counter.rows == 2 * 2 * 50);  // forward and backward
}

TEST_CASE("gradients are added to what is there, the same bits every time") {
  auto device = fused();
  const Problem p = problem(1, 2, 70, 70);
  for (const char* f : {"softmax", "gelu"}) {
    const Result<float> once = run(*device, p, f);
    CHECK(once == run(*device, p, f));
    const DeviceValues q_values(*device, p.q), kv_values(*device, p.kv), dq(*device, std::vector<float>(p.q.size(), 1)),
        dkv(*device, std::vector<float>(p.kv.size(), 2));
    Tape tape(*device);
    Tensor q = tape.leaf("q", {1, 70, p.D}, q_values.data(), dq.data(), true),
           kv = tape.leaf("kv", {1, 70, 2 * p.D}, kv_values.data(), dkv.data(), true);
    Tensor o = attention(tape, {q}, {kv}, {kv, p.D}, p.H, p.d, f, 1);
    device->upload(tape.add_gradient(o).data, p.d_o.data(), p.d_o.size() * sizeof(float));
    tape.backward(o);
    const std::vector<float> more_q = dq.read(), more_kv = dkv.read();
    for (size_t i = 0; i < more_q.size(); i++) CHECK(more_q[i] == doctest::Approx(1 + once.dq[i]).epsilon(1e-5));
    for (size_t i = 0; i < more_kv.size(); i++) CHECK(more_kv[i] == doctest::Approx(2 + once.dkv[i]).epsilon(1e-5));
  }
}

TEST_CASE("a NaN in a query or a value is seen in the output") {
  auto device = fused();
  for (const auto& f : PaperFunctions::all()) {
    Problem p = problem(1, 1, 50, 50);
    p.q[p.at(0, 3, 0) + 2] = NAN;
    const std::vector<float> o = run(*device, p, f.name).o;
    for (int i = 0; i < 50; i++) CHECK(std::isnan(o[p.at(0, i, 0)]) == (i == 3));
    Problem of_value = problem(1, 1, 50, 50);
    of_value.kv[of_value.at_key(0, 7, 0) + of_value.D] = NAN;
    const std::vector<float> all = run(*device, of_value, f.name).o;
    for (int i = 0; i < 50; i++) CHECK(std::isnan(all[of_value.at(0, i, 0)]));        // 0 times NaN is NaN
  }
}

TEST_CASE("scores far below 0: a key that is none, whose score would be 0, adds nothing") {
  auto device = fused();
  for (int L : {50, 64}) {
    Problem p = problem(1, 1, L, L);
    for (int i = 0; i < L; i++)
      for (int c = 0; c < 64; c++)
        p.q[p.at(0, i, 0) + c] = from_bf16(to_bf16(4 + 0.25f * p.q[p.at(0, i, 0) + c])),
                            p.kv[p.at_key(0, i, 0) + c] = from_bf16(to_bf16(-4 + 0.25f * p.kv[p.at_key(0, i, 0) + c]));
    const Errors e = errors(run(*device, p, "softmax"), reference(p, "softmax", 1));   // scores about -128
    CHECK(e.o <= 4e-3);
    CHECK(e.dq <= 3e-2);  // what all keys have in common cancels
    CHECK(e.dkv <= 4e-3);
  }
}

TEST_SUITE_END();

// What the tape must get right however it is used, or refuse: no gradient is lost without a word.
#include <doctest/doctest.h>

#include "engine/attention/attention.h"
#include "engine/cpu/gemm.h"
#include "engine/ops/add.h"
#include "engine/ops/layernorm.h"
#include "engine/ops/linear.h"
#include "engine/ops/loss.h"
#include "engine/ops/remat.h"
#include "engine/parameters.h"
#include "tests/difference.h"
#include "tests/error_of.h"
#include "tests/synthetic.h"
#include "tests/test_device.h"

namespace {
using Numbers = std::vector<float>;

// Parameters w[2,2] = [1 2; 3 4] and v[2] = [5 6].
struct Two {
  explicit Two(Device& device) : parameters(device, {{"w", {2, 2}, true}, {"v", {2}, false}}) {
    parameters.set("w", {1, 2, 3, 4});
    parameters.set("v", {5, 6});
  }
  Parameters parameters;
  Tensor leaf(Tape& tape, const char* name) { return parameters.leaf(tape, name); }
  Numbers gradient(const char* name) { return parameters.gradient(parameters.find(name)); }
};
}    // namespace

TEST_SUITE("misuse") {
  TEST_CASE("gradients of a parameter that is used by several leaves add up, whether all of them are used or not") {
    const auto device = test_device(1);
    Two two(*device);
    const Numbers x = {1, 2};
    Tape tape(*device);
    // y = W W x: dW = d(Wx) terms of both places
    Tensor first = two.leaf(tape, "w"), second = two.leaf(tape, "w");
    two.leaf(tape, "w");
    tape.backward(linear(tape, linear(tape, tape.input("x", {1, 2}, x), first), second));
    CHECK(two.gradient("w") == Numbers{5 + 4, 11 + 8, 5 + 6, 11 + 12});
    tape.clear();
    two.parameters.forget_gradients();
    tape.backward(mean(tape, two.leaf(tape, "v")));
    CHECK(two.gradient("v") == Numbers{0.5f, 0.5f});
    CHECK(two.gradient("w") == Numbers(4));
  }

  TEST_CASE("a parameter may be a residual: its gradient is not handed over but added") {
    const auto device = test_device(1);
    Two two(*device);
    Tape tape(*device);
    tape.backward(add(tape, two.leaf(tape, "v"), two.leaf(tape, "v")));
    CHECK(two.gradient("v") == Numbers{2, 2});
  }

  TEST_CASE("what is recomputed has gradients of its parameters also where its input wants none") {
    const auto device = test_device(1);
    Two two(*device);
    Tape tape(*device);
    Tensor y = rematerialised(tape, tape.input("x", {1, 2}, Numbers{1, 2}),
                              [&](Tape& t, Tensor x) { return linear(t, x, two.leaf(t, "w")); });
    tape.backward(y);
    CHECK(two.gradient("w") == Numbers{1, 2, 1, 2});
  }

  TEST_CASE("a product with residual to its own input, beside a gradient that is kept rounded") {
    const int B = 1, L = 4, D = 32;
    const Numbers values = random_values(size_t(B * L) * 3 * D, 1), w = random_values(size_t(D) * D, 2);
    std::vector<Numbers> gradients;
    for (const Precision precision : {Precision::f32, Precision::bf16}) {
      const auto device = test_device(1, precision);
      const DeviceValues qkv(*device, values), dqkv(*device, Numbers(values.size())), weight(*device, w);
      Tape tape(*device);
      Tensor x = tape.leaf("qkv", {B, L, 3 * D}, qkv.data(), dqkv.data());
      Tensor o = attention(tape, {x, 0}, {x, D}, {x, 2 * D}, 1, D, "relu", 1);
      tape.backward(linear(tape, o, tape.leaf("w", {D, D}, weight.data()), {}, o));
      gradients.push_back(dqkv.read());
    }
    CHECK(largest_error(gradients[1], gradients[0], 1) < 0.05);
  }

  TEST_CASE("an input that is borrowed is read anew in each pass, also where leaves are kept rounded") {
    const auto device = test_device(1, Precision::bf16);
    const DeviceValues weight(*device, {1, 2, 3, 4});
    Numbers x = {1, 2};
    Tape tape(*device, false);
    tape.keep_leaves();
    const auto product = [&] {
      tape.clear();
      return tape.download(linear(tape, tape.borrow("x", {1, 2}, x), tape.leaf("w", {2, 2}, weight.data())));
    };
    CHECK(product() == Numbers{5, 11});
    x = {2, 1};
    CHECK(product() == Numbers{4, 10});
  }

  TEST_CASE("a batch of products is computed whole") {
    const auto device = test_device(1);
    const DeviceValues a(*device, {1, 2, 3, 4}), b(*device, {5, 6, 7, 8}), c(*device, Numbers(2));
    device->gemm({.c = c.data(), .a = a.data(), .b = b.data(), .m = 1, .n = 1, .k = 2, .batch = 2, .step_a = 2,
                  .step_b = 2, .step_c = 1});
    CHECK(c.read() == Numbers{17, 53});
  }

  TEST_CASE("a tensor of another tape, or from before clear(), is refused, though its number is in range") {
    const auto device = test_device(1);
    Tape tape(*device), other(*device);
    const Numbers x = {1, 2};
    Tensor old = tape.input("x", {2}, x), foreign = other.input("x", {2}, x);
    CHECK(says(error_of(ExitCode::failed, [&] { tape.value(foreign); }), {"tape", "[2]", "another tape"}));
    tape.clear();
    tape.input("y", {2}, x);
    CHECK(says(error_of(ExitCode::failed, [&] { tape.value(old); }), {"tape", "[2]", "before it was cleared"}));
    CHECK(says(error_of(ExitCode::failed, [&] { tape.value(Tensor{}); }), {"tape", "no op made"}));
  }

  TEST_CASE("a shape has at most four extents") {
    CHECK(says(error_of(ExitCode::failed, [] { Shape{1, 2, 3, 4, 5}; }), {"shape", "5 extents", "4"}));
  }
}

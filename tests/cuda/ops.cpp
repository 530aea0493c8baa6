// Every op and every attention function on the CUDA device beside the CPU, in f32.
#include <doctest/doctest.h>
#include "tests/difference.h"
#include "tests/op_cases.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("ops on cuda");

namespace {

// The result and every gradient, added to gradients that were there before or written over what is no number.
std::vector<std::vector<float>> run(Device& device, const OpCase& c, bool add) {
  Random random(4, purpose::synthetic, std::hash<std::string>{}(c.name));
  std::vector<std::unique_ptr<DeviceValues>> values, gradients;
  auto draw = [&](size_t n, auto number) {
    std::vector<float> x(n);
    for (float& v : x) v = float(number());
    return std::make_unique<DeviceValues>(device, x);
  };
  Tape tape(device);
  std::vector<Tensor> leaves;
  for (const Input& in : c.inputs) {
    values.push_back(
        draw(in.shape.size(), [&] { return in.draw ? in.draw(random) : in.centre + in.scale * random.normal(); }));
    gradients.push_back(draw(in.shape.size(), [&] {
      const double before = random.normal();
      return add || !in.differentiate ? before : NAN;
    }));
    leaves.push_back(tape.leaf("input", in.shape, values.back()->data(),
                               in.differentiate ? gradients.back()->data() : nullptr, add));
  }
  Tensor y = c.op(tape, leaves);
  const auto upstream = draw(y.shape.size(), [&] { return random.normal(); });
  const std::vector<float> r = upstream->read();
  device.upload(tape.add_gradient(y).data, r.data(), r.size() * sizeof(float));
  std::vector<std::vector<float>> results{tape.download(y)};
  tape.backward(y);
  for (const auto& g : gradients) results.push_back(g->read());
  return results;
}

void compare(const std::vector<OpCase>& cases, const CudaOptions& options = {}) {
  auto cpu = make_cpu(1), cuda = make_cuda(options);
  for (const OpCase& c : cases) {
    for (const bool add : {true, false}) {
      const auto expected = run(*cpu, c, add), got = run(*cuda, c, add);
      for (size_t i = 0; i < expected.size(); i++) {
        const double error =
            largest_error(got[i], expected[i],
                          i ? 1 : 1e-30);  // gradients are added to N(0,1); one number alone may have come near zero
        INFO(c.name, std::string(add ? ", added" : ", written"), ", result ", i, ": ", error);
        CHECK(error <= 1e-5);
      }
    }
  }
}

}  // namespace

TEST_CASE("every op") { compare(op_cases()); }
TEST_CASE("every activation and gate") { compare(activation_cases()); }
TEST_CASE("every attention function, qk-norm and gate on and off") { compare(attention_cases()); }
TEST_CASE("every linear family and every other form") { compare(family_cases()); }
TEST_CASE("every linear family and every other form, in a workspace of few rows and images") {
  compare(family_cases(), {.workspace = 4 * 150 * sizeof(float)});
}

TEST_SUITE_END();

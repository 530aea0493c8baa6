// Products whose last step the library does, against the same steps as passes of their own.
#include <doctest/doctest.h>
#include "engine/ops/mlp.h"
#include "tests/difference.h"
#include "tests/synthetic.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("fused products");

namespace {

std::unique_ptr<Device> device_with(bool fused) {
  return make_cuda({.precision = Precision::bf16, .fused_products = fused, .spare_memory = 0});
}

// Output, then the gradients of x, of the weights and of the biases, of a layer whose result products alone read and an
// MLP from `in` over `hidden` to `out` channels.
std::vector<std::vector<float>> layers(Device& device, int rows, int in, int hidden, int out,
                                       const std::string& activation) {
  const DeviceValues x(device, random_values(rows * in, 1)), w1(device, random_values(hidden * in, 2)),
      b1(device, random_values(hidden, 3)), w0(device, random_values(in * in, 7)), b0(device, random_values(in, 8));
  const DeviceValues w2(device, random_values(out * hidden, 4)), b2(device, random_values(out, 5)),
      w3(device, random_values(out * out, 6));
  const DeviceValues dx(device, std::vector<float>(rows * in)), dw1(device, std::vector<float>(hidden * in)),
      db1(device, std::vector<float>(hidden));
  const DeviceValues dw0(device, std::vector<float>(in * in)), db0(device, std::vector<float>(in));
  const DeviceValues dw2(device, std::vector<float>(out * hidden)), db2(device, std::vector<float>(out));
  Tape tape(device);
  Tensor h = linear(tape, tape.leaf("x", {rows, in}, x.data(), dx.data()),
                    tape.leaf("w0", {in, in}, w0.data(), dw0.data()), tape.leaf("b0", {in}, b0.data(), db0.data()), {},
                    Kept::for_products);
  const MlpParameters p{tape.leaf("w1", {hidden, in}, w1.data(), dw1.data()),
                        tape.leaf("b1", {hidden}, b1.data(), db1.data()),
                        tape.leaf("w2", {out, hidden}, w2.data(), dw2.data()),
                        tape.leaf("b2", {out}, b2.data(), db2.data())};
  Tensor y = mlp(tape, h, p, {}, activation);
  Tensor z = linear(tape, y, tape.leaf("w3", {out, out}, w3.data()));
  std::vector<std::vector<float>> results{tape.download(z)};
  tape.backward(z);
  for (const DeviceValues* values : {&dx, &dw0, &db0, &dw1, &db1, &dw2, &db2}) results.push_back(values->read());
  return results;
}

}  // namespace

TEST_CASE("several sizes: what follows a product is what a pass of its own does, and the same bits every time") {
  auto fused = device_with(true), apart = device_with(false);
  for (const std::string& activation : MlpActivations::names())
    for (const auto& [rows, in, hidden, out] :
         {std::array{70, 48, 96, 32}, {1, 8, 16, 8}, {33, 24, 40, 16}, {16, 20, 12, 36}}) {
      const auto got = layers(*fused, rows, in, hidden, out, activation),
                 expected = layers(*apart, rows, in, hidden, out, activation);
      for (size_t i = 0; i < got.size(); i++) {
        INFO(rows, " rows, ", in, ", ", hidden, ", ", out, " channels, ", activation, ": result ", i);
        CHECK(norm_error(got[i], expected[i]) <= 6e-3);
      }
      CHECK(got == layers(*fused, rows, in, hidden, out, activation));
      const bool multiples_of_8 = in % 8 == 0 && hidden % 8 == 0 && out % 8 == 0;
      CHECK((got[0] == expected[0]) == !multiples_of_8);  // so the library was asked where it can, and there alone
    }
}

TEST_CASE("the library's GELU is the tanh form") {
  auto device = device_with(true);
  const int rows = 64, C = 64;
  std::vector<float> eye(C * C), x(rows * C);
  for (int i = 0; i < C; i++) eye[i * C + i] = 1;
  for (int i = 0; i < rows * C; i++) x[i] = from_bf16(to_bf16(float(i - rows * C / 2) / 400));
  const DeviceValues weight(*device, eye), bias(*device, std::vector<float>(C)), values(*device, x),
      dx(*device, std::vector<float>(x.size()));
  Tape tape(*device);
  Tensor w = tape.leaf("w", {C, C}, weight.data()), b = tape.leaf("b", {C}, bias.data());
  Tensor y = mlp(tape, tape.leaf("x", {rows, C}, values.data(), dx.data()), {w, b, w, b}, {});
  const std::vector<float> got = tape.download(y);
  tape.backward(y);
  const std::vector<float> slope = dx.read();
  for (size_t i = 0; i < x.size(); i++) {
    CHECK(got[i] == doctest::Approx(GeluTanh::value(double(x[i]))).epsilon(0.006));
    CHECK(std::abs(slope[i] - GeluTanh::slope(double(x[i]))) <= 0.006);
  }
}

TEST_SUITE_END();

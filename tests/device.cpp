// What a device promises beside its kernels: products, copies, errors.
#include <doctest/doctest.h>
#include "engine/bf16.h"
#include "engine/optimizer.h"
#include "engine/ops/elementwise.h"
#include "tests/error_of.h"
#include "tests/synthetic.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("device");

namespace {

double rounded(float x, Precision precision) { return precision == Precision::bf16 ? from_bf16(to_bf16(x)) : x; }

// Two to a float of device memory.
std::vector<float> rounded_values(const std::vector<float>& values) {
  std::vector<float> memory(values.size() / 2 + 1);
  std::transform(values.begin(), values.end(), reinterpret_cast<bf16*>(memory.data()), to_bf16);
  return memory;
}

// The largest error of a batch of products (or of one of inputs rounded before), relative to the size of their terms.
double product_error(Device& device, Precision precision, int m, int n, int k, bool ta, bool tb, bool before) {
  const int images = 3, padding = 4, rows_a = ta ? k : m, lda = (ta ? m : k) + padding, rows_b = tb ? n : k, ldb = (tb ? k : n) + padding, ldc = n + padding;
  const std::vector<float> a = random_values(size_t(images) * rows_a * lda, 1), b = random_values(size_t(images) * rows_b * ldb, 2), c = random_values(size_t(images) * m * ldc, 3);
  const DeviceValues da(device, a), db(device, b), dc(device, c), da_rounded(device, rounded_values(a)), db_rounded(device, rounded_values(b));
  const real alpha = 0.5f, beta = -0.25f;
  Gemm p{.c = dc.data(), .a = da.data(), .b = db.data(), .m = m, .n = n, .k = k, .ta = ta, .tb = tb, .alpha = alpha, .beta = beta, .lda = lda, .ldb = ldb, .ldc = ldc};
  if (before) p.a = reinterpret_cast<bf16*>(da_rounded.data()), p.b = reinterpret_cast<bf16*>(db_rounded.data());
  else if (on_cuda()) p.batch = images, p.step_a = size_t(rows_a) * lda, p.step_b = size_t(rows_b) * ldb, p.step_c = size_t(m) * ldc;
  device.gemm(p);
  const std::vector<float> got = dc.read();
  double largest = 0;
  for (int image = 0; image < p.batch; image++)
    for (int i = 0; i < m; i++)
      for (int j = 0; j < n; j++) {
        double exact = 0, size = 0;
        for (int l = 0; l < k; l++) {
          const double x = rounded(a[(size_t(image) * rows_a + (ta ? l : i)) * lda + (ta ? i : l)], precision), y = rounded(b[(size_t(image) * rows_b + (tb ? j : l)) * ldb + (tb ? l : j)], precision);
          exact += alpha * x * y;
          size += std::abs(alpha * x * y);
        }
        const size_t at = (size_t(image) * m + i) * ldc + j;
        exact += double(beta) * c[at], size += std::abs(double(beta) * c[at]);
        largest = std::max(largest, std::abs(got[at] - exact) / size);
      }
  return largest;
}

}  // namespace

TEST_CASE("products: strides, transposes, inputs rounded before, batches") {
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    auto device = test_device(2, precision);
    for (const bool ta : {false, true})
      for (const bool tb : {false, true})
        for (const bool before : {false, true})
          for (const auto [m, n, k] : {std::array{1, 1, 1}, {17, 5, 33}, {50, 64, 50}}) {
            if (before && !device->rounds_operands()) continue;
            INFO(m, " x ", n, " x ", k, " ta ", ta, " tb ", tb, " before ", before, " bf16 ", precision == Precision::bf16);
            CHECK(product_error(*device, precision, m, n, k, ta, tb, before) <= 1e-6);
          }
  }
}

TEST_CASE("what is uploaded is there for what is started later, and after what was started before") {
  auto device = test_device();
  const size_t n = 9 << 20;                                       // more than both halves of a GPU's upload memory
  const DeviceValues x(*device, std::vector<float>(n)), y(*device, std::vector<float>(n));
  std::vector<float> host(n);
  for (int round = 1; round <= 3; round++) {
    std::fill(host.begin(), host.end(), float(round));
    device->upload(x.data(), host.data(), n * sizeof(float));
    device->each(n, Accumulate{y.data(), x.data(), 1});
    std::fill(host.begin(), host.end(), NAN);                     // ours again
  }
  const std::vector<float> sum = y.read();
  CHECK(std::all_of(sum.begin(), sum.end(), [](float v) { return v == 6; }));
}

TEST_CASE("an early upload waits for nothing but is there for what is started later") {
  auto device = test_device();
  const size_t n = 1000;
  const DeviceValues x(*device, std::vector<float>(n)), other(*device, std::vector<float>(n)), y(*device, std::vector<float>(n));
  std::vector<float> host(n, 2);
  device->upload_early(x.data(), host.data(), n * sizeof(float));
  device->each(n, Accumulate{y.data(), x.data(), 1});
  std::fill(host.begin(), host.end(), 5.0f);
  device->upload_early(other.data(), host.data(), n * sizeof(float));
  std::fill(host.begin(), host.end(), NAN);
  device->each(n, Accumulate{y.data(), other.data(), 1});
  const std::vector<float> sum = y.read();
  CHECK(std::all_of(sum.begin(), sum.end(), [](float v) { return v == 7; }));
}

TEST_CASE("errors") {
  auto device = test_device();
  CHECK(says(error_of(ExitCode::failed, [&] { device->allocate(size_t(1) << 50); }), {"out of memory", "1073741824 MiB", "--batch"}));
  struct Unlisted { void operator()(size_t) const {} };
  CHECK(says(error_of(ExitCode::failed, [&] { device->each(1, Unlisted{}); }), {"kernel", "engine/kernels.h"}));
  CHECK(says(error_of(ExitCode::usage, [] { make_device({.device = "tpu"}); }), {"--device", "'tpu'", "cpu or cuda"}));
  CHECK(says(error_of(ExitCode::usage, [] { make_device({.precision = Precision::tf32}); }), {"--precision tf32", "--device cuda"}));
}

TEST_SUITE_END();

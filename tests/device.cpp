// What a device promises beside its kernels: products, copies, errors.
#include <doctest/doctest.h>
#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <thread>
#include "engine/bf16.h"
#include "engine/cpu/sharing.h"
#include "engine/optimizer.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/linear.h"
#include "engine/profile.h"
#include "models/diagnose.h"
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
  const int images = 3, padding = 4, rows_a = ta ? k : m, lda = (ta ? m : k) + padding, rows_b = tb ? n : k,
            ldb = (tb ? k : n) + padding, ldc = n + padding;
  const std::vector<float> a = random_values(size_t(images) * rows_a * lda, 1),
                           b = random_values(size_t(images) * rows_b * ldb, 2),
                           c = random_values(size_t(images) * m * ldc, 3);
  const DeviceValues da(device, a), db(device, b), dc(device, c), da_rounded(device, rounded_values(a)),
      db_rounded(device, rounded_values(b));
  const real alpha = 0.5f, beta = -0.25f;
  Gemm p{.c = dc.data(),
         .a = da.data(),
         .b = db.data(),
         .m = m,
         .n = n,
         .k = k,
         .ta = ta,
         .tb = tb,
         .alpha = alpha,
         .beta = beta,
         .lda = lda,
         .ldb = ldb,
         .ldc = ldc};
  if (before) p.a = reinterpret_cast<bf16*>(da_rounded.data()), p.b = reinterpret_cast<bf16*>(db_rounded.data());
  else if (on_cuda())
    p.batch = images, p.step_a = size_t(rows_a) * lda, p.step_b = size_t(rows_b) * ldb, p.step_c = size_t(m) * ldc;
  device.gemm(p);
  const std::vector<float> got = dc.read();
  double largest = 0;
  for (int image = 0; image < p.batch; image++)
    for (int i = 0; i < m; i++)
      for (int j = 0; j < n; j++) {
        double exact = 0, size = 0;
        for (int l = 0; l < k; l++) {
          const double x = rounded(a[(size_t(image) * rows_a + (ta ? l : i)) * lda + (ta ? i : l)], precision),
                       y = rounded(b[(size_t(image) * rows_b + (tb ? j : l)) * ldb + (tb ? l : j)], precision);
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
            INFO(m, " x ", n, " x ", k, " ta ", ta, " tb ", tb, " before ", before, " bf16 ",
                 precision == Precision::bf16);
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
  const DeviceValues x(*device, std::vector<float>(n)), other(*device, std::vector<float>(n)),
      y(*device, std::vector<float>(n));
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

TEST_CASE("the measured peak: of numbers that differ, none where memory is short, what it took is given back") {
  struct Short final : CountingDevice {
    using CountingDevice::CountingDevice;
    size_t most = size_t(1) << 40;
    void* allocate(size_t bytes) override {
      if (bytes > most) fail(ExitCode::failed, "out of memory");
      return CountingDevice::allocate(bytes);
    }
  };
  Short device(make_cpu(1));
  CHECK(measured_peak(device) > 0);
  CHECK(device.allocations == device.releases);
  device.most = 1000;
  const double none = measured_peak(device);
  CHECK(none == 0);
  CHECK(text_of_peak(none).find("unknown") == 0);
  CHECK(share_of_peak(1e12, none).empty());
  CHECK(share_of_peak(1e12, 2e12) == " (50 % of peak)");
  CHECK(share_of_peak(3e12, 2e12).find("more than the peak") == 2);

  struct LateStart final : CountingDevice {                        // as a library that is loaded by its first call
    using CountingDevice::CountingDevice;
    bool started = false;
    void gemm(const Gemm& product) override {
      if (!started) std::this_thread::sleep_for(std::chrono::milliseconds(500));
      started = true;
      CountingDevice::gemm(product);
    }
  };
  LateStart late(make_cpu(1));
  CHECK(measured_peak(late) > 2 * (2.0 * 2048 * 512 * 512) / 0.5);

  auto real_one = test_device();
  const size_t n = 100'000;
  const DeviceValues x(*real_one, std::vector<float>(n));
  real_one->each(n, Noise{x.data()});
  std::vector<float> values = x.read();
  CHECK(std::all_of(values.begin(), values.end(), [](float v) { return v >= -1 && v < 1; }));
  CHECK(std::abs(std::accumulate(values.begin(), values.end(), 0.0)) < 4 * std::sqrt(double(n) / 3));
  std::sort(values.begin(), values.end());
  CHECK(size_t(std::unique(values.begin(), values.end()) - values.begin()) > n * 99 / 100);
}

TEST_CASE("the profiler tells a product from what follows it, where that is a pass of its own") {
  struct Passes final : CountingDevice {
    using CountingDevice::CountingDevice;
    bool keeps_pieces(const Gemm&, std::type_index, const void*) const override { return false; }
    void gemm_then(const Gemm& product, std::type_index body, const void* fields) override {
      Device::gemm_then(product, body, fields);
    }
  };
  CountingDevice whole(make_cpu(1));
  Passes apart(make_cpu(1));
  for (Device* device : {static_cast<Device*>(&whole), static_cast<Device*>(&apart)}) {
    Profiler profiler(*device);
    const DeviceValues x(profiler, std::vector<float>(64, 1)), w(profiler, std::vector<float>(64, 1)),
        y(profiler, std::vector<float>(64)), bias(profiler, std::vector<float>(8, 1));
    static_cast<Device&>(profiler).gemm({.c = y.data(), .a = x.data(), .b = w.data(), .m = 8, .n = 8, .k = 8},
                                        AddBias{{y.data()}, bias.data(), 8});
    CHECK(y.read() == std::vector<float>(64, 9));
    std::map<std::string, size_t> calls;
    for (const Profiler::Pass& pass : profiler.passes()) calls[pass.part] += pass.calls;
    CHECK(calls["products"] == 1);
    CHECK(calls["bias, rounding and sums"] == (device == &apart ? 1 : 0));
  }
}

TEST_CASE("the part of a kernel, by its name here and in a GPU's profiler") {
  for (const auto& [name, part] :
       {std::pair{"AfterProduct<HiddenForward<GeluTanh, unsigned short> >", "activations"},
        {"void <unnamed>::rows_kernel<ColumnSumsOfChunk<RmsNormScaleTerm>>(T1, unsigned long)", "normalisation"},
        {"void <unnamed>::rows_kernel<ColumnSumsOfChunk<RoundingValues>>(T1, unsigned long)",
         "bias, rounding and sums"},
        {"void <unnamed>::keys_kernel<Softmax>(Backward<T1>, const RowStatistics *)", "attention"},
        {"(anonymous namespace)::Forward<Relu>", "attention"},
        {"void (anonymous namespace)::rows_kernel<WeightsForward<Relu>>", "attention"},
        {"nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_TNT", "products"},
        {"cublasLt::splitKreduce_kernel<32, 16>", "products"},
        {"void <unnamed>::rows_kernel<AdamStep>(T1, unsigned long)", "optimizer"},
        {"PatchesForward", "other"}})
    CHECK_MESSAGE(part_of(name) == part, name);
}

TEST_CASE("division by multiplication, and rows too many for it") {
  for (const int divisor : {1, 2, 3, 6, 7, 12, 63, 64, 197, 1000, 65537, 1 << 30}) {
    const Divisor per(divisor, (size_t(1) << 31) - 1);
    bool same = true;
    for (uint64_t k = 0; k < 20'000; k++) {
      const uint64_t multiple = k * uint64_t(divisor), spread = k * 107'374;
      for (const uint64_t n : {multiple, multiple + uint64_t(divisor) - 1, spread, (uint64_t(1) << 31) - 1 - k})
        if (n < uint64_t(1) << 31) same = same && per.divide(n) == n / uint64_t(divisor);
    }
    CHECK_MESSAGE(same, divisor);
  }
  CHECK(says(error_of(ExitCode::failed, [] { Divisor(6, size_t(1) << 31); }), {"2147483648 rows", "2^31", "--batch"}));
}

TEST_CASE("errors") {
  auto device = test_device();
  CHECK(says(error_of(ExitCode::failed, [&] { device->allocate(size_t(1) << 50); }),
             {"out of memory", "1073741824 MiB", "--batch"}));
  struct Unlisted { void operator()(size_t) const {} };
  CHECK(says(error_of(ExitCode::failed, [&] { device->each(1, Unlisted{}); }), {"kernel", "engine/kernels.h"}));
  CHECK(says(error_of(ExitCode::usage, [] { make_device({.device = "tpu"}); }), {"--device", "'tpu'", "cpu or cuda"}));
  CHECK(says(error_of(ExitCode::usage, [] { make_device({.precision = Precision::tf32}); }),
             {"--precision tf32", "--device cuda"}));
}

TEST_CASE("a pass is shared among threads if it takes long enough") {
  Sharing sharing(4);
  const auto threads_of = [&](std::type_index kind, size_t n, std::chrono::microseconds each) {
    std::vector<int> runs(n);
    int last_threads = 0;
    sharing(kind, n, [&](size_t first, size_t end, int threads) {
      for (size_t i = first; i < end; i++) runs[i]++;
      if (end - first <= n / 2) std::this_thread::sleep_for(each * (end - first));
      last_threads = threads;
    });
    CHECK(runs == std::vector<int>(n, 1));
    return last_threads;
  };
  int short_pass = 4;
  for (int pass = 0; pass < 5; pass++) {
    CHECK(threads_of(typeid(int), 1000, std::chrono::microseconds(10)) == 4);
    CHECK(threads_of(typeid(int), 1, std::chrono::microseconds(0)) == 1);
    short_pass = threads_of(typeid(float), 200, std::chrono::microseconds(0));
  }
  CHECK(short_pass == 1);                          // the shortest of three times counts
}

TEST_SUITE_END();

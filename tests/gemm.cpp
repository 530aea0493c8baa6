// Device::gemm of the CPU with each library against a plain product in double.
#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include "engine/bf16.h"
#include "engine/cpu/gemm.h"
#include "tests/error_of.h"
#include "tests/synthetic.h"

TEST_SUITE_BEGIN("gemm");

namespace {

constexpr float outside = 12345;           // between the rows of the result

struct Options {
  float alpha = 1, beta = 0;
  int padding = 0;                         // between the rows of every matrix
  bool a_rounded = false, b_rounded = false;
};

// A matrix with padding of `fill` after every row.
std::vector<float> padded(const std::vector<float>& values, int width, int padding, float fill) {
  const size_t rows = values.size() / width, stride = width + padding;
  std::vector<float> memory(rows * stride, fill);
  for (size_t row = 0; row < rows; row++)
    std::copy_n(values.begin() + row * width, width, memory.begin() + row * stride);
  return memory;
}

class Product {
 public:
  Product(int m, int n, int k, bool ta, bool tb, Precision precision)
      : m_(m),
        n_(n),
        k_(k),
        ta_(ta),
        tb_(tb),
        a_(random_values(size_t(m) * k, 1)),
        b_(random_values(size_t(k) * n, 2)),
        c_(random_values(size_t(m) * n, 3)),
        sums_(size_t(m) * n),
        sizes_(size_t(m) * n) {
    for (int i = 0; i < m; i++)
      for (int j = 0; j < n; j++)
        for (int l = 0; l < k; l++) {
          auto input = [&](float x) { return double(precision == Precision::bf16 ? from_bf16(to_bf16(x)) : x); };
          const double term = input(a_[ta ? size_t(l) * m + i : size_t(i) * k + l]) *
                              input(b_[tb ? size_t(j) * k + l : size_t(l) * n + j]);
          sums_[size_t(i) * n + j] += term;
          sizes_[size_t(i) * n + j] += std::abs(term);
        }
  }

  // What multiply(Gemm) makes of it, padding included. What must not be read is NaN.
  std::vector<float> run(const auto& multiply, const Options& o) const {
    const int width_a = ta_ ? m_ : k_, width_b = tb_ ? k_ : n_;
    const std::vector<float> a = padded(a_, width_a, o.padding, NAN), b = padded(b_, width_b, o.padding, NAN);
    std::vector<float> c = padded(o.beta == 0 ? std::vector<float>(c_.size(), NAN) : c_, n_, o.padding, outside);
    auto stride = [&](int width) { return o.padding ? width + o.padding : 0; };
    auto rounded = [](const std::vector<float>& values) {
      std::vector<bf16> result(values.size());
      std::transform(values.begin(), values.end(), result.begin(), to_bf16);
      return result;
    };
    const std::vector<bf16> a_values = rounded(a), b_values = rounded(b);
    multiply(Gemm{.c = c.data(),
                  .a = o.a_rounded ? Operand(a_values.data()) : a.data(),
                  .b = o.b_rounded ? Operand(b_values.data()) : b.data(),
                  .m = m_,
                  .n = n_,
                  .k = k_,
                  .ta = ta_,
                  .tb = tb_,
                  .alpha = o.alpha,
                  .beta = o.beta,
                  .lda = stride(width_a),
                  .ldb = stride(width_b),
                  .ldc = stride(n_)});
    return c;
  }

  // The largest error relative to the sum of the sizes of all terms; infinity where something outside was written.
  double error(const std::vector<float>& c, const Options& o) const {
    double largest = 0;
    for (size_t at = 0; at < c.size(); at++) {
      const size_t column = at % (n_ + o.padding), i = at / (n_ + o.padding) * n_ + column;
      if (column >= size_t(n_)) {
        if (c[at] != outside) return INFINITY;
        continue;
      }
      double exact = o.alpha * sums_[i], size = std::abs(o.alpha) * sizes_[i];
      exact += double(o.beta) * c_[i], size += std::abs(double(o.beta) * c_[i]);
      if (!std::isfinite(c[at])) return INFINITY;
      largest = std::max(largest, std::abs(c[at] - exact) / size);
    }
    return largest;
  }

 private:
  int m_, n_, k_;
  bool ta_, tb_;
  std::vector<float> a_, b_, c_;
  std::vector<double> sums_, sizes_;       // Σ a b and Σ |a b|
};

void check_library(Precision precision, GemmLibrary library) {
  std::unique_ptr<Device> devices[] = {make_cpu(1, precision, library), make_cpu(2, precision, library),
                                       make_cpu(3, precision, library)};
  const Options options[] = {{},
                             {.alpha = 0.5f, .beta = 1},
                             {.beta = -0.5f},
                             {.padding = 3},
                             {.alpha = 0.125f, .padding = 5},
                             {.beta = 1, .padding = 1}};
  const int shapes[][3] = {{1, 1, 1},     {3, 1, 17},     {16, 16, 16}, {17, 3, 64},   {1, 1000, 64},
                           {64, 197, 64}, {197, 64, 197}, {300, 17, 1}, {1000, 5, 16}, {400, 1200, 3}};
  double largest = 0;
  for (const auto [m, n, k] : shapes)
    for (const bool ta : {false, true})
      for (const bool tb : {false, true}) {
        const Product product(m, n, k, ta, tb, precision);
        for (const Options& o : options) {
          INFO(m, " x ", n, " x ", k, " ta ", ta, " tb ", tb, " alpha ", o.alpha, " beta ", o.beta, " padding ",
               o.padding);
          auto run = [&](int threads) { return product.run([&](const Gemm& g) { devices[threads - 1]->gemm(g); }, o); };
          const std::vector<float> c = run(1);
          const double error = product.error(c, o);
          CHECK(error <= 1e-6);
          largest = std::max(largest, error);
          for (int threads : {2, 3}) CHECK(std::memcmp(c.data(), run(threads).data(), c.size() * sizeof(float)) == 0);
        }
      }
  MESSAGE(devices[0]->description() << ": errors of at most " << largest << " of the size of the terms");
}

}  // namespace

TEST_CASE("the tiles of attention") {
  for (const bool rounds : {false, true}) {
    const GemmFunction multiply = tile_product(rounds);
    if (!multiply) {
      MESSAGE("skipped: no products of tiles in " << (rounds ? "bf16" : "f32") << " in this build");
      continue;
    }
    if (rounds && !has_onednn_bf16()) continue;                // built for another processor
    const int shapes[][3] = {{1, 1, 1},    {2, 3, 5},    {6, 64, 2},     {7, 16, 33},  {16, 17, 16}, {50, 50, 64},
                             {50, 64, 50}, {5, 197, 64}, {197, 64, 197}, {13, 130, 1}, {9, 20, 1111}};
    const Options options[] = {
        {}, {.alpha = 0.5f, .beta = 1}, {.beta = -0.5f, .padding = 1}, {.padding = 3}, {.alpha = 0.125f, .padding = 5}};
    for (const auto [m, n, k] : shapes)
      for (const bool ta : {false, true})
        for (const bool tb : {false, true}) {
          const Product product(m, n, k, ta, tb, rounds ? Precision::bf16 : Precision::f32);
          for (Options o : options)
            for (int kinds = 0; kinds < (rounds ? 4 : 1); kinds++) {
              o.a_rounded = kinds & 1, o.b_rounded = kinds & 2;
              INFO((rounds ? "bf16 " : "f32 "), m, " x ", n, " x ", k, " ta ", ta, " tb ", tb, " alpha ", o.alpha,
                   " beta ", o.beta, " padding ", o.padding, " kinds ", kinds);
              CHECK(product.error(product.run(multiply, o), o) <= 1e-6);
            }
        }
  }
}

TEST_CASE("Eigen") {
  check_library(Precision::f32, GemmLibrary::eigen);
  check_library(Precision::bf16, GemmLibrary::eigen);
}

TEST_CASE("oneDNN") {
  if (!has_onednn) {
    CHECK(says(error_of(ExitCode::failed, [] { make_cpu(1, Precision::f32, GemmLibrary::onednn); }),
               {"oneDNN", "libdnnl-dev"}));
    return;
  }
  check_library(Precision::f32, GemmLibrary::onednn);
  check_library(Precision::bf16, GemmLibrary::onednn);
}

TEST_CASE("an input that was rounded before beside one that was not") {
  auto device = make_cpu(2, Precision::bf16);
  if (!device->rounds_operands()) return;
  const int m = 70, n = 48, k = 33;
  auto rounded = [](const std::vector<float>& x) {
    std::vector<bf16> y(x.size());
    std::transform(x.begin(), x.end(), y.begin(), to_bf16);
    return y;
  };
  const std::vector<float> a = random_values(m * k, 1), b = random_values(n * k, 2);
  const std::vector<bf16> a_rounded = rounded(a), b_rounded = rounded(b);
  std::vector<std::vector<float>> results;
  for (const auto& [left, right] : {std::pair<Operand, Operand>{a.data(), b.data()},
                                    {a_rounded.data(), b.data()},
                                    {a.data(), b_rounded.data()},
                                    {a_rounded.data(), b_rounded.data()}}) {
    results.emplace_back(m * n);
    device->gemm({.c = results.back().data(), .a = left, .b = right, .m = m, .n = n, .k = k, .tb = true});
  }
  for (const std::vector<float>& c : results) CHECK(c == results[0]);
}

TEST_SUITE_END();

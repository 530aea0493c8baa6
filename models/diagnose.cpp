#include "models/diagnose.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fmt/format.h>
#include "engine/error.h"
#include "engine/ops/elementwise.h"

namespace {

// FLOP/s of x[4n,n] Wᵀ, W[n,n], the best of several, and the seconds of that one; none where there is no memory for it.
struct Product { double flops = 0, seconds = 0; };
Product fastest_product(Device& device, int n) {
  const int rows = 4 * n;
  const size_t product = size_t(rows) * n, inputs = product + size_t(n) * n;
  const bool rounds = device.rounds_operands();
  std::byte* memory;
  try {
    memory =
        static_cast<std::byte*>(device.allocate((product + inputs) * sizeof(real) + rounds * inputs * sizeof(bf16)));
  } catch (const Error&) {                                               // a yardstick is no reason to end
    return {};
  }
  real *c = reinterpret_cast<real*>(memory), *a = c + product;
  device.each(inputs, Noise{a});
  Gemm multiply{.c = c, .a = a, .b = a + product, .m = rows, .n = n, .k = n, .tb = true};
  if (rounds) {
    bf16* rounded = reinterpret_cast<bf16*>(a + inputs);
    device.each(inputs, Round{rounded, a});
    multiply.a = rounded, multiply.b = rounded + product;
  }
  double best = INFINITY, spent = 0;
  device.gemm(multiply);                                                 // the first also loads what multiplies
  device.download(nullptr, nullptr, 0);
  while (spent < 0.05) {  // many: other programs take their share of some
    const auto start = std::chrono::steady_clock::now();
    device.gemm(multiply);
    device.download(nullptr, nullptr, 0);                                // waits for it
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, seconds), spent += seconds;
  }
  device.release(memory);
  return {2.0 * rows * n * n / best, best};
}

}  // namespace

double measured_peak(Device& device) {
  double peak = 0;
  for (int n = 512; n <= 4096; n *= 2) {
    const auto [flops, seconds] = fastest_product(device, n);
    peak = std::max(peak, flops);
    if (flops == 0 || seconds > 1e-3) break;                             // a GPU needs larger ones
  }
  return peak;
}

std::string text_of_peak(double peak) {
  return peak > 0 ? fmt::format("{:.3g} TFLOP/s", peak / 1e12) : "unknown, for want of memory to measure it";
}
std::string share_of_peak(double flops, double peak) {
  if (peak <= 0) return "";
  if (flops > peak) return " (more than the peak measured at the start, beside other programs)";
  return fmt::format(" ({:.0f} % of peak)", 100 * flops / peak);
}

std::string first_non_finite(Tape& tape, const Parameters& parameters) {
  auto broken = [](const std::vector<float>& values) {
    return std::any_of(values.begin(), values.end(), [](float x) { return !std::isfinite(x); });
  };
  std::string parameter = "the images";
  for (size_t i = 0; i < tape.size(); i++) {
    const std::string op(tape.op(i));
    const bool is_parameter = parameters.has(op);
    if (is_parameter) parameter = op;
    if (!tape.is_lost(tape.tensor(i)) && broken(tape.download(tape.tensor(i))))
      return is_parameter ? "first in parameter " + op : fmt::format("first in op {} after {}", op, parameter);
  }
  // Gradients come in the reverse of the order in which the forward pass read the parameters.
  for (size_t i = tape.size(); i-- > 0;)
    if (const std::string op(tape.op(i)); parameters.has(op) && broken(parameters.gradient(parameters.find(op))))
      return "first in the gradient of " + op;
  float most = -1;                       // finite, but too large for a sum of squares
  std::string where;
  const auto look = [&](const std::vector<float>& values, const char* of, const std::string& name) {
    for (const float x : values)
      if (std::fabs(x) > most) most = std::fabs(x), where = fmt::format("{}, the largest {:.3g} in {}", of, most, name);
  };
  for (const Parameter& p : parameters.list())
    look(parameters.gradient(p), "gradients", p.name), look(parameters.get(p), "weights", p.name);
  return "first in the squares of " + where;
}

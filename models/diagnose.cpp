#include "models/diagnose.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fmt/format.h>
#include "engine/ops/elementwise.h"

double measured_peak(Device& device) {
  double peak = 0;
  for (int n = 512;; n *= 2) {                                           // x Wᵀ as a model has it: x[4n,n], W[n,n]
    const int rows = 4 * n;
    const size_t product = size_t(rows) * n, inputs = product + size_t(n) * n;
    real* memory = static_cast<real*>(device.allocate((product + inputs) * sizeof(real)));
    device.each(product + inputs, Fill{memory, 1});
    Gemm multiply{.c = memory, .a = memory + product, .b = memory + 2 * product, .m = rows, .n = n, .k = n, .tb = true};
    bf16* rounded = device.rounds_operands() ? static_cast<bf16*>(device.allocate(inputs * sizeof(bf16))) : nullptr;
    if (rounded) {
      device.each(inputs, Round{rounded, memory + product});
      multiply.a = rounded, multiply.b = rounded + product;
    }
    double best = INFINITY, spent = 0;
    while (spent < 0.05) {                                               // many: other programs take their share of some
      const auto start = std::chrono::steady_clock::now();
      real one;
      device.gemm(multiply);
      device.download(&one, memory, sizeof one);                         // waits for it
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      best = std::min(best, seconds), spent += seconds;
    }
    if (rounded) device.release(rounded);
    device.release(memory);
    peak = std::max(peak, 2.0 * rows * n * n / best);
    if (best > 1e-3 || n >= 4096) return peak;                           // a GPU needs larger ones
  }
}

std::string first_non_finite(Tape& tape, const Parameters& parameters) {
  auto broken = [](const std::vector<float>& values) { return std::any_of(values.begin(), values.end(), [](float x) { return !std::isfinite(x); }); };
  std::string parameter = "the images";
  for (size_t i = 0; i < tape.size(); i++) {
    const std::string op(tape.op(i));
    const bool is_parameter = parameters.has(op);
    if (is_parameter) parameter = op;
    if (!tape.is_lost(tape.tensor(i)) && broken(tape.download(tape.tensor(i)))) return is_parameter ? "first in parameter " + op : fmt::format("first in op {} after {}", op, parameter);
  }
  // Gradients come in the reverse of the order in which the forward pass read the parameters.
  for (size_t i = tape.size(); i-- > 0;)
    if (const std::string op(tape.op(i)); parameters.has(op) && broken(parameters.gradient(parameters.find(op)))) return "first in the gradient of " + op;
  const auto largest = [&](const Parameter& p) {
    float most = 0;
    for (float g : parameters.gradient(p)) most = std::max(most, std::fabs(g));
    return most;
  };
  const auto& list = parameters.list();
  const auto worst = std::max_element(list.begin(), list.end(), [&](const Parameter& a, const Parameter& b) { return largest(a) < largest(b); });
  return fmt::format("first in the squares of gradients, the largest {:.3g} in {}", largest(*worst), worst->name);
}

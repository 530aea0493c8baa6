#include "models/diagnose.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fmt/format.h>
#include "engine/ops/elementwise.h"

double measured_peak(Device& device) {
  double peak = 0;
  for (int n = 1024;; n *= 2) {
    const size_t size = size_t(n) * n;
    real* memory = static_cast<real*>(device.allocate(3 * size * sizeof(real)));
    device.each(3 * size, Fill{memory, 1});
    double best = INFINITY;
    for (int i = 0; i < 4; i++) {
      const auto start = std::chrono::steady_clock::now();
      real one;
      device.gemm({.c = memory, .a = memory + size, .b = memory + 2 * size, .m = n, .n = n, .k = n});
      device.download(&one, memory, sizeof one);                         // waits for it
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    device.release(memory);
    peak = std::max(peak, 2.0 * n * n * n / best);
    if (best > 1e-3 || n >= 8192) return peak;                           // a GPU needs larger ones
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

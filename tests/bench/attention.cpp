#include "tests/bench/attention.h"
#include <chrono>
#include <cmath>
#include "engine/attention/attention.h"
#include "engine/console.h"
#include "engine/random.h"
#include "tests/bench/peak_memory.h"

void bench_attention(Device& device, const AttentionBench& o) {
  for (const int L : o.lengths) {
    const int D = o.heads * o.width;
    std::vector<float> qkv(size_t(o.batch) * L * 3 * D);
    Random random(0, purpose::synthetic, 0);
    for (float& x : qkv) x = float(random.normal());
    real *values = static_cast<real*>(device.allocate(qkv.size() * sizeof(real))),
         *gradients = static_cast<real*>(device.allocate(qkv.size() * sizeof(real)));
    device.upload(values, qkv.data(), qkv.size() * sizeof(real));
    device.each(qkv.size(), Fill{gradients, 0});
    Tape tape(device);
    auto step = [&](const std::string& function) {
      tape.clear();
      Tensor x = tape.leaf("qkv", {o.batch, L, 3 * D}, values, gradients);
      Tensor y = attention(tape, {x}, {x, D}, {x, 2 * D}, o.heads, o.width, function, 1);
      tape.backward(y);
      device.download(nullptr, nullptr, 0);
    };
    for (const std::string& function : o.functions) {
      double best = INFINITY;
      const double before = peak_megabytes();
      for (int round = 0; round <= o.rounds; round++) {          // the first allocates
        const auto start = std::chrono::steady_clock::now();
        step(function);
        if (round)
          best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      }
      const double flops = 14.0 * o.batch * o.heads * L * L * o.width;
      const double extra = std::max(0.0, peak_megabytes() - before - 2.0 * o.batch * L * D * sizeof(real) / 1048576);
      print_result("attention L {:>4}  {:<10} {:>9.2f} ms  {:>6.3f} TFLOP/s  {:>6.1f} MB more\n", L, function,
                   1e3 * best, flops / best / 1e12, extra);
    }
    device.release(values);
    device.release(gradients);
  }
}

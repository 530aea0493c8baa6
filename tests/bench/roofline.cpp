#include "tests/bench/roofline.h"
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include "models/presets.h"
#include "models/vit.h"

namespace {

struct Gpu { const char* name; double bf16, tf32, f32, bandwidth; };      // dense FLOP/s and bytes/s from NVIDIA's data sheets
constexpr Gpu gpus[] = {{"A100-80GB", 312e12, 156e12, 19.5e12, 2.04e12}, {"H100-SXM", 989e12, 495e12, 67e12, 3.35e12}};

// Assumed shares of the peak: large products 0.65, the fused attention 0.35, streaming 0.85; 2.5 µs a launch.
struct Step {
  double peak, bandwidth, flops = 0, bytes = 0, seconds = 0;
  int launches = 0;
  void op(double times, double f, double b, double share = 1) {
    flops += times * f, bytes += times * b;
    launches += int(times);
    seconds += times * (std::max(f / (peak * share), b / (bandwidth * 0.85)) + 2.5e-6);
  }
};

// One training step as the CUDA device runs it: activations f32, in bf16 every product rounds its inputs first.
Step training_step(const Gpu& gpu, const ViTConfig& c, int batch, Precision precision) {
  Step s{precision == Precision::bf16 ? gpu.bf16 : precision == Precision::tf32 ? gpu.tf32 : gpu.f32, gpu.bandwidth};
  const double L = c.tokens(), N = batch * L, D = c.width, M = c.mlp_width, depth = c.depth, P = 3.0 * c.patch * c.patch, S = batch * double(c.heads) * L * L;
  const bool bf16 = precision == Precision::bf16;
  auto round = [&](double times, double n) { if (bf16) s.op(times, 0, 6 * n); };
  auto product = [&](double times, double m, double n, double k) {
    round(times, m * k), round(times, n * k);
    s.op(times, 2 * m * n * k, (bf16 ? 2 : 4) * (m * k + n * k) + 4 * m * n, 0.65);
  };
  auto pass = [&](double times, double n, double read, double written) { s.op(times, 0, 4 * n * (read + written)); };
  auto linear = [&](double times, double in, double out) {                  // forward, dx, dW, and the bias gradient
    product(times, N, out, in), product(times, N, in, out), product(times, out, in, N);
    pass(times, N * out, 1, 0);
  };
  linear(1, P, D), pass(1, N * P, 1, 1);
  linear(depth, D, 3 * D), linear(depth, D, D), linear(depth, D, M), linear(depth, M, D);
  pass(depth, 3 * N * D, 1, 1);                                            // bias of q, k, v
  pass(2 * depth, N * D, 2, 2), pass(2 * depth, N * D, 1, 1);              // residual + LayerNorm, and LayerNorm made again
  pass(2 * depth, N * D, 3, 1), pass(2 * depth, N * D, 2, 0), pass(2 * depth, N * D, 1, 0);
  pass(depth, N * M, 1, 2), pass(depth, N * M, 1, 1), pass(depth, N * M, 2, 1);      // bias + GELU, GELU made again, its backward
  pass(depth, 3 * N * D, 0, 1);                                            // gradients of q, k, v start at 0
  const double d = c.head_width(), one = 2 * S * d;
  if (bf16 && d == 64) {
    s.op(depth, 2 * one, 4 * 4 * N * D, 0.35);
    s.op(2 * depth, 3.5 * one, 4 * 6 * N * D, 0.30);
  } else {
    const double heads = c.heads;                                          // tiles are one head of the batch
    for (int i = 0; i < 7; i++) s.op(depth * heads, one / heads, 4 * (S + 2 * N * D) / heads, 0.4);
    s.op(2 * depth * heads, 0, 8 * S / heads), s.op(depth * heads, 0, 12 * S / heads);
  }
  const double parameters = depth * (4 * D * D + 2 * D * M + 9 * D + M) + P * D + L * D + 1000 * D;
  s.op(1, 0, 4 * parameters), s.op(1, 0, 24 * parameters);                 // norm, Adam with a bf16 moment
  return s;
}

}  // namespace

std::string roofline_table() {
  std::string text = "Predicted training steps, from data-sheet peaks and the bytes and FLOPs of every pass. No GPU was used; published\n"
                     "measurements of comparable code reach 0.75 to 0.85 of such predictions.\n\n"
                     "gpu        model  batch  precision  attention   ms/step   images/s  TFLOP/s  of peak      GB  launches\n";
  for (const Gpu& gpu : gpus)
    for (const auto& [model, batch] : {std::pair{"Ti/16", 256}, {"S/16", 256}, {"B/16", 256}, {"S/8", 64}})
      for (const Precision precision : {Precision::bf16, Precision::tf32}) {
        ViTConfig c;
        set_variant(c, model);
        const Step s = training_step(gpu, c, batch, precision);
        const double useful = 3 * forward_flops(c) * batch;
        text += fmt::format("{:<11}{:<7}{:>5}  {:<11}{:<10}{:>9.1f}{:>11.0f}{:>9.0f}{:>7.0f} %{:>9.1f}{:>9}\n", gpu.name, model, batch, precision == Precision::bf16 ? "bf16" : "tf32",
                            precision == Precision::bf16 ? "fused" : "tiled", 1e3 * s.seconds, batch / s.seconds, useful / s.seconds / 1e12, 100 * useful / s.seconds / s.peak, s.bytes / 1e9, s.launches);
      }
  return text;
}

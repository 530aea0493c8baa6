#include "tests/bench/gpu.h"
#include <chrono>
#include <fmt/format.h>
#include "engine/attention/attention.h"
#include "engine/console.h"
#include "engine/ops/layernorm.h"
#include "engine/ops/mlp.h"
#include "engine/optimizer.h"
#include "models/diagnose.h"

namespace {

// Seconds of one call, the best of five runs of enough calls to last.
double seconds(Device& device, const std::function<void()>& call) {
  real probe;
  void* memory = device.allocate(sizeof probe);
  auto time = [&](int calls) {
    device.download(&probe, memory, sizeof probe);                       // waits for what was started
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; i++) call();
    device.download(&probe, memory, sizeof probe);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  time(1);
  const int calls = std::max(1, int(0.05 / time(1)));
  double best = time(calls);
  for (int i = 0; i < 4; i++) best = std::min(best, time(calls));
  device.release(memory);
  return best / calls;
}

struct Memory : DeviceMemory<real> {
  Memory(Device& device, size_t n) : DeviceMemory(device, n) { device.each(n, Noise{*this}); }
};

void products(Device& device, const char* name, int images) {
  const double peak = measured_peak(device);
  print_result("{}: {}\n  measured peak {:.1f} TFLOP/s\n", name, device.description(), peak / 1e12);
  const int rows = images * 196;
  constexpr int D = 384;
  const Memory x(device, size_t(rows) * 4 * D), y(device, size_t(rows) * 4 * D), w(device, size_t(4) * D * D);
  for (const auto& [out, in] : {std::pair{3 * D, D}, {D, D}, {4 * D, D}, {D, 4 * D}}) {
    const double t = seconds(
                     device,
                     [&] { device.gemm({.c = y, .a = +x, .b = +w, .m = rows, .n = out, .k = in, .tb = true}); }),
                 flops = 2.0 * rows * out * in;
    print_result("  product {} x {} x {}: {:8.3f} ms {:8.1f} TFLOP/s {:4.0f} % of peak\n", rows, out, in, 1e3 * t,
                 flops / t / 1e12, 100 * flops / t / peak);
  }
}

void passes(Device& device, int images) {
  constexpr size_t D = 384;
  const size_t rows = size_t(images) * 196, n = rows * D;
  const Memory x(device, n), y(device, n), dx(device, n), w(device, D), b(device, D), mean(device, rows),
      rstd(device, rows), norm(device, 1);
  const Memory moments(device, n), squares(device, n);
  device.each(n, Fill{squares, 0.01f});
  const double copy = 8.0 * n / seconds(device, [&] { device.each(n, Accumulate{y, x, 0}); });
  print_result("memory-bound passes over [{}, {}], bandwidth against a copy of {:.0f} GB/s\n", rows, D, copy / 1e9);
  auto line = [&](const char* name, double bytes, const std::function<void()>& call) {
    const double t = seconds(device, call);
    print_result("  {:<28}{:8.3f} ms {:7.0f} GB/s {:4.0f} %\n", name, 1e3 * t, bytes / t / 1e9, 100 * bytes / t / copy);
  };
  const RowsOf<const real> in{x, Divisor(1, rows), D, int(D)};
  line("GELU", 8.0 * n, [&] { device.each(n, MapForward<GeluTanh>{{y}, x}); });
  line("GELU backward", 12.0 * n, [&] { device.each(n, MapBackward<GeluTanh>{dx, y, x, 0}); });
  line("bias + GELU", 12.0 * n,
       [&] { device.rows(rows, AfterProduct<HiddenForward<GeluTanh, real>>{{x, {y}, b, int(D)}, x, int(D), int(D)}); });
  line("LayerNorm", 8.0 * n, [&] { device.rows(rows, LayerNormForward<real>{{y}, mean, rstd, in, w, b, int(D)}); });
  const int chunk = device.column_teams(rows, int(D)).whole_rows, chunks = int((rows + chunk - 1) / chunk);
  const Memory sums(device, size_t(2) * chunks * D);
  line("LayerNorm backward", 16.0 * n + 8.0 * chunks * D, [&] {
    device.rows(
        chunks,
        LayerNormBackward<real>{
            {dx, Divisor(1, rows), D, int(D)}, y, in, w, mean, rstd, sums, sums + chunks * D, rows, chunk, int(D), 1});
  });
  line("Adam", 24.0 * n, [&] {
    device.rows(chunks_of(n, values_per_update),
                AdamStep{x, reinterpret_cast<bf16*>(static_cast<real*>(moments)), squares, dx, norm, n, n, 1, 0, 0,
                         0.9f, 0.999f, 0.1f, 0.001f, 1, 1, 1e-8f});
  });
}

void attention_speed(Device& fused, Device& tiled, const GpuBench& o) {
  const int batch = std::max(1, o.images / 8);
  print_result("attention, bf16, batch {}, 6 heads of 64, forward + backward: fused, tiled over cuBLAS, ratio\n",
               batch);
  for (const int L : o.lengths)
    for (const char* function : {"softmax", "relu"}) {
      double ms[2];
      for (Device* device : {&fused, &tiled}) {
        const size_t n = size_t(batch) * L * 3 * 384;
        const Memory qkv(*device, n), dqkv(*device, n);
        Tape tape(*device);
        ms[device == &tiled] = 1e3 * seconds(*device, [&] {
          tape.clear();
          Tensor x = tape.leaf("qkv", {batch, L, 3 * 384}, qkv, dqkv);
          tape.backward(attention(tape, {x, 0}, {x, 384}, {x, 768}, 6, 64, function, 1));
        });
      }
      const double tflops = 14.0 * batch * 6 * double(L) * L * 64 / ms[0] / 1e9;
      print_result("  L {:<5} {:<8}{:9.3f} ms {:9.3f} ms {:6.2f}   {:.0f} TFLOP/s fused\n", L, function, ms[0], ms[1],
                 ms[1] / ms[0], tflops);
    }
}

}  // namespace

void bench_gpu(const GpuBench& o) {
  const std::pair<const char*, Precision> precisions[] = {
      {"f32", Precision::f32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}};
  for (const auto& [name, precision] : precisions) products(*make_cuda({.precision = precision}), name, o.images);
  auto fused = make_cuda({.precision = Precision::bf16}),
       tiled = make_cuda({.precision = Precision::bf16, .fused_attention = false});
  passes(*fused, o.images);
  attention_speed(*fused, *tiled, o);
}

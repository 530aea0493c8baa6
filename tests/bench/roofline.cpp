#include "tests/bench/roofline.h"
#include <fmt/format.h>
#include "models/presets.h"
#include "models/vit.h"

namespace {

struct Gpu {
  const char* name;
  double bf16, tf32, f32, bandwidth;
}; // dense FLOP/s and bytes/s from NVIDIA's data sheets
constexpr Gpu a100{"A100-80GB", 312e12, 156e12, 19.5e12, 2.04e12}, h100{"H100-SXM", 989e12, 495e12, 67e12, 3.35e12};

double peak(const Gpu& gpu, Precision precision) {
  return precision == Precision::bf16 ? gpu.bf16 : precision == Precision::tf32 ? gpu.tf32 : gpu.f32;
}

// Assumed shares of the peak: large products 0.65, the fused attention 0.32, streaming 0.85.
GpuLimits limits(const Gpu& gpu, Precision precision) {
  return {.products = 0.65 * peak(gpu, precision),
          .attention = 0.32 * peak(gpu, precision),
          .bandwidth = 0.85 * gpu.bandwidth};
}

} // namespace

GpuLimits limits_of(Precision precision) { return limits(h100, precision); }

std::string roofline_table() {
  std::string text =
      "Predicted training steps, from data-sheet peaks and the bytes and FLOPs of every pass. No GPU was used; "
      "published\n"
      "measurements of comparable code reach 0.75 to 0.85 of such predictions.\n\n"
      "gpu        model  batch  precision  attention   ms/step   images/s  TFLOP/s  of peak      GB  launches\n";
  for (const Gpu& gpu : {a100, h100})
    for (const auto& [model, batch] : {std::pair{"Ti/16", 256}, {"S/16", 256}, {"B/16", 256}, {"S/8", 64}})
      for (const Precision precision : {Precision::bf16, Precision::tf32}) {
        ViTConfig c;
        set_variant(c, model);
        const Work s = step_budget(c, batch, precision, limits(gpu, precision)).total();
        const double useful = 3 * forward_flops(c) * batch / s.seconds;
        text += fmt::format("{:<11}{:<7}{:>5}  {:<11}{:<10}{:>9.1f}{:>11.0f}{:>9.0f}{:>7.0f} %{:>9.1f}{:>9}\n",
                            gpu.name, model, batch, precision == Precision::bf16 ? "bf16" : "tf32",
                            precision == Precision::bf16 ? "fused" : "tiled", 1e3 * s.seconds, batch / s.seconds,
                            useful / 1e12, 100 * useful / peak(gpu, precision), s.bytes() / 1e9, s.launches);
      }
  return text;
}

std::string roofline_parts(const ViTConfig& config, int batch, Precision precision) {
  const StepBudget budget = step_budget(config, batch, precision, limits_of(precision));
  std::string text = fmt::format("{:<26}{:>9}{:>9}{:>9}{:>10}\n", "part", "ms", "GB", "TFLOP", "launches");
  auto line = [&](std::string_view name, const Work& w) {
    text += fmt::format("{:<26}{:>9.2f}{:>9.2f}{:>9.3f}{:>10}\n", name, 1e3 * w.seconds, w.bytes() / 1e9,
                        w.flops / 1e12, w.launches);
  };
  for (const auto& [part, work] : budget.parts) line(part, work);
  line("all", budget.total());
  return text;
}

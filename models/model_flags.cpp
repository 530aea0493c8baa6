#include "models/model_flags.h"
#include <fmt/core.h>
#include <algorithm>
#include "engine/console.h"
#include "engine/machine.h"
#include "models/presets.h"

ViTConfig ModelFlags::config() const {
  ViTConfig c = config_;
  if (!model_.empty()) set_variant(c, model_);
  if (width_) {
    c.width = *width_;
    c.heads = std::max(1, c.width / 64);
    c.mlp_width = 4 * c.width;
  }
  c.depth = depth_.value_or(c.depth);
  c.heads = heads_.value_or(c.heads);
  c.mlp_width = mlp_width_.value_or(c.mlp_width);
  c.patch = patch_.value_or(c.patch);
  return c;
}

std::string workers_text(int workers) { return fmt::format("{} worker{}", workers, workers == 1 ? "" : "s"); }

int DeviceFlags::default_workers() const { return options_.device == "cuda" ? std::max(1, usable_cores() - 1) : 1; }

std::unique_ptr<Device> DeviceFlags::open() const {
  DeviceOptions options = options_;
  options.precision = precision_ == "bf16" ? Precision::bf16 : precision_ == "tf32" ? Precision::tf32 : Precision::f32;
  auto device = make_device(options);
  print_log("device  {}\n", device->description());
  return device;
}

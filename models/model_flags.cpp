#include "models/model_flags.h"
#include <fmt/core.h>
#include <algorithm>
#include "engine/console.h"
#include "engine/machine.h"
#include "models/presets.h"

ViTConfig ModelFlags::config() const {
  ViTConfig c = config_;
  if (!model_.empty()) set_variant(c, model_);
  if (const auto width = sizes_.find("width"); width != sizes_.end()) {
    c.heads = std::max(1, width->second / 64);
    c.mlp_width = 4 * width->second;
  }
  each_field(c, [&](const char* name, auto& value) {
    if constexpr (std::is_same_v<decltype(value), int&>)
      if (const auto size = sizes_.find(name); size != sizes_.end()) value = size->second;
  });
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

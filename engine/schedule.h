// The learning-rate multiplier of BigVision's create_learning_rate_schedule, from the 0-based count of updates: linear
// warm-up times cosine decay to 0. The first update has multiplier 0.
// defines: schedule
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

inline double schedule(int64_t update, int64_t total, int64_t warmup) {
  const double progress = std::clamp(double(update - warmup) / double(total - warmup), 0.0, 1.0);
  const double cosine = 0.5 * (1 + std::cos(3.141592653589793 * progress));
  return cosine * (warmup > 0 ? std::min(1.0, double(update) / double(warmup)) : 1.0);
}

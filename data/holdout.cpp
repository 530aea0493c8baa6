#include <utility>

#include "data/index.h"
#include "data/order.h"
#include "engine/error.h"

// Only the samples that `wanted` says of by position.
void Index::keep(const std::function<bool(size_t)>& wanted) {
  size_t kept = 0;
  for (ScannedShard& shard : shards_) {
    const size_t first = std::exchange(shard.first, kept);
    shard.scan.keep([&](size_t sample) { return wanted(first + sample); });
    kept += shard.scan.samples.size();
  }
  size_ = kept;
}

Index Index::hold_out(size_t count) {
  if (count < 1 || count >= size_)
    fail(ExitCode::usage, "--holdout: {} of {} images, expected at least one and fewer than all", count, size_);
  const auto is_held = [count, shuffled = Permutation(size_, 0, UINT64_MAX)](size_t i) { return shuffled(i) < count; };
  Index held = *this;
  held.keep(is_held);
  keep([&](size_t i) { return !is_held(i); });
  return held;
}

// Where the right answer stands: ranks[b] = how many classes come before the label in the order of their logits, equal
// ones in the order of the classes, as argmax has it; of several labels the one that stands best counts, and NaN is
// last. Counted on the device, or a batch of 1024 with 21,843 classes would send 89 MB of logits to the host for as
// many numbers.
// defines: label_ranks
#pragma once
#include <limits>
#include "engine/tape.h"

struct LabelRanks { // C where there is no label, or its logit is NaN
  real* ranks;
  const real *logits, *labels, *allowed;
  int C; // allowed: null, or [C] with 0 for classes that are not chosen from
  template <class Team>
  HD void operator()(Team team, size_t b) const {
    constexpr real none = -std::numeric_limits<real>::infinity();
    const real *z = logits + b * C, *y = labels + b * C;
    const real best = team.max(C, [&](int k) { return y[k] == 1 && z[k] > none ? z[k] : none; });
    const real left = team.max(C, [&](int k) { return y[k] == 1 && z[k] == best ? real(C - k) : real(0); });
    const int label = C - int(left); // the first of the best
    const real before = team.sum(C, [&](int k) {
      const bool after = z[k] < best || (z[k] == best && k >= label);
      return after ? real(0) : allowed ? allowed[k] : real(1);
    });
    team.once([&] { ranks[b] = left > 0 ? before : real(C); });
  }
};

// logits [B, C]; labels [B, C] on the device, 1 at each label; allowed [C] on the device or null -> B ranks
inline std::vector<int> label_ranks(Tape& t, Tensor logits, const real* labels, const real* allowed = nullptr) {
  const int B = logits.shape[0], C = logits.shape.last();
  const Temporary<real> memory = t.temporary<real>(B);
  t.device.rows(B, LabelRanks{memory.data, t.value(logits), labels, allowed, C});
  std::vector<real> ranks(B);
  t.device.download(ranks.data(), memory.data, B * sizeof(real));
  return {ranks.begin(), ranks.end()};
}

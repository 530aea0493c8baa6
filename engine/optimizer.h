// BigVision's optimizer chain: clip by the global norm, Adam, decoupled weight decay on kernels only.
//   n = √Σg²,  g ← g / n if n ≥ 1 (clip 1)
//   m = β₁ m + (1-β₁) g,  v = β₂ v + (1-β₂) g²,  u = (m / (1-β₁^(t+1))) / (√(v / (1-β₂^(t+1))) + ε)
//   θ -= s(t) (lr u + wd θ [kernel])           s(t): engine/schedule.h; the decay is not multiplied by lr
// m is kept in bfloat16 between steps as optax's mu_dtype: β₁ m is a product of two bfloat16, the update uses the unrounded m.
// defines: AdamOptions, GlobalNorm, Adam
#pragma once
#include <span>
#include "engine/bf16.h"
#include "engine/ops/elementwise.h"
#include "engine/parameters.h"

struct AdamOptions {
  double lr = 1e-3, weight_decay = 1e-4, clip = 1, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;   // clip 0: none
  bool operator==(const AdamOptions&) const = default;
};

struct AdamStep {
  real* theta; bf16* m; real* v; const real* g;
  real clip_scale, lr, decay, beta1, beta2, correction1, correction2, epsilon;     // lr and decay already times s(t)
  HD void operator()(size_t i) const {
    const real gi = g[i] * clip_scale;
    const real decayed = from_bf16(to_bf16(from_bf16(to_bf16(beta1)) * from_bf16(m[i])));      // a product of two bfloat16
    const real mi = decayed + (1 - beta1) * gi;
    const real vi = beta2 * v[i] + (1 - beta2) * gi * gi;
    m[i] = to_bf16(mi);
    v[i] = vi;
    theta[i] -= lr * (mi / correction1 / (std::sqrt(vi / correction2) + epsilon)) + decay * theta[i];
  }
};

inline constexpr size_t values_per_chunk = 4096;
struct SquaresOfChunk {                                     // partial[chunk] = Σ x² over a chunk
  real* partial; const real* x; size_t n;
  template <class Team> HD void operator()(Team team, size_t chunk) const {
    const size_t first = chunk * values_per_chunk, count = first + values_per_chunk < n ? values_per_chunk : n - first;
    const real s = team.sum(int(count), [&](int i) { return x[first + i] * x[first + i]; });
    team.once([&] { partial[chunk] = s; });
  }
};

// √Σx² over x[n] in device memory, in a fixed order; chunks in real, their sum in double
class GlobalNorm {
 public:
  GlobalNorm(Device& device, size_t n);
  ~GlobalNorm();
  GlobalNorm(const GlobalNorm&) = delete;
  double operator()(const real* x);

 private:
  Device& device_;
  size_t n_;
  std::vector<real> host_;
  real* partial_;
};

class Adam {
 public:
  Adam(Parameters& parameters, AdamOptions options);
  ~Adam();
  Adam(const Adam&) = delete;
  // One update from the gradients with multiplier s(t) of the schedule. Returns the norm before clipping; where that is
  // not finite, changes nothing.
  double step(double multiplier);
  int64_t count() const { return count_; }

  // What a checkpoint keeps, in the order of Parameters.
  std::vector<bf16> first_moment() const;
  std::vector<float> second_moment() const;
  void restore(int64_t count, std::span<const bf16> first, std::span<const float> second);

 private:
  Parameters& parameters_;
  AdamOptions options_;
  GlobalNorm norm_;
  bf16* m_;
  real* v_;
  int64_t count_ = 0;
};

// BigVision's optimizer chain: clip by the global norm, Adam, decoupled weight decay on kernels only.
//   n = √Σg²,  g ← g / n if n ≥ 1 (clip 1)
//   m = β₁ m + (1-β₁) g,  v = β₂ v + (1-β₂) g²,  u = (m / (1-β₁^(t+1))) / (√(v / (1-β₂^(t+1))) + ε)
//   θ -= s(t) (lr u + wd θ [kernel])           s(t): engine/schedule.h; the decay is not multiplied by lr
// m is kept in bfloat16 between steps as optax's mu_dtype: β₁ m is a product of two bfloat16, the update uses the
// unrounded m.
// defines: AdamOptions, GlobalNorm, Adam, MovingAverage
#pragma once
#include <functional>
#include <limits>
#include <span>
#include "engine/bf16.h"
#include "engine/ops/elementwise.h"
#include "engine/parameters.h"

struct AdamOptions {
  double lr = 1e-3, weight_decay = 1e-4, clip = 1, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;   // clip 0: none
  bool operator==(const AdamOptions&) const = default;
};

// Values a team takes at a time: a sum wants few teams, an update many, or a GPU's memory waits for their chains.
inline constexpr size_t values_per_sum = 4096, values_per_update = 512;
inline size_t chunks_of(size_t n, size_t values) { return (n + values - 1) / values; }
HD inline int chunk_size(size_t first, size_t values, size_t n) { return int(first + values < n ? values : n - first); }

struct SquaresOfChunk {                                     // partial[chunk] = Σ x² over a chunk
  real* partial; const real* x; size_t n;
  template <class Team> HD void operator()(Team team, size_t chunk) const {
    const size_t first = chunk * values_per_sum;
    const real* values = x + first;
    const real s = team.sum(chunk_size(first, values_per_sum, n), [&](int i) { return values[i] * values[i]; });
    team.once([&] { partial[chunk] = s; });
  }
};
struct RootOfSum {                                          // *norm = √Σ partial, summed in double
  real* norm; const real* partial; int chunks;
  template <class Team> HD void operator()(Team team, size_t) const {
    const double s = team.sum(chunks, [&](int i) { return double(partial[i]); });
    team.once([&] { *norm = real(std::sqrt(s)); });
  }
};

struct AdamStep {  // one chunk, which begins with `decayed` kernels; nothing where the norm is not finite
  real* theta; bf16* m; real* v; const real *g, *norm; size_t n, decayed;
  real clip, lr, decay, beta1, beta2, rest1, rest2, unbias1, unbias2,
      // rest: 1-β, which 1 minus a rounded β is not; unbias: 1 / (1-β^(t+1)); clip 0: none; lr and decay already times
      // s(t)
      epsilon;
  template <class Team> HD void operator()(Team team, size_t chunk) const {
    const real length = *norm;
    if (!(length <= std::numeric_limits<real>::max())) return;
    const real clip_scale = clip > 0 && length >= clip ? clip / length : real(1);
    const size_t first = chunk * values_per_update;
    const int count = chunk_size(first, values_per_update, n), kernels = decayed <= first ? 0
                                                                         : decayed - first < size_t(count)
                                                                             ? int(decayed - first)
                                                                             : count;
    team.each(count, [&](int k) {
      const size_t i = first + k;
      const real before = theta[i], gi = g[i] * clip_scale;  // all is read before anything is written
      const real kept = from_bf16(to_bf16(from_bf16(to_bf16(beta1)) * from_bf16(m[i])));  // a product of two bfloat16
      const real mi = kept + rest1 * gi;
      const real vi = beta2 * v[i] + rest2 * gi * gi;
      m[i] = to_bf16(mi);
      v[i] = vi;
      theta[i] = before -
                 (lr * (mi * unbias1 / (std::sqrt(vi * unbias2) + epsilon)) + (k < kernels ? decay : real(0)) * before);
    });
  }
};

struct Average {                                            // mean ← keep mean + (1 - keep) x
  real* mean; const real* x; real keep;
  HD void operator()(size_t i) const { mean[i] = keep * mean[i] + (1 - keep) * x[i]; }
};
struct Exchange {
  real *a, *b;
  HD void operator()(size_t i) const { const real x = a[i]; a[i] = b[i]; b[i] = x; }
};

// √Σx² over the gradients of a model, or over its values, in a fixed order
class GlobalNorm {
 public:
  explicit GlobalNorm(const Parameters& parameters);
  void start();
  const real* on_device() const { return norm_; }           // for what is started after start()
  double wait() const;
  double operator()() { start(); return wait(); }
  double of_values();

 private:
  void start(const std::function<const real*(const GradientPiece&)>& of);
  const Parameters& parameters_;
  size_t chunks_;
  DeviceMemory<real> partial_, norm_;
};

class Adam {
 public:
  Adam(Parameters& parameters, AdamOptions options);
  // One update from the gradients with multiplier s(t) of the schedule. finish() returns the norm before clipping;
  // where that is not finite, nothing was changed.
  void start(double multiplier);
  double finish();
  double step(double multiplier) { start(multiplier); return finish(); }
  int64_t count() const { return count_; }

  // What a checkpoint keeps, in the order of Parameters.
  std::vector<bf16> first_moment() const;
  std::vector<float> second_moment() const;
  void restore(int64_t count, std::span<const bf16> first, std::span<const float> second);

 private:
  Parameters& parameters_;
  AdamOptions options_;
  GlobalNorm norm_;
  DeviceMemory<bf16> m_;
  DeviceMemory<real> v_;
  int64_t count_ = 0;
};

// The exponential moving average of parameters: after update t = 0, 1, ... mean ← d mean + (1 - d) θ, from θ at
// construction on, where d = min(decay, (1 + t) / (10 + t)) as TensorFlow's and timm's warm-up have it: a constant
// decay would leave 0.9999^400 = 96 % of the random start in an average of 400 updates.
class MovingAverage {
 public:
  MovingAverage(Parameters& parameters, double decay);
  void add();                                               // the parameters as they are now
  void exchange();                                          // the mean becomes the parameters, and the other way round
  std::vector<float> values() const;
  int64_t count() const { return count_; }                  // updates so far
  void restore(std::span<const float> values, int64_t count);

 private:
  Parameters& parameters_;
  double decay_;
  DeviceMemory<real> mean_;
  int64_t count_ = 0;
};

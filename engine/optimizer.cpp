#include "engine/optimizer.h"
#include <cmath>
#include "engine/error.h"

GlobalNorm::GlobalNorm(Device& device, size_t n)
    : device_(device), n_(n), host_((n + values_per_chunk - 1) / values_per_chunk),
      partial_(static_cast<real*>(device.allocate(host_.size() * sizeof(real)))) {}

GlobalNorm::~GlobalNorm() { device_.release(partial_); }

double GlobalNorm::operator()(const real* x) {
  device_.rows(host_.size(), SquaresOfChunk{partial_, x, n_});
  device_.download(host_.data(), partial_, host_.size() * sizeof(real));
  double sum = 0;
  for (real s : host_) sum += s;
  return std::sqrt(sum);
}

Adam::Adam(Parameters& parameters, AdamOptions options) : parameters_(parameters), options_(options), norm_(parameters.device(), parameters.size()) {
  const size_t n = parameters.size();
  m_ = static_cast<bf16*>(parameters.device().allocate(n * sizeof(bf16)));
  v_ = static_cast<real*>(parameters.device().allocate(n * sizeof(real)));
  restore(0, std::vector<bf16>(n), std::vector<float>(n));
}

Adam::~Adam() {
  parameters_.device().release(m_);
  parameters_.device().release(v_);
}

double Adam::step(double multiplier) {
  Device& device = parameters_.device();
  const double norm = norm_(parameters_.gradients());
  if (!std::isfinite(norm)) return norm;
  const auto& [lr, decay, clip, beta1, beta2, epsilon] = options_;
  const double t = double(count_ + 1), clip_scale = clip > 0 && norm >= clip ? clip / norm : 1;
  for (auto [first, end, wd] : {std::tuple{size_t(0), parameters_.decayed_size(), decay}, {parameters_.decayed_size(), parameters_.size(), 0.0}})
    if (end > first)
      device.each(end - first, AdamStep{parameters_.values() + first, m_ + first, v_ + first, parameters_.gradients() + first, real(clip_scale),
                                        real(lr * multiplier), real(wd * multiplier), real(beta1), real(beta2),
                                        real(1 - std::pow(beta1, t)), real(1 - std::pow(beta2, t)), real(epsilon)});
  count_++;
  return norm;
}

std::vector<bf16> Adam::first_moment() const {
  std::vector<bf16> m(parameters_.size());
  parameters_.device().download(m.data(), m_, m.size() * sizeof(bf16));
  return m;
}

std::vector<float> Adam::second_moment() const {
  std::vector<real> v(parameters_.size());
  parameters_.device().download(v.data(), v_, v.size() * sizeof(real));
  return {v.begin(), v.end()};
}

void Adam::restore(int64_t count, std::span<const bf16> first, std::span<const float> second) {
  const size_t n = parameters_.size();
  if (first.size() != n || second.size() != n)
    fail(ExitCode::data, "optimizer state: {} and {} moments, expected {}", first.size(), second.size(), n);
  count_ = count;
  parameters_.device().upload(m_, first.data(), n * sizeof(bf16));
  const std::vector<real> v(second.begin(), second.end());
  parameters_.device().upload(v_, v.data(), n * sizeof(real));
}

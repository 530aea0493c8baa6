#include "engine/optimizer.h"
#include <algorithm>
#include <cmath>
#include "engine/error.h"

GlobalNorm::GlobalNorm(const Parameters& parameters) : parameters_(parameters) {
  for (const GradientPiece& piece : parameters.gradients()) chunks_ += chunks_of(piece.size, values_per_sum);
  partial_ = static_cast<real*>(parameters.device().allocate(chunks_ * sizeof(real)));
  norm_ = static_cast<real*>(parameters.device().allocate(sizeof(real)));
}

GlobalNorm::~GlobalNorm() {
  parameters_.device().release(partial_);
  parameters_.device().release(norm_);
}

void GlobalNorm::start() {
  start([](const GradientPiece& piece) {
    if (!piece.data) fail(ExitCode::failed, "optimizer: there are no gradients of values {} to {}; run the backward pass first", piece.first, piece.first + piece.size);
    return piece.data;
  });
}

double GlobalNorm::of_values() {
  start([&](const GradientPiece& piece) { return parameters_.values() + piece.first; });
  return wait();
}

void GlobalNorm::start(const std::function<const real*(const GradientPiece&)>& of) {
  real* partial = partial_;
  for (const GradientPiece& piece : parameters_.gradients()) {
    parameters_.device().rows(chunks_of(piece.size, values_per_sum), SquaresOfChunk{partial, of(piece), piece.size});
    partial += chunks_of(piece.size, values_per_sum);
  }
  parameters_.device().rows(1, RootOfSum{norm_, partial_, int(chunks_)});
}

double GlobalNorm::wait() const {
  real norm;
  parameters_.device().download(&norm, norm_, sizeof norm);
  return norm;
}

Adam::Adam(Parameters& parameters, AdamOptions options) : parameters_(parameters), options_(options), norm_(parameters) {
  const size_t n = parameters.size();
  m_ = static_cast<bf16*>(parameters.device().allocate(n * sizeof(bf16)));
  v_ = static_cast<real*>(parameters.device().allocate(n * sizeof(real)));
  restore(0, std::vector<bf16>(n), std::vector<float>(n));
}

Adam::~Adam() {
  parameters_.device().release(m_);
  parameters_.device().release(v_);
}

void Adam::start(double multiplier) {
  norm_.start();
  const auto& [lr, decay, clip, beta1, beta2, epsilon] = options_;
  const double t = double(count_ + 1);
  for (const GradientPiece& g : parameters_.gradients()) {
    const size_t decayed = std::clamp(parameters_.decayed_size(), g.first, g.first + g.size) - g.first;
    parameters_.device().rows(chunks_of(g.size, values_per_update), AdamStep{parameters_.values() + g.first, m_ + g.first, v_ + g.first, g.data, norm_.on_device(), g.size, decayed, real(clip), real(lr * multiplier),
                                                          real(decay * multiplier), real(beta1), real(beta2), real(1 / (1 - std::pow(beta1, t))), real(1 / (1 - std::pow(beta2, t))), real(epsilon)});
  }
}

double Adam::finish() {
  const double norm = norm_.wait();
  if (std::isfinite(norm)) count_++;
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

MovingAverage::MovingAverage(Parameters& parameters, double decay)
    : parameters_(parameters), decay_(decay), mean_(static_cast<real*>(parameters.device().allocate(parameters.size() * sizeof(real)))) {
  std::vector<real> values(parameters.size());
  parameters.device().download(values.data(), parameters.values(), values.size() * sizeof(real));
  parameters.device().upload(mean_, values.data(), values.size() * sizeof(real));
}

MovingAverage::~MovingAverage() { parameters_.device().release(mean_); }

void MovingAverage::add() { parameters_.device().each(parameters_.size(), Average{mean_, parameters_.values(), real(decay_)}); }

void MovingAverage::exchange() { parameters_.device().each(parameters_.size(), Exchange{mean_, parameters_.values()}); }

std::vector<float> MovingAverage::values() const {
  std::vector<real> mean(parameters_.size());
  parameters_.device().download(mean.data(), mean_, mean.size() * sizeof(real));
  return {mean.begin(), mean.end()};
}

void MovingAverage::restore(std::span<const float> values) {
  if (values.size() != parameters_.size()) fail(ExitCode::data, "moving average: {} values, expected {}", values.size(), parameters_.size());
  const std::vector<real> mean(values.begin(), values.end());
  parameters_.device().upload(mean_, mean.data(), mean.size() * sizeof(real));
}

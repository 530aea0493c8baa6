#include "engine/optimizer.h"
#include <algorithm>
#include <cmath>
#include "engine/error.h"
#include "engine/signals.h"

namespace {
// Calls part(first, size) for all of n values, a piece at a time, and hears a signal in between: of large models each
// pass over the memory takes seconds.
constexpr size_t piece = size_t(1) << 22;
template <class Part> void in_pieces(size_t n, Part part) {
  for (size_t first = 0; first < n; first += piece) {
    stop_if_asked();
    part(first, std::min(piece, n - first));
  }
}

size_t chunks_of_all(const Parameters& parameters) {
  size_t chunks = 0;
  for (const GradientPiece& piece : parameters.gradients()) chunks += chunks_of(piece.size, values_per_sum);
  return chunks;
}
}  // namespace

GlobalNorm::GlobalNorm(const Parameters& parameters)
    : parameters_(parameters),
      chunks_(chunks_of_all(parameters)),
      partial_(parameters.device(), chunks_),
      norm_(parameters.device(), 1) {}

void GlobalNorm::start() {
  start([](const GradientPiece& piece) {
    if (!piece.data)
      fail(ExitCode::failed, "optimizer: there are no gradients of values {} to {}; run the backward pass first",
           piece.first, piece.first + piece.size);
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

Adam::Adam(Parameters& parameters, AdamOptions options)
    : parameters_(parameters), options_(options), norm_(parameters), m_(parameters.device(), parameters.size()),
      v_(parameters.device(), parameters.size()) {
  const std::vector<real> zeros(std::min(parameters.size(), piece));
  in_pieces(parameters.size(), [&](size_t first, size_t size) {
    parameters.device().upload(m_ + first, zeros.data(), size * sizeof(bf16));
    parameters.device().upload(v_ + first, zeros.data(), size * sizeof(real));
  });
}

void Adam::start(double multiplier) {
  norm_.start();
  const auto unbias = [t = real(count_ + 1)](double beta) {
    return 1 / (1 - std::pow(real(beta), t));
  };  // in float, as optax
  for (const GradientPiece& g : parameters_.gradients()) {
    const size_t decayed = std::clamp(parameters_.decayed_size(), g.first, g.first + g.size) - g.first;
    parameters_.device().rows(
        chunks_of(g.size, values_per_update),
        AdamStep{.theta = parameters_.values() + g.first,
                 .m = m_ + g.first,
                 .v = v_ + g.first,
                 .g = g.data,
                 .norm = norm_.on_device(),
                 .n = g.size,
                 .decayed = decayed,
                 .clip = real(options_.clip),
                 .lr = real(options_.lr * multiplier),
                 .decay = real(options_.weight_decay * multiplier),
                 .beta1 = real(options_.beta1),
                 .beta2 = real(options_.beta2),
                 .rest1 = real(1 - options_.beta1),
                 .rest2 = real(1 - options_.beta2),
                 .unbias1 = unbias(options_.beta1),
                 .unbias2 = unbias(options_.beta2),
                 .epsilon = real(options_.epsilon)});
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
  in_pieces(n, [&](size_t at, size_t size) {
    parameters_.device().upload(m_ + at, first.data() + at, size * sizeof(bf16));
    const std::vector<real> v(second.begin() + at, second.begin() + at + size);
    parameters_.device().upload(v_ + at, v.data(), size * sizeof(real));
  });
}

MovingAverage::MovingAverage(Parameters& parameters, double decay)
    : parameters_(parameters), decay_(decay), mean_(parameters.device(), parameters.size()) {
  in_pieces(parameters.size(), [&](size_t first, size_t size) {
    std::vector<real> values(size);
    parameters.device().download(values.data(), parameters.values() + first, size * sizeof(real));
    parameters.device().upload(mean_ + first, values.data(), size * sizeof(real));
  });
}

void MovingAverage::add() {
  const double t = double(count_++), keep = std::min(decay_, (1 + t) / (10 + t));
  parameters_.device().each(parameters_.size(), Average{mean_, parameters_.values(), real(keep)});
}

void MovingAverage::exchange() { parameters_.device().each(parameters_.size(), Exchange{mean_, parameters_.values()}); }

std::vector<float> MovingAverage::values() const {
  std::vector<real> mean(parameters_.size());
  parameters_.device().download(mean.data(), mean_, mean.size() * sizeof(real));
  return {mean.begin(), mean.end()};
}

void MovingAverage::restore(std::span<const float> values, int64_t count) {
  if (values.size() != parameters_.size())
    fail(ExitCode::data, "moving average: {} values, expected {}", values.size(), parameters_.size());
  const std::vector<real> mean(values.begin(), values.end());
  parameters_.device().upload(mean_, mean.data(), mean.size() * sizeof(real));
  count_ = count;
}

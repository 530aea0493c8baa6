#include "engine/parameters.h"
#include <algorithm>
#include <utility>
#include "engine/error.h"
#include "engine/hash.h"
#include "engine/ops/elementwise.h"
#include "engine/signals.h"

std::vector<GradientPiece> gradient_pieces(const std::vector<Parameter>& list) {
  size_t all = 0, first = 0;
  for (const Parameter& p : list) all += p.shape.size();
  const size_t least = all / 16;                            // of a piece: about a block of a small model
  std::vector<GradientPiece> pieces;
  for (bool decayed : {true, false})
    for (const Parameter& p : list) {
      if (p.decayed != decayed) continue;
      if (pieces.empty() || pieces.back().size >= least) pieces.push_back({first, 0});
      pieces.back().size += p.shape.size();
      first += p.shape.size();
    }
  return pieces;
}

Parameters::Parameters(Device& device, std::vector<Parameter> list)
    : device_(device), list_(std::move(list)) {
  for (bool decayed : {true, false}) {
    for (Parameter& p : list_)
      if (p.decayed == decayed) { p.offset = size_; size_ += p.shape.size(); }
    if (decayed) decayed_size_ = size_;
  }
  values_ = static_cast<real*>(device_.allocate(size_ * sizeof(real)));
  device_.each(size_, Fill{values_, 0});
  gradients_ = gradient_pieces(list_);
}

Parameters::~Parameters() {
  forget_gradients();
  device_.release(values_);
}

size_t Parameters::index(const std::string& name) const {
  for (size_t i = 0; i < list_.size(); i++)
    if (list_[i].name == name) return i;
  fail(ExitCode::failed, "parameters: no '{}' in this model", name);
}
const Parameter& Parameters::find(const std::string& name) const { return list_[index(name)]; }
bool Parameters::has(const std::string& name) const {
  return std::any_of(list_.begin(), list_.end(), [&](const Parameter& p) { return p.name == name; });
}

void Parameters::initialise(uint64_t seed) {
  for (const Parameter& p : list_) {
    Random random(seed, purpose::initialisation, fnv1a(p.name));
    std::vector<float> values(p.shape.size());
    for (size_t i = 0; i < values.size(); i++) values[i] = float(p.initial(random, i));
    set(p.name, values);
  }
}

void Parameters::set(const std::string& name, const std::vector<float>& values) {
  stop_if_asked();                                          // a large model is filled for many seconds
  const Parameter& p = find(name);
  if (values.size() != p.shape.size())
    fail(ExitCode::data, "parameter {}: {} values, expected {}", name, values.size(), p.shape.text());
  const std::vector<real> converted(values.begin(), values.end());
  device_.upload(values_ + p.offset, converted.data(), converted.size() * sizeof(real));
}

std::vector<float> Parameters::download(const real* from, const Parameter& p) const {
  std::vector<real> values(p.shape.size());
  device_.download(values.data(), from, values.size() * sizeof(real));
  return {values.begin(), values.end()};
}
std::vector<float> Parameters::get(const Parameter& p) const { return download(values_ + p.offset, p); }
std::vector<float> Parameters::gradient(const Parameter& p) const {
  const GradientPiece& piece = piece_of(p);
  return piece.data ? download(piece.data + (p.offset - piece.first), p) : std::vector<float>(p.shape.size());
}

GradientPiece& Parameters::piece_of(const Parameter& p) const {
  return *std::prev(std::upper_bound(gradients_.begin(), gradients_.end(), p.offset,
                                     [](size_t offset, const GradientPiece& piece) { return offset < piece.first; }));
}

void Parameters::forget_gradients() const {
  for (GradientPiece& piece : gradients_)
    if (piece.data) piece.pool->give(std::exchange(piece.data, nullptr), piece.size), piece.pool.reset();
}

real* Parameters::gradient_memory(const Parameter& p, const std::shared_ptr<Pool>& pool) const {
  GradientPiece& piece = piece_of(p);
  if (!piece.data) {
    piece.pool = pool;
    piece.data = pool->take<real>(piece.size);
    device_.each(piece.size, Fill{piece.data, 0});
  }
  return piece.data + (p.offset - piece.first);
}

Tensor Parameters::leaf(Tape& tape, const std::string& name) const {
  const Parameter& p = find(name);
  return tape.leaf(p.name, p.shape, values_ + p.offset,
                   [this, &p](const std::shared_ptr<Pool>& pool) { return gradient_memory(p, pool); });
}

#include "engine/parameters.h"
#include <algorithm>
#include "engine/error.h"
#include "engine/ops/elementwise.h"

Parameters::Parameters(Device& device, std::vector<Parameter> list) : device_(device), list_(std::move(list)) {
  for (bool decayed : {true, false}) {
    for (Parameter& p : list_)
      if (p.decayed == decayed) { p.offset = size_; size_ += p.shape.size(); }
    if (decayed) decayed_size_ = size_;
  }
  values_ = static_cast<real*>(device_.allocate(size_ * sizeof(real)));
  gradients_ = static_cast<real*>(device_.allocate(size_ * sizeof(real)));
  for (real* array : {values_, gradients_}) device_.each(size_, Fill{array, 0});
}

Parameters::~Parameters() {
  device_.release(values_);
  device_.release(gradients_);
}

bool Parameters::has(const std::string& name) const {
  return std::any_of(list_.begin(), list_.end(), [&](const Parameter& p) { return p.name == name; });
}

const Parameter& Parameters::find(const std::string& name) const {
  for (const Parameter& p : list_)
    if (p.name == name) return p;
  fail(ExitCode::failed, "parameters: no '{}' in this model", name);
}

void Parameters::set(const std::string& name, const std::vector<float>& values) {
  const Parameter& p = find(name);
  if (values.size() != p.shape.size()) fail(ExitCode::data, "parameter {}: {} values, expected {}", name, values.size(), p.shape.text());
  const std::vector<real> converted(values.begin(), values.end());
  device_.upload(values_ + p.offset, converted.data(), converted.size() * sizeof(real));
}

std::vector<float> Parameters::download(const real* from, const Parameter& p) const {
  std::vector<real> values(p.shape.size());
  device_.download(values.data(), from + p.offset, values.size() * sizeof(real));
  return {values.begin(), values.end()};
}
std::vector<float> Parameters::get(const Parameter& p) const { return download(values_, p); }
std::vector<float> Parameters::gradient(const Parameter& p) const { return download(gradients_, p); }

Tensor Parameters::leaf(Tape& tape, const std::string& name, bool accumulate) const {
  const Parameter& p = find(name);
  return tape.leaf(p.name, p.shape, values_ + p.offset, gradients_ + p.offset, accumulate);
}

// The parameters of a model: named views of one flat array with one flat gradient, so that the optimizer is one pass, the
// norm one reduction and a checkpoint one read. Those with weight decay come first.
// defines: Parameter, Parameters
#pragma once
#include <string>
#include <vector>
#include "engine/tape.h"

struct Parameter {
  std::string name;
  Shape shape;
  bool decayed;                                             // a kernel in BigVision's sense: weight decay applies
  size_t offset = 0;                                        // in the flat array
};

class Parameters {
 public:
  Parameters(Device& device, std::vector<Parameter> list);  // memory is zeroed
  ~Parameters();
  Parameters(const Parameters&) = delete;

  const std::vector<Parameter>& list() const { return list_; }
  const Parameter& find(const std::string& name) const;     // fails naming it
  bool has(const std::string& name) const;
  size_t size() const { return size_; }                     // values in all
  size_t decayed_size() const { return decayed_size_; }     // the first so many have weight decay
  Device& device() const { return device_; }
  real* values() const { return values_; }
  real* gradients() const { return gradients_; }

  void set(const std::string& name, const std::vector<float>& values);
  std::vector<float> get(const Parameter& parameter) const;
  std::vector<float> gradient(const Parameter& parameter) const;

  // The parameter as a leaf of the tape; its gradient lands in the flat gradient (added to it if `accumulate`).
  Tensor leaf(Tape& tape, const std::string& name, bool accumulate = false) const;

 private:
  std::vector<float> download(const real* from, const Parameter& parameter) const;
  Device& device_;
  std::vector<Parameter> list_;
  size_t size_ = 0, decayed_size_ = 0;
  real *values_ = nullptr, *gradients_ = nullptr;
};

// The parameters of a model: named views of one flat array, so that a checkpoint is one read. Those with weight decay
// come first. Their gradients are a few pieces of the same order, each in memory of the tape that makes it, from then
// on until they are forgotten: the last layers' take the place of activations that the backward pass is done with.
// defines: Parameter, GradientPiece, gradient_pieces, Parameters
#pragma once
#include <memory>
#include <string>
#include <vector>
#include "engine/initial.h"
#include "engine/tape.h"

struct Parameter {
  std::string name;
  Shape shape;
  bool decayed;                                             // a kernel in BigVision's sense: weight decay applies
  Initial initial = ::initial::constant(0);
  size_t offset = 0;                                        // in the flat array
};

// Gradients of the values [first, first + size): zeros when the memory is taken, to which all are added.
struct GradientPiece {
  size_t first, size;
  real* data = nullptr;                                     // null: there are none
  std::shared_ptr<Pool> pool = nullptr;                     // whose memory it is
};

// How the gradients of such parameters are cut, those with weight decay first.
std::vector<GradientPiece> gradient_pieces(const std::vector<Parameter>& list);

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
  const std::vector<GradientPiece>& gradients() const { return gradients_; }
  void forget_gradients() const;

  // Every parameter as its `initial` says; its numbers depend on the seed and on its name alone.
  void initialise(uint64_t seed);
  void set(const std::string& name, const std::vector<float>& values);
  std::vector<float> get(const Parameter& parameter) const;
  std::vector<float> gradient(const Parameter& parameter) const;      // zeros where there is none

  // The parameter as a leaf of the tape. Its gradients add up: over leaves, tapes and passes, until they are forgotten.
  Tensor leaf(Tape& tape, const std::string& name) const;

 private:
  real* gradient_memory(const Parameter& parameter, const std::shared_ptr<Pool>& pool) const;
  size_t index(const std::string& name) const;
  GradientPiece& piece_of(const Parameter& parameter) const;
  std::vector<float> download(const real* from, const Parameter& parameter) const;
  Device& device_;
  std::vector<Parameter> list_;
  size_t size_ = 0, decayed_size_ = 0;
  real* values_ = nullptr;
  mutable std::vector<GradientPiece> gradients_;  // of passes over the parameters, which leave them as they are
};

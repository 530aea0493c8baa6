// The attention of a block: from its normalised tokens to what the block adds to x, for every function, family and
// form, with its parameters, costs and what makes no sense.
// defines: Pass, AttentionConstants, attention_layer, ParameterAdder, attention_parameters, attention_options,
//          check_attention, attention_multiply_adds, attention_kept, only_here
#pragma once
#include "engine/attention/probe.h"
#include "engine/parameters.h"
#include "models/config.h"

// One pass over a model: its parameters as leaves of a tape, by name.
struct Pass {
  Tape& t;
  const Parameters& parameters;
  Tensor operator()(const std::string& name) const { return parameters.leaf(t, name); }
  Tensor linear(Tensor x, const std::string& name, Tensor residual = {}, Kept kept = Kept::full) const;
  Tensor layernorm(Tensor x, const std::string& name, Kept kept = Kept::full) const;
  Tensor if_learned(const std::string& name) const { return parameters.has(name) ? (*this)(name) : Tensor{}; }
  // residual + linear(x), or with LayerScale residual + λ linear(x)
  Tensor branch(Tensor x, const std::string& name, Tensor residual, const std::string& scale) const;
};

// Numbers of a linear family that no training changes (engine/attention/families.h), in device memory; most have none.
class AttentionConstants {
 public:
  AttentionConstants(Device& device, const ViTConfig& config);
  ~AttentionConstants();
  AttentionConstants(const AttentionConstants&) = delete;
  Tensor leaf(Tape& tape, int layer) const;                   // or none

 private:
  Device& device_;
  Shape shape_;
  real* values_ = nullptr;                                    // layer after layer
};

// x + what attention makes of n = norm1(x), both [B,L,D]; parameters "blocks.<layer>.attn...". Drops n. Where the head
// reads the class token alone, the last layer gives that token alone, [B,D].
Tensor attention_layer(const Pass& pass, const ViTConfig& config, int layer, Tensor x, Tensor n,
                       const AttentionConstants& constants, AttentionProbe* probe);

// Appends parameters to a list; kernels, which are weights of more than one axis, are decayed.
struct ParameterAdder {
  std::vector<Parameter>& list;
  void operator()(const std::string& name, Shape shape, const Initial& initial = initial::constant(0)) const;
  void linear(const std::string& name, int out, int in, const Initial& weight,
              const Initial& bias = initial::constant(0)) const;
  void layernorm(const std::string& name, int width) const;
  void qk_norm(const std::string& prefix, const ViTConfig& c) const;    // if there is one
};

// adds the parameters in the order of the computation
void attention_parameters(const ViTConfig& config, const std::string& prefix, const ParameterAdder& add);

// what there is beside the function: ", qk-norm, gate sigmoid, learned gamma"
std::string attention_options(const ViTConfig& config);

void check_attention(const ViTConfig& config);               // usage errors with the reason
double attention_multiply_adds(const ViTConfig& config, int layer);      // of one image
// values a token and block between forward and backward; about
double attention_kept(const ViTConfig& config, bool rounded);
std::string only_here(const ViTConfig& config);              // the first option that BigVision has not; or empty

// The Vision Transformer of BigVision (models/vit.py) with any attention function. Parameters carry timm's names,
// shapes and layouts: a linear weight is [out, in].
// defines: ViT, Features, BackwardOptions, check_config, forward_flops, parameter_count, kept_bytes, sincos2d
#pragma once
#include <span>
#include "models/attention/layer.h"

// What can be read on the way to the logits.
struct Features {
  Tensor pre_logits;                   // [B, D]: what the head sees, after tanh where there is a hidden layer
};

struct BackwardOptions {
  // keep of each block its input alone, and compute it again: less memory, a third more work
  bool rematerialise = false;
};

class ViT {
 public:
  ViT(Device& device, const ViTConfig& config);
  ~ViT();
  ViT(const ViT&) = delete;

  // Every name and shape, with BigVision's initialisation.
  static std::vector<Parameter> parameter_list(const ViTConfig& config);
  const ViTConfig& config() const { return config_; }
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

  void initialise(uint64_t seed) { parameters_.initialise(seed); }

  // images [B, image_size, image_size, 3] -> logits [B, classes]. `probes`: one a block, or none; null where not
  // wanted.
  Tensor forward(Tape& tape, Tensor images, std::span<AttentionProbe* const> probes = {}, Features* features = nullptr,
                 BackwardOptions backward = {}) const;

 private:
  Tensor embed(const Pass& pass, Tensor images) const;
  Tensor block(const Pass& pass, int i, Tensor x, AttentionProbe* probe) const;
  Tensor mlp(const Pass& pass, const std::string& name, Tensor normalised, Tensor residual,
             const std::string& scale = "") const;
  Tensor attention_pool(const Pass& pass, Tensor x) const;

  ViTConfig config_;
  Parameters parameters_;
  AttentionConstants constants_;
  real* sincos_ = nullptr;             // [1, N, D] on the device where position is sincos2d
};

void check_config(const ViTConfig& config);            // usage errors with the reason where it makes no sense
double forward_flops(const ViTConfig& config);         // of one image; a multiply-add counts 2
size_t parameter_count(const ViTConfig& config);
// of one image, between forward and backward, about; rounded: what products read is kept in bfloat16
double kept_bytes(const ViTConfig& config, bool rematerialise, bool rounded);

// [1, height width, D]: (sin xω, cos xω, sin yω, cos yω), D/4 frequencies ω from 1 down to 1e-4 (BigVision's posemb
// "sincos2d")
std::vector<float> sincos2d(int height, int width, int D);

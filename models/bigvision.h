// BigVision's names and layouts of ViT weights, old and new, turned into timm's, and back into the new ones.
// defines: BigVisionWeights, read_bigvision, write_bigvision
#pragma once
#include "models/weights.h"

struct BigVisionWeights {
  std::map<std::string, NamedTensor> tensors;    // timm's names and layouts
  int heads;
};

// Reads the .npz of a BigVision or vit_jax run: parameters alone, or a checkpoint, whose optimizer state is left out.
BigVisionWeights read_bigvision(const std::filesystem::path& path);

// Writes `tensors`, named as weight_shapes(config) has them, as an .npz that BigVision loads. What flax has no name for
// goes by "gate" beside query, key and value.
void write_bigvision(const std::filesystem::path& path, const ViTConfig& config,
                     const std::map<std::string, NamedTensor>& tensors);

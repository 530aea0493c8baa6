// BigVision's names and layouts of ViT weights, old and new, turned into timm's.
// defines: BigVisionWeights, read_bigvision
#pragma once
#include "models/weights.h"

struct BigVisionWeights {
  std::map<std::string, NamedTensor> tensors;    // timm's names and layouts
  int heads;
};

// Reads the .npz of a BigVision or vit_jax run: parameters alone, or a checkpoint, whose optimizer state is left out.
BigVisionWeights read_bigvision(const std::filesystem::path& path);

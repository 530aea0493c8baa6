// The training recipes that have a name: BigVision's configurations and the studies of 2309.08586 with them.
// defines: apply_recipe, recipe_names, recipe_models
#pragma once
#include <string>
#include "models/train_options.h"

// Sets what the recipe says as the defaults of `options`; `model` (empty: the recipe's own) chooses the augmentation.
// Usage error where recipe or model is unknown to it.
//   i1k, i21k       BigVision's configs/vit_i1k.py and vit_i21k.py with qk-norm, as the paper ran them
//   vit-s16-i1k     BigVision's configs/vit_s16_i1k.py, "Better plain ViT baselines for ImageNet-1k"
//   figure1 ... 4   the grids of the paper's figures (figure2-i21k: its upper row); with -small on CIFAR-10
void apply_recipe(TrainOptions& options, const std::string& name, const std::string& model);
std::string recipe_names();

// The models of a figure of the paper, which train one after another where none is given; empty for other recipes.
std::vector<std::string> recipe_models(const std::string& name);

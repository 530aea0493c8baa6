// The sizes of the Vision Transformers by name, as in BigVision's models/vit.py: "S/16" is variant S with patches of 16 pixels.
// defines: set_variant, variant_names, heads_of_size
#pragma once
#include <set>
#include <string>
#include "models/config.h"

void set_variant(ViTConfig& config, const std::string& name);     // width, depth, heads, MLP width, patch; usage error if unknown
std::string variant_names();                                      // "mu, Ti, S, ..."

// The numbers of heads that ViTs of BigVision and timm have at a config's width, depth, MLP width and pooling; none, one
// or, where files of the same sizes differ, several.
std::set<int> heads_of_size(const ViTConfig& config);

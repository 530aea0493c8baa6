// The sizes of the Vision Transformers by name, as in BigVision's models/vit.py: "S/16" is variant S with patches of 16 pixels.
// defines: set_variant, variant_names
#pragma once
#include <string>
#include "models/config.h"

void set_variant(ViTConfig& config, const std::string& name);     // width, depth, heads, MLP width, patch; usage error if unknown
std::string variant_names();                                      // "mu, Ti, S, ..."

// The sizes of the Vision Transformers by name, as in BigVision's models/vit.py: "S/16" is variant S with patches of 16
// pixels.
// defines: set_variant, known_model, known_models, variant_names, heads_of_size
#pragma once
#include <set>
#include <string>
#include "models/config.h"

// width, depth, heads, MLP width, patch; usage error if unknown
void set_variant(ViTConfig& config, const std::string& name);
// "S/16" of "s/16", "S16" and timm's "vit_small_patch16_224", whose own pooling and GELU a note on stderr tells; usage
// error if unknown.
std::string known_model(const std::string& text);
std::string known_models(const std::string& text);                // of several with commas
std::string variant_names();                                      // "mu, Ti, S, ..."

// The numbers of heads that ViTs of BigVision and timm have at a config's width, depth, MLP width and pooling; none,
// one or, where files of the same sizes differ, several.
std::set<int> heads_of_size(const ViTConfig& config);

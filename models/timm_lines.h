// How timm opens weights that were exported for it, and what it would compute otherwise than this program.
// defines: timm_cannot, timm_lines
#pragma once
#include <string>

#include "models/config.h"

// What timm's VisionTransformer has not, in words for a note: "attention relu, for which it computes softmax; ..."; or
// empty.
std::string timm_cannot(const ViTConfig& config);

// Lines of Python that load `file` into `model`, with φ, gate and hidden layer put in where timm has none. Empty where
// a few lines do not do it: other forms of attention, blocks, learned numbers, functions that are no formula of a row.
std::string timm_lines(const ViTConfig& config, const std::string& file);

// What --learn gives each block to learn beside the paper's parameters: a comma list of
//   alpha, gamma, bias, temperature    numbers of attention (engine/attention/learned.h), one a head; alpha-layer, ...: one a block
//   layerscale, layerscale:X           x + λ branch(x) for both branches, λ starting at X (1e-4)
// and the number that an attention function has of its own. Nothing of this has weight decay.
// defines: LearnedParameter, learned_parameters
#pragma once
#include <string>
#include <vector>
#include "models/config.h"

struct LearnedParameter {
  std::string name;                    // after "blocks.i."
  int size;
  double initial;                      // so that nothing is changed, but by layerscale
};
// Of each block. A list that makes no sense for config.attention is a usage error with the reason.
std::vector<LearnedParameter> learned_parameters(const ViTConfig& config);

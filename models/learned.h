// What --learn gives each block to learn beside the paper's parameters: a comma list of
//   alpha, gamma, bias, temperature
//     numbers of attention (engine/attention/learned.h), one a head; alpha-layer, ...: one a block
//   layerscale, layerscale:X           x + λ branch(x) for both branches, λ starting at X (1e-4)
// and the number that an attention function has of its own. Nothing of this has weight decay.
// defines: LearnedParameter, learned_parameters, known_learned, LearnedNumber, learned_numbers
#pragma once
#include <string>
#include <vector>
#include "engine/parameters.h"
#include "models/config.h"

struct LearnedParameter {
  std::string name;                    // after "blocks.i."
  int size;
  double initial;                      // so that nothing is changed, but by layerscale
};
// Of each block. A list that makes no sense for config.attention is a usage error with the reason.
std::vector<LearnedParameter> learned_parameters(const ViTConfig& config);
// What --learn takes, with the names as they are known here (see same_name); usage error if one is not.
std::string known_learned(const std::string& text);

// What a block has learned so far, as people read it: gamma and temperature, not their logarithms; of layerscale the
// mean magnitude; and the lambda of differential attention.
struct LearnedNumber {
  std::string name;  // alpha, gamma, bias, temperature, sink, ssmax_scale, layerscale_attention, layerscale_mlp, lambda
  std::vector<double> values;          // one a head, or one
};
std::vector<LearnedNumber> learned_numbers(const Parameters& parameters, const ViTConfig& config, int layer);

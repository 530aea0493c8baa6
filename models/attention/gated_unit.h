// The gated attention unit (Hua et al. 2022, 2202.10447, section 3.2) without its relative position bias, --block gau:
// one head of the width of a head, whose values and gate are 2D wide: x + (A silu(n Wv) ⊙ silu(n Wu)) Wo. It stands for
// attention and MLP.
// defines: gated_unit, gated_unit_parameters, check_gated_unit, gated_unit_multiply_adds, gated_unit_saved
#pragma once
#include "models/attention/layer.h"

// As attention_layer().
Tensor gated_unit(const Pass& pass, const ViTConfig& c, const std::string& prefix, Tensor x, Tensor n,
                  AttentionProbe* probe);
void gated_unit_parameters(const ViTConfig& c, const std::string& prefix, const ParameterAdder& add);
void check_gated_unit(const ViTConfig& c);                     // usage errors with the reason
double gated_unit_multiply_adds(const ViTConfig& c);           // of one image
double gated_unit_saved(const ViTConfig& c);                   // values a token between forward and backward; about

// What a form of attention works on.
// defines: FormInputs
#pragma once
#include "engine/attention/attention.h"
#include "models/attention/form.h"

// q, k, v are views of what the projection and qk-norm made, [B,L,·] with c.heads heads of c.head_width() channels.
struct FormInputs {
  const Pass& pass;
  const ViTConfig& c;
  int layer;
  std::string prefix;                  // of the layer's parameters: "blocks.3.attn."
  HeadView q, k, v;
  AttentionProbe* probe;
  Kept kept;                           // for_products: products alone will read the output
  Tensor parameter(const char* name) const { return pass(prefix + name); }
};

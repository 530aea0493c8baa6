// The shape of a Vision Transformer, as BigVision's models/vit.py parameterises it. What each option may be and means:
// models/options.h.
// defines: ViTConfig
#pragma once
#include <string>

#include "engine/channels.h"

struct ViTConfig {
  int image_size = 224, patch = 16;
  int width = 384, depth = 12, heads = 6, mlp_width = 1536;
  int classes = 1000;
  std::string pool = "gap";            // where the head reads
  std::string position = "learned";
  bool head_hidden = false;            // Dense(width) and tanh before the head (BigVision's rep_size)
  double head_bias = 0;                // initial bias of the head
  std::string gelu = "tanh";           // the form of GELU in the MLP
  std::string attention = "softmax";   // a name of engine/attention/functions.h or families.h
  double alpha = 1;                    // weights are L^-alpha h(scores); softmax does not use it
  bool qk_norm = false;                // LayerNorm with scale over the head width of q and k
  bool gate = false;                   // o * silu(x Wg + bg) before the output projection
  std::string learn = "";              // what else is learned: a list of models/learned.h
  std::string gate_function = "silu";
  std::string form = "plain";          // what is done with the weights
  std::string output_norm = "none";    // of the heads' output
  std::string block = "pre-norm";

  Channels mean{0.5f, 0.5f, 0.5f};      // a pixel x of 0 ... 1 is (x - mean) / std to the model
  Channels std{0.5f, 0.5f, 0.5f};

  int head_width() const { return width / heads; }
  int attention_heads() const { return block == "gau" ? 1 : heads; }               // maps from query to key in a block
  int value_width() const { return block == "gau" ? 2 * width : head_width(); }    // channels of v to each of them
  int grid() const { return image_size / patch; }
  int tokens() const { return grid() * grid() + (pool == "cls" ? 1 : 0); }    // L: keys a query sees
  // tokens of a block's result that anything reads
  int outputs(int layer) const { return pool == "cls" && layer == depth - 1 ? 1 : tokens(); }
  bool operator==(const ViTConfig&) const = default;
};

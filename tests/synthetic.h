// Made-up values, a small ViT with every option and a batch for it.
// defines: random_values, small_vit, MadeUpBatch, made_up_batch
#pragma once
#include <vector>
#include "engine/random.h"
#include "models/config.h"

// N(0, 1), another sequence for every `item`
inline std::vector<float> random_values(size_t n, uint64_t item) {
  Random random(1, purpose::synthetic, item);
  std::vector<float> values(n);
  for (float& x : values) x = float(random.normal());
  return values;
}

inline ViTConfig small_vit(const std::string& attention) {
  return {.image_size = 32, .patch = 4, .width = 48, .depth = 2, .heads = 3, .mlp_width = 96, .classes = 10, .pool = "cls",
          .head_hidden = true, .attention = attention, .qk_norm = true, .gate = true};
}

struct MadeUpBatch {
  std::vector<float> images, labels;
};
inline MadeUpBatch made_up_batch(const ViTConfig& config, int size) {
  MadeUpBatch batch{random_values(size_t(size) * config.image_size * config.image_size * 3, 1), std::vector<float>(size_t(size) * config.classes)};
  for (int b = 0; b < size; b++) batch.labels[size_t(b) * config.classes + b % config.classes] = 1;
  return batch;
}

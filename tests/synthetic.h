// Made-up values, a small ViT with every option and a batch for it.
// defines: random_values, small_vit, MadeUpBatch, made_up_batch, MadeUpPixels, made_up_pixels
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
  return {.image_size = 32,
          .patch = 4,
          .width = 48,
          .depth = 2,
          .heads = 3,
          .mlp_width = 96,
          .classes = 10,
          .pool = "cls",
          .head_hidden = true,
          .attention = attention,
          .qk_norm = true,
          .gate = true};
}

struct MadeUpBatch {
  std::vector<float> images, labels;
};
// The same as bytes, which are quick to make.
struct MadeUpPixels {
  std::vector<uint8_t> pixels;
  std::vector<float> labels;
};
inline std::vector<float> made_up_labels(int size, int classes) {
  std::vector<float> labels(size_t(size) * classes);
  for (int b = 0; b < size; b++) labels[size_t(b) * classes + b % classes] = 1;
  return labels;
}
inline MadeUpPixels made_up_pixels(const ViTConfig& config, int size) {
  MadeUpPixels batch{std::vector<uint8_t>(size_t(size) * config.image_size * config.image_size * 3),
                     made_up_labels(size, config.classes)};
  for (size_t i = 0; i < batch.pixels.size(); i++) batch.pixels[i] = uint8_t((i + 1) * 0x9E3779B97F4A7C15u >> 56);
  return batch;
}

inline MadeUpBatch made_up_batch(const ViTConfig& config, int size) {
  return {random_values(size_t(size) * config.image_size * config.image_size * 3, 1),
          made_up_labels(size, config.classes)};
}

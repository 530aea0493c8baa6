// Small models for tests of what is seen inside, with all gradients there.
// defines: config_of, train_a_little
#pragma once
#include "models/statistics.h"
#include "models/train_step.h"
#include "tests/synthetic.h"

inline ViTConfig config_of(const std::string& attention) {
  ViTConfig c = small_vit(attention);
  c.image_size = 16, c.depth = 3;
  return c;
}

// A few updates, so that all gradients are there; wide scores for functions that saturate.
inline void train_a_little(ViT& vit, const MadeUpBatch& batch) {
  vit.initialise(1);
  for (int i = 0; i < vit.config().depth; i++)
    vit.parameters().set(
        fmt::format("blocks.{}.attn.q_norm.weight", i),
        std::vector<float>(vit.config().head_width(),
                           saturation_of(vit.config().attention, vit.config().tokens()).any() ? 4 : 1));
  Adam adam(vit.parameters(), {.lr = 1e-3});
  TrainStep step(vit, adam, {});
  for (int i = 0; i < 4; i++) step(batch.images, batch.labels, 1);
}

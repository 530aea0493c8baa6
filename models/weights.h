// Weights of a Vision Transformer in files: our own safetensors, timm's safetensors, BigVision's npz.
// defines: NamedTensor, Weights, weight_shapes, read_weights, write_weights, state_key
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/fields.h"

struct NamedTensor {
  std::vector<int64_t> shape;
  std::vector<float> data;
};

struct Weights {
  ViTConfig config;
  std::map<std::string, NamedTensor> tensors;     // exactly weight_shapes(config)
  std::map<std::string, std::string> metadata;    // of the file, as it is
  std::vector<std::string> notes = {};            // what was assumed or chosen, a line each
};

// Metadata of a training state, which holds no weights to read.
inline constexpr const char* state_key = "state.step";

// The names and shapes of a model's parameters: timm's (AttentionPoolLatent for pool "map"), with these differences:
// pos_embed has no row for the class token (it is added before the token is put in front), q_norm and k_norm have no
// bias, and there are pre_logits.fc (head_hidden) and attn.gate. A sincos2d model has no pos_embed.
std::map<std::string, std::vector<int64_t>> weight_shapes(const ViTConfig& config);

// `path` as weights_file takes it. A file written by write_weights says what it is; `stated` is not used. In a foreign
// file (models/foreign.h) names and shapes say most, `stated` gives the rest, and the notes say what neither did.
// Values that are not finite are an error, unless `any_values`.
Weights read_weights(const std::filesystem::path& path, const Stated& stated = {}, bool any_values = false);

// Opens in timm: for pool "cls" as its default model (pos_embed gets a zero row for the token), for "gap" with
// class_token=False, global_pool="avg", fc_norm=False, for "map" with class_token=False, global_pool="map".
void write_weights(const std::filesystem::path& path, const ViTConfig& config,
                   const std::map<std::string, NamedTensor>& tensors,
                   const std::map<std::string, std::string>& extra_metadata = {});

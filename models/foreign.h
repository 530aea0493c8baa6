// What a model is whose file does not say it: facts, what is stated from outside, and what has to be assumed.
// defines: ForeignFile, ForeignConfig, foreign_config
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "models/fields.h"
#include "models/weights.h"

struct ForeignFile {
  std::filesystem::path path;
  const std::map<std::string, NamedTensor>& tensors;        // timm's names
  const std::map<std::string, std::string>& metadata;
  bool bigvision;                                           // an .npz, else timm's safetensors
  int heads;                                                // 0: its shapes do not tell
};

struct ForeignConfig {
  ViTConfig config;
  std::string assumed;    // flags that would say the same: "--gelu erf --heads 16", or empty
};

// Facts are names and shapes of tensors, and timm's description of the model (JSON, in the metadata, in the file's own
// name with .json, or in config.json, beside it). They win over `stated`, which wins over what is usual in the format.
// Data error where the file is no whole ViT or does not tell its heads; usage error where what is stated cannot be.
ForeignConfig foreign_config(const ForeignFile& file, const Stated& stated);

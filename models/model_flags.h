// The command-line flags that say what a model is; the same in train and eval.
// defines: ModelFlags, attention_table, precision_by_name
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include "engine/device.h"
#include "models/config.h"

class ModelFlags {
 public:
  // Adds the flags to `app`. With `foreign`, only what the names and shapes of a foreign weights file do not tell.
  void add(CLI::App& app, bool foreign = false);
  // The configuration: defaults, then --model, then single flags. `attention` and `alpha` are the caller's.
  ViTConfig config() const;

 private:
  std::string model_;
  std::optional<int> width_, depth_, heads_, mlp_width_, patch_;
  ViTConfig config_;
};

std::string attention_table();             // a line each, for --help
Precision precision_by_name(const std::string& name);      // f32 or bf16

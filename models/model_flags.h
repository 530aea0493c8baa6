// The command-line flags that say what a model is and where it runs; the same in every program. add() is in
// models/flags.cpp.
// defines: ModelFlags, DeviceFlags
#pragma once
#include <memory>
#include <map>
#include <string>
#include "engine/device.h"
#include "models/fields.h"

namespace CLI { class App; }

class ModelFlags {
 public:
  // Adds the flags to `app`. With `foreign`, only what the names and shapes of a foreign weights file do not tell.
  void add(CLI::App& app, bool foreign = false);
  // The configuration: defaults, then --model, then single flags. `attention` and `alpha` are the caller's.
  ViTConfig config() const;
  // What holds where no flag is given, before add(): `model` as --model has it, or empty where the defaults say the
  // sizes.
  void set_defaults(const std::string& model, const ViTConfig& defaults) { model_ = model, config_ = defaults; }
  ViTConfig& defaults() { return config_; }
  // The fields of config() that flags said, in a config file too, and with --preset all; after `app` was parsed.
  Stated stated(const CLI::App& app) const;
  // From now on config() is this one, whatever flags said.
  void take(const ViTConfig& config) { *this = ModelFlags(), config_ = config; }

 private:
  std::string model_;
  std::map<std::string, int> sizes_;    // of the options that --model says too, what flags said
  ViTConfig config_;
};

std::string workers_text(int workers);           // "1 worker", "15 workers"

// Where and how to compute.
class DeviceFlags {
 public:
  void add(CLI::App& app, const std::string& group = "Run");
  std::unique_ptr<Device> open() const;      // and says on stderr what it found
  const std::string& precision() const { return precision_; }
  // threads that decode images: 1 beside a CPU that computes, all cores but one beside a GPU
  int default_workers() const;

 private:
  std::string precision_ = "f32";
  DeviceOptions options_;
};

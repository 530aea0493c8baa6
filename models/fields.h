// The fields of a ViTConfig by name: one list for all that goes through them, which are metadata of weights, the
// identity of a run, its config.toml, what flags state, and what a file knows.
// defines: each_field, flag_of, field_texts, Stated, all_fields, restate, config_metadata, metadata_config, check_model,
//          format_key, format_version, parse_channels, channels_text
#pragma once
#include <map>
#include <set>
#include <string>

#include "models/config.h"

// Calls visit(name, value) for every field; one that is not bound here does not compile.
template <class Config, class Visit>
void each_field(Config& config, Visit visit) {
  auto& [image_size, patch, width, depth, heads, mlp_width, classes, pool, position, head_hidden, head_bias, gelu,
         attention, alpha, qk_norm, gate, learn, gate_function, form, output_norm, block, mean, std] = config;
  visit("image_size", image_size);
  visit("patch", patch);
  visit("width", width);
  visit("depth", depth);
  visit("heads", heads);
  visit("mlp_width", mlp_width);
  visit("classes", classes);
  visit("pool", pool);
  visit("position", position);
  visit("head_hidden", head_hidden);
  visit("head_bias", head_bias);
  visit("gelu", gelu);
  visit("attention", attention);
  visit("alpha", alpha);
  visit("qk_norm", qk_norm);
  visit("gate", gate);
  visit("learn", learn);
  visit("gate_function", gate_function);
  visit("attention_form", form);
  visit("output_norm", output_norm);
  visit("block", block);
  visit("mean", mean);
  visit("std", std);
}

std::string flag_of(const std::string& field);                           // "mlp_width" -> "--mlp-width"
std::map<std::string, std::string> field_texts(const ViTConfig& config); // every field, none left out

// What is said of a model from outside of its file: of `config` the fields that are named.
struct Stated {
  ViTConfig config;
  std::set<std::string> fields = {};
};
Stated all_fields(const ViTConfig& config);
void restate(ViTConfig& config, const Stated& stated);                   // config with what is stated

// A config as metadata and back, every field exactly; `where` names the file in errors. Fields that once were not there
// are left out where they have their default, so that older programs and files go together with newer ones.
std::map<std::string, std::string> config_metadata(const ViTConfig& config);
ViTConfig metadata_config(const std::map<std::string, std::string>& metadata, const std::string& where);
void check_model(const ViTConfig& config, const std::string& where);     // data error where it could not be built
inline constexpr const char *format_key = "relucent", *format_version = "1";

// Of --mean and --std: three numbers with commas, or the name of one of two kinds: "half" (BigVision's and timm's
// augreg models) or "imagenet" (timm's IMAGENET_DEFAULT_MEAN and _STD). Usage error that names the flag.
Channels parse_channels(const std::string& flag, const std::string& text);
std::string channels_text(const Channels& channels);

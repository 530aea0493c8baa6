// The fields of a ViTConfig by name: metadata of weights, the identity of a run, its config.toml, what flags state, and
// what a file knows.
// defines: each_field, flag_of, words_of, field_texts, Variant, variants, Stated, all_fields, restate, config_metadata,
//          metadata_config, check_model, format_key, format_version, parse_channels, channels_text
#pragma once
#include <map>
#include <set>
#include <string>

#include "models/options.h"

// Calls visit(name, value) for every field.
template <class Config, class Visit>
void each_field(Config& config, Visit visit) {
  each_option([&](const auto& option) { visit(option.name, config.*option.member); });
}

std::string flag_of(const std::string& field);                           // "mlp_width" -> "--mlp-width"
std::string words_of(const std::string& field);                          // "mlp_width" -> "mlp width"
std::map<std::string, std::string> field_texts(const ViTConfig& config); // every field, none left out

// What a config has of attention beside BigVision's: the field and value of each option that is not as usual.
struct Variant {
  std::string field, value, text;    // text: as Option::variant tells of it
};
std::vector<Variant> variants(const ViTConfig& config);

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

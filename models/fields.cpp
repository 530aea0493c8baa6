#include "models/fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "data/class_names.h"
#include "engine/error.h"
#include "engine/text.h"
#include "models/vit.h"

namespace {
using Metadata = std::map<std::string, std::string>;

// Fields that a file may lack, as they are left out where they have their default.
constexpr std::string_view optional_fields[] = {"learn", "gate_function", "attention_form", "output_norm", "block",
                                                "mean", "std"};
bool optional(const std::string& field) { return std::ranges::count(optional_fields, field) > 0; }

template <class Value>
std::string text_of(const Value& value) {
  if constexpr (std::is_same_v<Value, Channels>) return channels_text(value);
  else return fmt::format("{}", value);
}

template <class Number>
bool parse(const std::string& text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}
bool parse(const std::string& text, bool& value) {
  value = text == "true";
  return value || text == "false";
}
bool parse(const std::string& text, std::string& value) {
  value = text;
  return true;
}
bool parse(const std::string& text, Channels& value) {
  const std::vector<std::string> parts = split(text, ",");
  if (parts.size() != value.size()) return false;
  for (size_t c = 0; c < value.size(); c++)
    if (!parse(parts[c], value[c])) return false;
  return true;
}
}    // namespace

std::string flag_of(const std::string& field) {
  std::string flag = "--" + field;
  std::ranges::replace(flag, '_', '-');
  return flag;
}

Metadata field_texts(const ViTConfig& config) {
  Metadata texts;
  each_field(config, [&](const char* name, const auto& value) { texts[name] = text_of(value); });
  return texts;
}

Stated all_fields(const ViTConfig& config) {
  Stated stated{config};
  each_field(config, [&](const char* name, const auto&) { stated.fields.insert(name); });
  return stated;
}

void restate(ViTConfig& config, const Stated& stated) {
  const Metadata texts = field_texts(stated.config);
  each_field(config, [&](const char* name, auto& value) {
    if (stated.fields.contains(name)) parse(texts.at(name), value);
  });
}

Metadata config_metadata(const ViTConfig& config) {
  const Metadata defaults = field_texts(ViTConfig());
  Metadata metadata = {{format_key, format_version}};
  for (const auto& [name, text] : field_texts(config))
    if (!optional(name) || text != defaults.at(name)) metadata[name] = text;
  return metadata;
}

ViTConfig metadata_config(const Metadata& metadata, const std::string& where) {
  ViTConfig config;
  const auto version = metadata.find(format_key);
  if (version == metadata.end() || version->second != format_version)
    fail(ExitCode::data, "{}: expected weights of format {} {}", where, format_key, format_version);
  each_field(config, [&](const char* name, auto& value) {
    const auto found = metadata.find(name);
    if (found == metadata.end() && optional(name)) return;
    if (found == metadata.end()) fail(ExitCode::data, "{}: metadata {} is missing", where, name);
    if (!parse(found->second, value)) fail(ExitCode::data, "{}: metadata {} is '{}'", where, name, found->second);
  });
  check_model(config, where);
  return config;
}

// The limits keep a file's numbers within int and memory.
void check_model(const ViTConfig& config, const std::string& where) {
  each_field(config, [&](const char* name, const auto& value) {
    if constexpr (std::is_same_v<decltype(value), const int&>) {
      const int limit = &value == &config.classes ? most_classes : 1 << 15;
      if (value < 1 || value > limit) fail(ExitCode::data, "{}: {} is {}, expected 1 to {}", where, name, value, limit);
    }
  });
  try {
    check_config(config);
  } catch (const Error& error) {
    fail(ExitCode::data, "{}: {}", where, error.what());
  }
}

Channels parse_channels(const std::string& flag, const std::string& text) {
  const bool mean = flag == "--mean";
  if (text == "half") return {0.5f, 0.5f, 0.5f};
  if (text == "imagenet") return mean ? Channels{0.485f, 0.456f, 0.406f} : Channels{0.229f, 0.224f, 0.225f};
  Channels channels;
  const auto allowed = [&](float x) { return std::isfinite(x) && (mean || x > 0); };
  if (!parse(text, channels) || !std::ranges::all_of(channels, allowed))
    fail(ExitCode::usage, "{}: '{}', expected three {}numbers such as 0.5,0.5,0.5, or imagenet, or half", flag, text,
         mean ? "" : "positive ");
  return channels;
}

std::string channels_text(const Channels& channels) {
  return fmt::format("{},{},{}", channels[0], channels[1], channels[2]);
}

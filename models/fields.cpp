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

std::string words_of(const std::string& field) {
  std::string words = field;
  std::ranges::replace(words, '_', ' ');
  return words;
}

std::vector<Variant> variants(const ViTConfig& config) {
  std::vector<Variant> list;
  each_option([&](const auto& option) {
    const auto& value = config.*option.member;
    if (!option.variant || value == option.usual()) return;
    const std::string text = text_of(value);
    list.push_back({option.name, text, fmt::format(fmt::runtime(option.variant), text)});
  });
  return list;
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
  Metadata metadata = {{format_key, format_version}};
  each_option([&](const auto& option) {
    const auto& value = config.*option.member;
    if (!option.later || value != option.usual()) metadata[option.name] = text_of(value);
  });
  return metadata;
}

ViTConfig metadata_config(const Metadata& metadata, const std::string& where) {
  ViTConfig config;
  const auto version = metadata.find(format_key);
  if (version == metadata.end() || version->second != format_version)
    fail(ExitCode::data, "{}: expected weights of format {} {}", where, format_key, format_version);
  each_option([&](const auto& option) {
    const auto found = metadata.find(option.name);
    if (found == metadata.end() && option.later) return;
    if (found == metadata.end()) fail(ExitCode::data, "{}: metadata {} is missing", where, option.name);
    if (!parse(found->second, config.*option.member))
      fail(ExitCode::data, "{}: metadata {} is '{}'", where, option.name, found->second);
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

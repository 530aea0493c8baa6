#include "engine/json.h"
#include <fmt/format.h>
#include "engine/text.h"

namespace {
template <class Json> Json with_printable_strings(const Json& json) {
  if (json.is_string()) return printable(json.template get_ref<const std::string&>());
  Json copy = json.is_array() ? Json::array() : json.is_object() ? Json::object() : json;
  if (json.is_array())
    for (const Json& item : json) copy.push_back(with_printable_strings(item));
  if (json.is_object())
    for (const auto& [key, item] : json.items()) copy[printable(key)] = with_printable_strings(item);
  return copy;
}

template <class Json> std::string text_of(const Json& json, int indent) {
  std::string text;
  try {
    text = json.dump(indent);
  } catch (const typename Json::type_error&) {    // a string of other bytes than UTF-8
    text = with_printable_strings(json).dump(indent);
  }
  std::string shown;                             // DEL and C1 are commands to a terminal, but stand in JSON as they are
  for (size_t i = 0; i < text.size(); i++) {
    const auto byte = [&](size_t at) { return at < text.size() ? uint8_t(text[at]) : uint8_t(0); };
    if (byte(i) == 0x7F) shown += "\\u007f";
    else if (byte(i) == 0xC2 && byte(i + 1) < 0xA0) shown += fmt::format("\\u00{:02x}", byte(++i));
    else shown += text[i];
  }
  return shown;
}
}

nlohmann::json parse_json(std::string_view text) {
  bool too_deep = false;
  const auto shallow = [&](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
    too_deep |= depth > deepest_json;
    return !too_deep;
  };
  nlohmann::json json = nlohmann::json::parse(text, shallow, false);
  return too_deep ? nlohmann::json(nlohmann::json::value_t::discarded) : json;
}

std::string json_text(const nlohmann::json& json, int indent) { return text_of(json, indent); }
std::string json_text(const nlohmann::ordered_json& json, int indent) { return text_of(json, indent); }
std::string ascii_json(const nlohmann::json& json) {
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

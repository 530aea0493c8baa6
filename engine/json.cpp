#include "engine/json.h"

nlohmann::json parse_json(std::string_view text) {
  bool too_deep = false;
  const auto shallow = [&](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
    too_deep |= depth > deepest_json;
    return !too_deep;
  };
  nlohmann::json json = nlohmann::json::parse(text, shallow, false);
  return too_deep ? nlohmann::json(nlohmann::json::value_t::discarded) : json;
}

std::string json_text(const nlohmann::json& json, int indent) { return json.dump(indent); }
std::string json_text(const nlohmann::ordered_json& json, int indent) { return json.dump(indent); }
std::string ascii_json(const nlohmann::json& json) { return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace); }

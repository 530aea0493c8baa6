// JSON of files that may hold anything.
// defines: deepest_json, parse_json
#pragma once
#include <nlohmann/json.hpp>
#include <string_view>

// Nothing that is read nests deeper. Printing and copying recurse: much deeper would end at the end of the stack.
constexpr int deepest_json = 50;

// The value; one that is_discarded() where the text is no JSON, or too deep.
inline nlohmann::json parse_json(std::string_view text) {
  bool too_deep = false;
  const auto shallow = [&](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
    too_deep |= depth > deepest_json;
    return !too_deep;
  };
  nlohmann::json json = nlohmann::json::parse(text, shallow, false);
  return too_deep ? nlohmann::json(nlohmann::json::value_t::discarded) : json;
}

// JSON of files that may hold anything. Reading and printing are compiled once: the library's templates for them take
// seconds in every file.
// defines: deepest_json, parse_json, json_text, ascii_json
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

// Nothing that is read nests deeper. Printing and copying recurse: much deeper would end at the end of the stack.
constexpr int deepest_json = 50;

nlohmann::json parse_json(std::string_view text);      // one that is_discarded() where the text is no JSON, or too deep

// indent -1: one line. Strings of any bytes: what is no UTF-8 is made printable(), as names are elsewhere.
std::string json_text(const nlohmann::json& json, int indent = -1);
std::string json_text(const nlohmann::ordered_json& json, int indent = -1);
std::string ascii_json(const nlohmann::json& json);    // for messages: whatever strings hold

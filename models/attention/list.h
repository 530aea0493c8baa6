// Everything --attention takes: row functions φ, then linear families.
// defines: attention_infos, attention_names, attention_page, known_attention, unknown_attention, has_alpha, is_linear
#pragma once
#include <string>
#include <string_view>
#include <vector>
#include "engine/attention/info.h"

std::vector<AttentionFunctionInfo> attention_infos();
std::vector<std::string> attention_names();
std::string attention_page(size_t width);         // name, formula and source of each, for --help-attention
// What --attention takes, NAME or NAME:ALPHA, with the name as it is known here (see same_name); usage error if it is
// not.
std::string known_attention(const std::string& text);
std::string unknown_attention(const std::string& name);    // what is said of it
bool has_alpha(std::string_view name);            // true of a name that is unknown
bool is_linear(std::string_view name);            // a linear family

// Everything --attention takes: row functions φ, then linear families.
// defines: attention_infos, attention_names, attention_table, has_alpha, is_linear
#pragma once
#include <string>
#include <string_view>
#include <vector>
#include "engine/attention/info.h"

std::vector<AttentionFunctionInfo> attention_infos();
std::string attention_names();                    // with commas
std::string attention_table();                    // a line each, for --help
bool has_alpha(std::string_view name);            // true of a name that is unknown
bool is_linear(std::string_view name);            // a linear family

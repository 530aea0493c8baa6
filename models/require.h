// What a config demands of itself, as usage errors.
// defines: require, require_one_of
#pragma once
#include <algorithm>
#include <initializer_list>
#include <string>
#include "engine/error.h"

inline void require(bool holds, const std::string& message) {
  if (!holds) fail(ExitCode::usage, "model: {}", message);
}
inline void require_one_of(const char* what, const std::string& value, std::initializer_list<const char*> allowed) {
  std::string list;
  for (const char* a : allowed) list += std::string(list.empty() ? "" : ", ") + a;
  require(std::find(allowed.begin(), allowed.end(), value) != allowed.end(), fmt::format("{} is '{}', expected one of {}", what, value, list));
}

// What a config demands of itself, as usage errors.
// defines: require
#pragma once
#include <string>
#include "engine/error.h"

inline void require(bool holds, const std::string& message) {
  if (!holds) fail(ExitCode::usage, "model: {}", message);
}

// Real images for tests that need them: a folder named by RELUCENT_DATA. Without it such a test says that it is
// skipped.
// defines: real_data
#pragma once
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>

// The file or folder `name` there; empty, with a message, where it is not.
inline std::filesystem::path real_data(const std::string& name) {
  const char* folder = std::getenv("RELUCENT_DATA");
  const std::filesystem::path path = folder ? std::filesystem::path(folder) / name : std::filesystem::path();
  if (folder && std::filesystem::exists(path)) return path;
  MESSAGE("skipped: RELUCENT_DATA names no folder with " << name);
  return {};
}

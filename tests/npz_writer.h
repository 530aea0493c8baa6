// Weights under the names of other programs, as the .npz those programs would write.
// defines: write_npz
#pragma once
#include "engine/npy.h"
#include "models/weights.h"

inline void write_npz(const std::filesystem::path& path, const std::map<std::string, NamedTensor>& tensors) {
  std::map<std::string, Array> arrays;
  for (const auto& [name, tensor] : tensors) {
    const auto bytes = std::as_bytes(std::span(tensor.data));
    arrays[name] = {tensor.shape, "F32", {bytes.begin(), bytes.end()}, name};
  }
  write_npz(path, arrays);
}

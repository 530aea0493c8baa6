// Weights whose every element tells where it belongs, for tests of file formats.
// defines: Tensors, tiny, numbered, numbered_weights, write_foreign, same
#pragma once
#include <cmath>
#include <cstring>
#include <doctest/doctest.h>

#include "engine/safetensors.h"
#include "models/weights.h"

using Tensors = std::map<std::string, NamedTensor>;

inline ViTConfig tiny(const std::string& pool) {
  ViTConfig config;
  config.image_size = 8, config.patch = 2, config.width = 12, config.depth = 2, config.heads = 3, config.mlp_width = 20;
  config.classes = 5, config.pool = pool;
  return config;
}

// A tensor whose every element tells where it belongs.
inline NamedTensor numbered(std::vector<int64_t> shape, double start) {
  size_t size = 1;
  for (const int64_t length : shape) size *= size_t(length);
  NamedTensor tensor{std::move(shape), std::vector<float>(size)};
  for (size_t i = 0; i < size; i++) tensor.data[i] = float(std::sin(start + 0.37 * double(i)));
  return tensor;
}

inline Tensors numbered_weights(const ViTConfig& config) {
  Tensors tensors;
  for (const auto& [name, shape] : weight_shapes(config)) tensors[name] = numbered(shape, double(tensors.size()));
  return tensors;
}

// As other programs have them: no metadata of ours.
inline void write_foreign(const std::filesystem::path& path, const Tensors& tensors,
                          const std::map<std::string, std::string>& metadata = {}) {
  std::vector<StoredTensor> stored;
  for (const auto& [name, tensor] : tensors)
    stored.push_back({name, "F32", tensor.shape, std::as_bytes(std::span(tensor.data))});
  write_safetensors(path, stored, metadata);
}

inline bool same(const Tensors& a, const Tensors& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto found = b.find(name);
    if (found == b.end() || found->second.shape != tensor.shape || found->second.data.size() != tensor.data.size() ||
        std::memcmp(found->second.data.data(), tensor.data.data(), tensor.data.size() * sizeof(float)) != 0) {
      MESSAGE(name << " differs");
      return false;
    }
  }
  return true;
}

// NumPy's files: .npy, one array, and .npz, a zip archive of them.
// defines: Array, read_npy, write_npy, npz_names, read_npz, write_npz
#pragma once
#include <map>
#include <vector>

#include "engine/dtype.h"
#include "engine/files.h"

// An array in row-major order; `where` ("x.npz, member a/kernel") is how messages call it.
struct Array {
  std::vector<int64_t> shape;
  std::string dtype;    // as in engine/dtype.h; NumPy has no bfloat16, its 2-byte void type is taken for it
  std::vector<std::byte> data;
  std::string where;

  std::vector<float> floats() const { return to_floats(dtype, data, where); }    // an error where the dtype is another
  std::vector<int64_t> ints() const { return to_ints(dtype, data, where); }
};

Array read_npy(const std::filesystem::path& path);
void write_npy(const std::filesystem::path& path, const std::vector<int64_t>& shape, std::span<const float> values);
void write_npy(const std::filesystem::path& path, const std::vector<int64_t>& shape, std::span<const int64_t> values);

// Arrays of an archive, by name without ".npy"; of those whose name starts with `prefix`, which is cut off.
std::vector<std::string> npz_names(const std::filesystem::path& path);
std::map<std::string, Array> read_npz(const std::filesystem::path& path, const std::string& prefix = "");
void write_npz(const std::filesystem::path& path, const std::map<std::string, Array>& arrays);

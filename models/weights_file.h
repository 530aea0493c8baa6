// Which file is meant by a path that should name weights.
// defines: weights_file
#pragma once
#include <filesystem>
#include <string>
#include <vector>

// `path`, or of a run's folder the best weights it has; a line in `notes` where these are not best.safetensors. A data
// error, with the next step, where the path holds no weights, or weights in a form of PyTorch's that could run code.
std::filesystem::path weights_file(const std::filesystem::path& path, std::vector<std::string>& notes);

// Whether a file is a zip archive, as .npz is.
bool is_zip(const std::filesystem::path& path);

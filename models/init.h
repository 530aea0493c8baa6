// Starting a model from another's weights, for fine-tuning.
// defines: start_from, resample_positions
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>
#include "models/vit.h"

// Position embeddings [from, from, D] at another grid [to, to, D]: bilinear with aligned corners, as BigVision's resampling by
// scipy's zoom of order 1.
std::vector<float> resample_positions(const std::vector<float>& values, int from, int to);

// Every parameter that `path` (see models/weights.h) has. The head stays as it is where its classes differ, and so does what
// the file lacks; position embeddings are resampled. Data error where another shape differs. Returns a line that says what was done.
std::string start_from(ViT& vit, const std::filesystem::path& path);

// Starting a model from another's weights, for fine-tuning, and taking one to another image size.
// defines: model_of, start_from, resample_positions, at_image_size
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>
#include "models/vit.h"
#include "models/weights.h"

// Position embeddings [from, from, D] at another grid [to, to, D]: bilinear with aligned corners, as BigVision's
// resampling by scipy's zoom of order 1.
std::vector<float> resample_positions(const std::vector<float>& values, int from, int to);

// The model that `path` holds (see models/weights.h), except for what is stated; how its head starts is not taken from
// it. What had to be assumed of it goes to stderr.
ViTConfig model_of(const std::filesystem::path& path, const Stated& stated);

// Every parameter that `path` (see models/weights.h) has. Of the head, the rows of `classes` (names by label): by name
// where the file names its own, else by place. It stays as it is where the classes differ, and so does what the file
// lacks; position embeddings are resampled. Data error where another shape differs. Returns a line that says what was
// done, what of the file is not used, and which flags would use it.
std::string start_from(ViT& vit, const std::filesystem::path& path, const std::vector<std::string>& classes);

// The model for images of another size, with another number L' of tokens: position embeddings are resampled. The
// weights' factor, L^-α where it was trained, is L'^-α there, or with `exponent` A what it would be had it been L^-α
// (L'/L)^-A: trained at one L, only this tells exponents apart. Usage error where an exponent has no place. Returns a
// line that says what was done.
std::string at_image_size(Weights& weights, int image_size, std::optional<double> exponent);

// Where queries look: rows of the weights A over the picture, and attention rollout through all layers.
// defines: Query, parse_queries, query_map, rollout, map_html, picture_style
#pragma once
#include <span>
#include <string>
#include <vector>
#include "models/statistics.h"

// One patch, the class token, or the mean over all queries of an image.
struct Query {
  enum class Kind { mean, class_token, patch } kind = Kind::mean;
  int row = 0, column = 0;             // of a patch
  std::string name() const;
};

// "mean", "cls" or "ROW:COLUMN" of a patch, counted from 0 at the upper left. Of none: cls where the model has one,
// else the mean; and the patch in the middle. Usage errors name what the model does not have.
std::vector<Query> parse_queries(const std::vector<std::string>& texts, const TokenGrid& grid);

// The query's weights on the patches [side, side], from one head's A[L, L].
std::vector<double> query_map(const Query& query, std::span<const float> A, const TokenGrid& grid);

// Attention rollout (Abnar and Zuidema 2020, 2005.00928): how much the class token, or the mean of the patches, gets of
// each patch [side, side] through all layers, each (P + I)/2 with P the mean over heads of |A_ij| / Σ_j |A_ij|; a dead
// row is that of I. layers: A[H, L, L] of each, from the first on.
std::vector<double> rollout(const std::vector<std::span<const float>>& layers, int heads, const TokenGrid& grid);

// The map over picture number `picture`: red above 0, blue below, white at 0, scaled to its largest magnitude; the
// query's patch framed.
std::string map_html(const std::vector<double>& values, const TokenGrid& grid, int picture, const Query* query,
                     const std::string& caption);

// CSS for maps, with the pictures under them: the part of each image [S, S, 3] that the patches cover, gray and pale.
std::string picture_style(std::span<const uint8_t> images, int count, int image_size, const TokenGrid& grid);
// An <img> of the picture as it is.
std::string picture_html(std::span<const uint8_t> image, int image_size, const TokenGrid& grid);

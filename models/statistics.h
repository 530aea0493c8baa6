// What is counted of the scores S, weights A and their gradients dA, dS of attention, head by head, as the tiles of the
// real computation pass by. Sums are in double; they and the counts are the same for any number of threads.
// defines: Moments, HeadStatistics, HeadColumn, head_columns, head_column, saturation_of, TokenGrid, Place,
//          AttentionStatistics
#pragma once
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>
#include "engine/attention/functions.h"
#include "engine/attention/probe.h"
#include "engine/histogram.h"
#include "models/config.h"

// Count, sum, sum of squares and range of values.
struct Moments {
  double count = 0, sum = 0, squares = 0, min = std::numeric_limits<double>::infinity(), max = -min;
  void add(double x);
  void add(const real* x, size_t n);
  void merge(const Moments& other);
  double mean() const { return sum / count; }                          // NaN of nothing
  double std() const;                                                  // of all values there are, not an estimate
  double norm() const { return count > 0 ? std::sqrt(squares) : std::numeric_limits<double>::quiet_NaN(); }
};

// Of one head of one layer, over images, rows (queries) and keys. Gradients are those of the loss that backward ran
// from.
struct HeadStatistics {
  Moments S, A, dA, dS;                // every element
  Moments row_sum;                     // Σ_j A_ij of each row
  Moments D;                           // D_i = Σ_j A_ij dA_ij = <dO_i, O_i>, which softmax takes off its gradient
  // of rows that are not dead, with p = |A| / Σ|A|:
  Moments entropy;                     // -Σ p ln p, in nats
  Moments keys;                        // 1 / Σ p², the effective number of keys
  Moments top;                         // the largest p
  Moments distance;  // Σ p · distance between patch centres, in pixels; rows and keys of patches alone
  double rows = 0, dead_rows = 0;      // dead: every weight is 0
  double zeros = 0, negative = 0;      // weights that are 0, that are below 0
  double asked = 0, passed = 0;        // dA is not 0; and neither is dS: the slope there is not 0
  double saturated = 0;                // scores where the function is flat, see saturation_of; NaN where it is nowhere
  Moments q, k, v, dq, dk, dv;         // every element of q, k, v and of their gradients

  void merge(const HeadStatistics& other);
  double zero_share() const { return zeros / A.count; }
  double negative_share() const { return negative / A.count; }
  double dead_share() const { return dead_rows / rows; }
  double duty() const { return passed / asked; }
  double saturated_share() const { return saturated / S.count; }
  double gradient_ratio() const { return dS.norm() / dA.norm(); }      // ‖dS‖/‖dA‖
};

// One number of a head and how tables call it.
struct HeadColumn { std::string name; std::function<double(const HeadStatistics&)> value; };
const std::vector<HeadColumn>& head_columns();
const HeadColumn& head_column(const std::string& name);                // fails naming it

// Where the scores of an attention function saturate for L keys; nowhere for a linear family, which has none.
Saturation saturation_of(std::string_view attention, int L);

// Where the tokens lie in the picture: an optional class token, then patches row by row.
struct TokenGrid {
  int side, patch;                     // patches a side, pixels a patch
  bool class_token;
  explicit TokenGrid(const ViTConfig& c) : side(c.grid()), patch(c.patch), class_token(c.pool == "cls") {}
  int tokens() const { return side * side + class_token; }
};

// A tile with a value that is not finite.
struct Place {
  const char* map;                     // S, A, dA, dS
  int image, head, first_row, rows;
  auto order() const { return std::tuple(image, head, first_row); }
};

class AttentionStatistics : public AttentionProbe {
 public:
  // `images` at most pass at a time, or, numbered by first_image, in all.
  AttentionStatistics(const ViTConfig& config, int images);

  // Keeps one of S, A, dA, dS [images, H, L, L], q, k, dq, dk [images, H, L, d] or v, dO, dv [images, H, L, dv] of the
  // first images.
  void keep(const std::string& name, int images);
  const std::vector<float>& kept(const std::string& name) const { return kept_.at(name); }
  bool keeps(const std::string& name) const { return kept_.contains(name); }
  static int kept_width(const ViTConfig& config, const std::string& name);       // L, d or dv

  void tile(const AttentionTile& tile) override;
  void operands(Device& device, const AttentionOperands& o) override;

  int first_image = 0;                                                 // the number of a batch's first image
  bool thorough = true;                                        // fill distance and q ... dv of HeadStatistics

  std::vector<HeadStatistics> heads() const;                           // [H]; counts are 0 where no tile passed
  struct Histograms { Histogram S, A, dA, dS; };
  const std::vector<Histograms>& histograms() const { return histograms_; }      // [H]
  // the first in order of image, head, row
  const std::optional<Place>& broken_forward() const { return broken_forward_; }
  const std::optional<Place>& broken_backward() const { return broken_backward_; }

 private:
  void add_row(HeadStatistics& h, int row, const real* A, const real* dA, int L) const;
  void keep_tile(const AttentionTile& tile);
  void note_broken(const AttentionTile& tile, const HeadStatistics& part);

  ViTConfig config_;
  int heads_;
  TokenGrid grid_;
  Saturation flat_;
  std::vector<float> distances_;  // [2 side - 1, 2 side - 1]: pixels to the patch so many rows and columns away
  std::vector<HeadStatistics> parts_;                                  // [image, head]: no two threads write one entry
  std::vector<Histograms> histograms_;
  std::optional<Place> broken_forward_, broken_backward_;
  std::map<std::string, std::vector<float>> kept_;
  std::mutex mutex_;                                                   // of histograms_ and broken_
};

// Looks inside a model: forward and backward of the training loss on some images, with everything counted that passes
// through attention, and what is wrong in words.
// defines: InspectOptions, ParameterStatistics, Inspection, inspect, map_values, check_arrays, statistics_csv,
//   parameters_csv, write_arrays
#pragma once
#include <filesystem>
#include <memory>
#include <span>
#include "engine/ops/pixels.h"
#include "models/learned.h"
#include "models/statistics.h"
#include "models/vit.h"

struct InspectOptions {
  std::string loss = "softmax";        // see loss_op
  int batch = 64;                      // images at a time; fewer where their activations would take over 4 GB
  int pictures = 2;                    // of the first so many images A is kept in the layers, for maps
  std::vector<std::string> arrays;     // what else is kept, of all images: names of AttentionStatistics::keep
  std::vector<int> layers;             // whose arrays and maps are kept; empty: of all
};

struct ParameterStatistics {
  std::string name;
  size_t size;
  double norm, gradient_norm;
};

struct Inspection {
  ViTConfig config;
  int images = 0;
  double loss = 0;                     // mean over the images; all gradients are of this mean
  std::vector<std::unique_ptr<AttentionStatistics>> probes;        // [layer]
  std::vector<std::vector<HeadStatistics>> heads;  // [layer][head]; counts are 0 where a layer forms no weights
  std::vector<ParameterStatistics> parameters;
  std::vector<std::vector<LearnedNumber>> learned;                 // [layer]
  std::string broken;                  // where values first stop being finite: op, layer, tile; empty: all are finite
  bool has_weights(int layer) const { return heads[layer][0].rows > 0; }
};

// images [N, S, S, 3], labels [N, classes]
Inspection inspect(const ViT& vit, const HostImages& images, std::span<const float> labels,
                   const InspectOptions& options);

// Values of A that are kept for maps of so many pictures.
double map_values(const ViTConfig& config, const InspectOptions& options, int pictures);
// Usage errors for names and layers that are not there, or arrays that would not fit memory.
void check_arrays(const ViTConfig& config, const InspectOptions& options, int images);

std::string statistics_csv(const Inspection& inspection);          // a row for each layer and head
std::string parameters_csv(const Inspection& inspection);          // norms of each parameter and of its gradient
// FOLDER/NAME-layerI.npy of every array that was asked for; their paths.
std::vector<std::string> write_arrays(const Inspection& inspection, const InspectOptions& options,
                                      const std::filesystem::path& folder);

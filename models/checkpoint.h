// What a run keeps on disk. FOLDER/last.safetensors: the weights, with model, preprocessing and class names, for eval
// and for other programs. FOLDER/last.state: all that an exact resume needs; it does not depend on the other file, so a
// kill between the two writes loses nothing.
// defines: save_weights, class_names, load_vit, Loaded, tensors_of, TrainingState, save_state, load_state, saved_step,
//          check_identity, weights_step
#pragma once
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>
#include "data/transform.h"
#include "engine/metrics.h"
#include "engine/optimizer.h"
#include "models/vit.h"
#include "models/weights.h"

using Metadata = std::map<std::string, std::string>;

void save_weights(const std::filesystem::path& path, const ViT& vit, const Preprocess& preprocess,
                  const std::vector<std::string>& classes, Metadata extra = {});
// The names of classes that weights hold, by label; empty if none. Data error, which names `path`, where they are no
// list of strings, or more than the model's `classes`.
std::vector<std::string> class_names(const Metadata& metadata, int classes, const std::filesystem::path& path);

// A model from any weights file that models/weights.h reads; `stated` says what a foreign file does not.
struct Loaded {
  std::unique_ptr<ViT> vit;
  Preprocess preprocess;               // of training, where the file says it
  std::vector<std::string> classes;    // names, or empty
  Metadata metadata;
  std::vector<std::string> notes;      // see Weights
};
// See read_weights; `change` comes before the model is made.
Loaded load_vit(Device& device, const std::filesystem::path& path, const Stated& stated = {}, bool any_values = false,
                const std::function<void(Weights&)>& change = {});

// Every parameter, as weight_shapes(config) names them.
std::map<std::string, NamedTensor> tensors_of(const ViT& vit);

struct TrainingState {
  int64_t step = 0;                    // updates done
  int64_t evaluated = -1;              // the step of the last evaluation
  double best_accuracy = -1;           // on the validation set so far
  double seconds = 0;                  // spent training so far
  double first_loss = NAN;             // of the first update; NaN where an older program made it
  // What the next logged row is the mean of, the same as in a run that was never stopped; but its speed and share of
  // waiting are of the time that was spent, which differs.
  struct Window {
    double loss = 0, wait = 0, seconds = 0;      // sums; `seconds` as above, at its start
    int64_t steps = 0, correct = 0;
  } window;
  LogSizes logs;                       // when it was saved; empty in files that older programs wrote
};
// `identity` is what a resumed run must have in common with this one (model, data, batch, seed ...), name by name, and
// nothing that the state has is left out of it; a field of ViTConfig that a state lacks has its default there.
void save_state(const std::filesystem::path& path, const ViT& vit, const Adam& adam, const TrainingState& state,
                const Metadata& identity, const MovingAverage* average = nullptr);
// Fails naming the first difference of identity.
TrainingState load_state(const std::filesystem::path& path, ViT& vit, Adam& adam, const Metadata& identity,
                         MovingAverage* average = nullptr);
// The step a state file is at, without loading it.
int64_t saved_step(const std::filesystem::path& path);
// What load_state refuses of identity, without loading.
void check_identity(const std::filesystem::path& path, const Metadata& identity);
// The step that weights were saved at; -1 where they are not there or cannot be read.
int64_t weights_step(const std::filesystem::path& path);

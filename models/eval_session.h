// What the subcommands of eval share: flags, the model they open, its images.
// defines: EvalOptions, add_model, add_source, add_loss, EvalSession, open, describe, loader_options,
//          for_each_batch, read_input, forward_batches
#pragma once
#include "data/loader.h"
#include "engine/npy.h"
#include "engine/ops/pixels.h"
#include "models/checkpoint.h"
#include "models/model_flags.h"

struct EvalOptions {
  int top = 5, pairs = 10;             // of predict, of confusion
  std::string checkpoint, data, input, labels, out, logits, restrict_to, real, to, loss = "softmax", bad = "error",
              crop = "inception";
  std::vector<std::string> images, tasks, runs;
  std::vector<int> shots{10};
  int seeds = 3;
  double l2 = 1024;
  int image_count = 16, pictures = 2;              // of inspect
  std::vector<int> layers;
  std::vector<std::string> queries, arrays;
  ModelFlags model;
  std::string attention = "softmax";
  double alpha = 1;
  DeviceFlags device;
  int batch = 64;
  std::optional<int> workers;
  bool json = false;
  const CLI::App* flags = nullptr;     // of the subcommand

  bool given(const std::string& flag) const;
};

// What every subcommand needs: the weights, and what a foreign file does not say of itself.
void add_model(CLI::App& app, EvalOptions& o);       // these three: models/flags.cpp
void add_source(CLI::App& app, EvalOptions& o);
void add_loss(CLI::App& app, EvalOptions& o);

// A device and the model on it, announced on stderr.
struct EvalSession {
  std::unique_ptr<Device> device;
  Loaded loaded;
  const ViT& vit() const { return *loaded.vit; }
  const ViTConfig& config() const { return loaded.vit->config(); }
  Classes classes(const EvalOptions& o) const { return {o.checkpoint, config().classes, loaded.classes}; }
  // By class: the model's, else the wnids of the list of ImageNet that has as many classes, with a note, else "class 3".
  std::vector<std::string> class_names() const;
};
EvalSession open(const EvalOptions& o, bool any_values = false);                  // see read_weights
std::string describe(const EvalSession& s, const std::string& checkpoint);       // the model in a line

LoaderOptions loader_options(const EvalOptions& o, const EvalSession& s);

// Calls use(batch, logits) for each batch of the source, logits being [batch.size, classes], and names on stderr what was
// left out. With `progress` the images done are shown.
using UseLogits = std::function<void(const Batch& batch, const std::vector<float>& logits)>;
void for_each_batch(const EvalOptions& o, const EvalSession& s, Loader& loader, size_t images, bool progress,
                    const UseLogits& use);

// Images from x.npy, float32 [N, H, W, 3], already in the range the model was trained on.
Array read_input(const EvalSession& s, const std::string& path);

inline void append(std::vector<float>& all, const std::vector<float>& more) { all.insert(all.end(), more.begin(), more.end()); }

// Calls use(tape, logits, features) for batch after batch of host images [n, S, S, 3].
template <class Use> void forward_batches(const EvalSession& s, const HostImages& images, int batch, Use use) {
  const size_t size = size_t(s.config().image_size) * s.config().image_size * 3, n = images.size() / size;
  Tape tape(*s.device, false);
  tape.keep_leaves();
  for (size_t first = 0; first < n; first += batch) {
    const int count = int(std::min<size_t>(batch, n - first));
    tape.clear();
    Features features;
    Tensor x = images_leaf(tape, {count, s.config().image_size, s.config().image_size, 3}, images.part(first * size, count * size));
    Tensor logits = s.vit().forward(tape, x, {}, &features);
    use(tape, logits, features);
  }
}

// What the subcommands of eval share: flags, the model they open, its images.
// defines: EvalFlags, LoaderFlags, add_loss, EvalSession, open, describe, loader_options, for_each_batch, read_input,
//          open_source, SourceFeatures, features_of, append, forward_batches
#pragma once
#include "data/loader.h"
#include "engine/npy.h"
#include "engine/ops/pixels.h"
#include "models/checkpoint.h"
#include "models/model_flags.h"

// Which weights, and where they run: the flags of every subcommand with a model, whose own options add theirs.
struct EvalFlags {
  std::string checkpoint, attention = "softmax", crop = "inception";    // these and alpha: what a file does not say
  double alpha = 1;
  ModelFlags model;
  DeviceFlags device;
  int batch = 64;                      // images at a time
  bool json = false;
  const CLI::App* subcommand = nullptr;

  void add(CLI::App& app);             // in models/flags.cpp, as LoaderFlags::add and add_loss
  bool given(const std::string& flag) const;
};

// How the images of a source are read.
struct LoaderFlags {
  std::optional<int> workers;
  std::string on_bad = "error";
  void add(CLI::App& app);
};

void add_loss(CLI::App& app, std::string& loss);

// A device and the model on it, announced on stderr.
struct EvalSession {
  std::unique_ptr<Device> device;
  Loaded loaded;
  const ViT& vit() const { return *loaded.vit; }
  const ViTConfig& config() const { return loaded.vit->config(); }
  Classes classes(const EvalFlags& o) const { return {o.checkpoint, config().classes, loaded.classes}; }
  // By class: the model's, else the wnids of the list of ImageNet that has as many classes, with a note, else
  // "class 3".
  std::vector<std::string> class_names() const;
};
EvalSession open(const EvalFlags& o, bool any_values = false);                  // see read_weights
std::string describe(const EvalSession& s, const std::string& checkpoint);       // the model in a line

LoaderOptions loader_options(const EvalFlags& o, const LoaderFlags& loader, const EvalSession& s);

// Calls use(batch, logits) for each batch of the source, logits being [batch.size, classes], and names on stderr what
// was left out. With `progress` the images done are shown.
using UseLogits = std::function<void(const Batch& batch, const std::vector<float>& logits)>;
void for_each_batch(const EvalFlags& o, const EvalSession& s, Loader& loader, size_t images, bool progress,
                    const UseLogits& use);

// Images from x.npy, float32 [N, H, W, 3], already in the range the model was trained on.
Array read_input(const EvalSession& s, const std::string& path);

// Opens a source for images without regard to what its labels count, and says on stderr what it holds.
Index open_source(const std::string& source);

// Of a source in its order, without the images left out: features [N, D], and each image's first label.
struct SourceFeatures {
  std::vector<float> values;
  std::vector<int> labels;
};
SourceFeatures features_of(const EvalFlags& o, const EvalSession& s, const Index& index, const LoaderOptions& options);

inline void append(std::vector<float>& all, const std::vector<float>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

// Calls use(tape, logits, features) for batch after batch of host images [n, S, S, 3].
template <class Use> void forward_batches(const EvalSession& s, const HostImages& images, int batch, Use use) {
  const size_t size = size_t(s.config().image_size) * s.config().image_size * 3, n = images.size() / size;
  Tape tape(*s.device, false);
  tape.keep_leaves();
  for (size_t first = 0; first < n; first += batch) {
    const int count = int(std::min<size_t>(batch, n - first));
    tape.clear();
    Features features;
    Tensor x = images_leaf(tape, {count, s.config().image_size, s.config().image_size, 3},
                           images.part(first * size, count * size));
    Tensor logits = s.vit().forward(tape, x, {}, &features);
    use(tape, logits, features);
  }
}

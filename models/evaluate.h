// Accuracy of a model on a source, each sample exactly once.
// defines: Evaluation, evaluate, multi_hot, host_images, RowSums
#pragma once
#include <map>
#include "data/loader.h"
#include "engine/ops/pixels.h"
#include "models/vit.h"

// The mean over rows of Σ_j A_ij, for one block: 1 for softmax, about 0.4 for relu/L at initialisation.
class RowSums : public AttentionProbe {
 public:
  RowSums(int images, int heads) : heads_(heads), sums_(size_t(images) * heads), rows_(sums_.size()) {}
  void tile(const AttentionTile& tile) override;
  double mean() const;

 private:
  int heads_;
  std::vector<double> sums_, rows_;    // [image, head]: no two threads write one entry
};

struct Evaluation {
  // correct: the top class is among the labels; correct5: one of the top five
  uint64_t count = 0, correct = 0, correct5 = 0;
  uint64_t unlabelled = 0;             // images without a label, which do not count
  double loss = 0;                     // mean; not a number where classes are chosen from `columns`
  double row_sum = 0;                  // mean over blocks, heads and rows of the first batch; NaN for a linear family
  double seconds = 0;
  uint64_t bad_images = 0;             // left out
  bool complete = true;                // not ended early
  double accuracy() const { return double(correct) / double(count); }
  double top5() const { return double(correct5) / double(count); }
};

// Runs through `loader` (made with train = false). loss: softmax or sigmoid. Calls go_on(samples done) after every
// batch, and ends early where that is false. Its memory is that of the tape `memory_of`, which is cleared, or its own.
// With `columns`, labels count those: columns[k] is the model's class for label k, or -1 where it has none, and other
// classes are not chosen from.
Evaluation evaluate(const ViT& vit, Loader& loader, const std::string& loss, const std::function<bool(uint64_t)>& go_on,
                    Tape* memory_of = nullptr, std::span<const int> columns = {});

// labels[size, classes], 1 at each label of an image; with `columns` at columns[label], where that is not -1
std::vector<float> multi_hot(std::span<const Labels> labels, int classes, std::span<const int> columns = {});

// Images as a model takes them.
HostImages host_images(std::span<const uint8_t> bytes, const ViTConfig& config);

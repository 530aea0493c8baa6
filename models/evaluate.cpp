#include "models/evaluate.h"
#include <chrono>
#include "engine/error.h"
#include "engine/ops/loss.h"
#include "models/train_step.h"

void RowSums::tile(const AttentionTile& tile) {
  double sum = 0;
  for (size_t i = 0; i < size_t(tile.rows) * tile.L; i++) sum += tile.A[i];
  const size_t slot = size_t(tile.image) * heads_ + tile.head;
  sums_[slot] += sum;
  rows_[slot] += tile.rows;
}

double RowSums::mean() const {
  double sum = 0, rows = 0;
  for (double s : sums_) sum += s;
  for (double r : rows_) rows += r;
  return sum / rows;
}

// Classes before the label in order of their logits; equal ones in order of the classes, as argmax has it. NaN is last.
static int rank_of(const float* logits, int classes, int label) {
  const float target = logits[label];
  if (target != target) return classes;
  int before = 0;
  for (int k = 0; k < classes; k++) before += k != label && !(logits[k] < target || (logits[k] == target && k > label));
  return before;
}

std::vector<float> one_hot(std::span<const int> labels, int classes) {
  std::vector<float> y(labels.size() * classes);
  for (size_t i = 0; i < labels.size(); i++) y[i * classes + labels[i]] = 1;
  return y;
}

Evaluation evaluate(const ViT& vit, Loader& loader, const std::string& loss, const std::function<bool(uint64_t)>& go_on, Tape* memory_of) {
  const ViTConfig& c = vit.config();
  const auto start = std::chrono::steady_clock::now();
  if (memory_of) memory_of->clear();
  Tape tape = memory_of ? Tape(*memory_of, false) : Tape(vit.parameters().device(), false);
  Evaluation result;
  for (Batch batch; result.complete && loader.next(batch);) {
    std::vector<RowSums> sums;
    std::vector<AttentionProbe*> probes;
    if (result.count == 0) {
      sums.assign(c.depth, RowSums(batch.size, c.heads));
      for (RowSums& s : sums) probes.push_back(&s);
    }
    tape.clear();
    Tensor logits = vit.forward(tape, tape.input("images", {batch.size, c.image_size, c.image_size, 3}, batch.images), probes);
    Tensor labels = tape.input("labels", logits.shape, one_hot(batch.labels, c.classes));
    for (float l : tape.download(loss_op(tape, loss, logits, labels))) result.loss += l;
    const std::vector<float> z = tape.download(logits);
    for (int b = 0; b < batch.size; b++) {
      const float* row = z.data() + size_t(b) * c.classes;
      const int rank = rank_of(row, c.classes, batch.labels[b]);
      result.correct += rank == 0;
      result.correct5 += rank < 5;
    }
    for (const RowSums& s : sums) result.row_sum += s.mean() / c.depth;
    result.count += batch.size;
    result.complete = go_on(result.count);
  }
  result.bad_images = loader.bad_count();
  if (result.count == 0) fail(ExitCode::data, "evaluation: no image could be read");
  result.loss /= double(result.count);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

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

std::vector<float> one_hot(std::span<const int> labels, int classes) {
  std::vector<float> y(labels.size() * classes);
  for (size_t i = 0; i < labels.size(); i++) y[i * classes + labels[i]] = 1;
  return y;
}

Evaluation evaluate(const ViT& vit, Loader& loader, const std::string& loss, const std::function<void(uint64_t)>& progress) {
  const ViTConfig& c = vit.config();
  const auto start = std::chrono::steady_clock::now();
  Tape tape(vit.parameters().device(), false);
  Evaluation result;
  for (Batch batch; loader.next(batch);) {
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
      const float target = row[batch.labels[b]];
      const int above = int(std::count_if(row, row + c.classes, [&](float x) { return !(x <= target); }));     // a NaN counts as wrong
      result.correct += above == 0 && row[batch.labels[b]] == target;
      result.correct5 += above < 5 && target == target;
    }
    for (const RowSums& s : sums) result.row_sum += s.mean() / c.depth;
    result.count += batch.size;
    if (progress) progress(result.count);
  }
  result.bad_images = loader.bad_count();
  if (result.count == 0) fail(ExitCode::data, "evaluation: no image could be read");
  result.loss /= double(result.count);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

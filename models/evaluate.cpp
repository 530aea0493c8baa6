#include "models/evaluate.h"
#include <chrono>
#include <limits>
#include "engine/error.h"
#include "engine/ops/label_ranks.h"
#include "engine/ops/loss.h"
#include "models/attention/list.h"
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

std::vector<float> multi_hot(std::span<const Labels> labels, int classes, std::span<const int> columns) {
  std::vector<float> y(labels.size() * classes);
  for (size_t i = 0; i < labels.size(); i++)
    for (const int label : labels[i])
      if (const int column = columns.empty() ? label : columns[label]; column >= 0) y[i * classes + column] = 1;
  return y;
}

HostImages host_images(std::span<const uint8_t> bytes, const ViTConfig& config) {
  return {bytes, config.mean, config.std};
}

Evaluation evaluate(const ViT& vit, Loader& loader, const std::string& loss, const std::function<bool(uint64_t)>& go_on,
                    Tape* memory_of, std::span<const int> columns) {
  const ViTConfig& c = vit.config();
  const auto start = std::chrono::steady_clock::now();
  if (memory_of) memory_of->clear();
  Tape tape = memory_of ? Tape(*memory_of, false) : Tape(vit.parameters().device(), false);
  tape.keep_leaves();
  Evaluation result;
  const bool has_weights = !is_linear(c.attention);
  if (!has_weights) result.row_sum = std::numeric_limits<double>::quiet_NaN();
  std::vector<float> allowed(columns.empty() ? 0 : c.classes);
  for (const int column : columns) if (column >= 0) allowed[column] = 1;
  for (Batch batch; result.complete && loader.next(batch);) {
    std::vector<RowSums> sums;
    std::vector<AttentionProbe*> probes;
    if (result.count + result.unlabelled == 0 && has_weights) {
      sums.assign(c.depth, RowSums(batch.size, c.heads));
      for (RowSums& s : sums) probes.push_back(&s);
    }
    tape.clear();
    const Shape shape{batch.size, c.image_size, c.image_size, 3};
    Tensor logits = vit.forward(tape, images_leaf(tape, shape, host_images(batch.images, c)), probes);
    Tensor labels = tape.input("labels", logits.shape, multi_hot(batch.labels, c.classes, columns));
    std::vector<float> losses(batch.size, std::numeric_limits<float>::quiet_NaN());
    if (columns.empty()) losses = tape.download(loss_op(tape, loss, logits, labels));
    const real* among = columns.empty() ? nullptr : tape.value(tape.input("classes", {c.classes}, allowed));
    const std::vector<int> ranks = label_ranks(tape, logits, tape.value(labels), among);
    for (int b = 0; b < batch.size; b++) {
      if (batch.labels[b].empty()) {
        result.unlabelled++;
        continue;
      }
      result.correct += ranks[b] == 0;
      result.correct5 += ranks[b] < std::min(5, c.classes);
      result.loss += losses[b];
      result.count++;
    }
    for (const RowSums& s : sums) result.row_sum += s.mean() / c.depth;
    result.complete = go_on(result.count + result.unlabelled);
  }
  result.bad_images = loader.bad_samples().size();
  if (result.count == 0) fail(ExitCode::data, "evaluation: no image with a label could be read");
  result.loss /= double(result.count);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

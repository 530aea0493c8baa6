// The subcommand confusion of eval.
#include "data/encode.h"
#include "engine/console.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/json.h"
#include "models/classes.h"
#include "models/confusion.h"
#include "models/eval_commands.h"
#include "models/evaluate.h"
#include "models/page.h"

namespace {

// The image as the model sees it.
std::string picture_of(const Index& index, uint64_t sample, const Preprocess& preprocess) {
  std::vector<uint8_t> bytes;
  Image seen{preprocess.image_size, preprocess.image_size,
             std::vector<uint8_t>(size_t(preprocess.image_size) * size_t(preprocess.image_size) * 3)};
  prepare_eval(index.image(sample, bytes), preprocess, seen.rgb.data());
  const std::string where = escaped(index.where(sample));
  return "<img alt=\"" + where + "\" title=\"" + where + "\" src='" + data_uri("image/png", encode_png(seen)) + "'>";
}

}    // namespace

int confusion(const EvalOptions& o) {
  const EvalSession s = open(o);
  std::optional<FolderLock> lock;
  if (!o.out.empty()) lock.emplace(o.out);
  const Index index = open_counting("data", o.data, s.classes(o), o.real);
  Loader loader(index, loader_options(o, s));
  Confusion counts(s.class_names());
  const size_t classes = size_t(s.config().classes);
  for_each_batch(o, s, loader, index.size(), true, [&](const Batch& batch, const std::vector<float>& logits) {
    for (size_t b = 0; b < size_t(batch.size); b++) {
      const auto z = logits.begin() + long(b * classes);
      counts.add(batch.samples[b], batch.labels[b], int(std::max_element(z, z + long(classes)) - z));
    }
  });
  if (counts.count() == 0) fail(ExitCode::data, "{}: no image with a label could be read", o.data);

  const size_t pairs = size_t(o.pairs);
  std::vector<std::string> files;
  const auto write = [&](const char* name, const std::string& text) {
    if (o.out.empty()) return;
    files.push_back((std::filesystem::path(o.out) / name).string());
    write_atomically(files.back(), [&](Writer& out) { out.write(text); });
  };
  write("confusion.csv", confusion_csv(counts));
  write("classes.csv", classes_csv(counts));
  const auto picture = [&](uint64_t sample) { return picture_of(index, sample, s.loaded.preprocess); };
  if (!o.out.empty())
    write("report.html", confusion_page(counts, pairs, describe(s, o.checkpoint) + "; " + o.data, picture));
  if (o.json) {
    nlohmann::ordered_json json = confusion_json(counts, pairs);
    json.update({{"bad_images", loader.bad_samples().size()}, {"files", files}});
    write_result(json_text(json) + "\n");
    return 0;
  }
  write_result(confusion_text(counts, pairs));
  for (const std::string& file : files) print_result("{}\n", file);
  return 0;
}

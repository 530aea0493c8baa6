// The subcommand confusion of eval.
#include <memory>
#include "data/encode.h"
#include "engine/console.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/flags.h"
#include "engine/json.h"
#include "models/classes.h"
#include "models/confusion.h"
#include "models/eval_session.h"
#include "models/evaluate.h"
#include "models/page.h"

namespace {

struct Options : EvalFlags {
  std::string data, out, real;
  int pairs = 10;
  LoaderFlags loader;
};

// The image as the model sees it.
std::string picture_of(const Index& index, uint64_t sample, const Preprocess& preprocess) {
  std::vector<uint8_t> bytes;
  Image seen{preprocess.image_size, preprocess.image_size,
             std::vector<uint8_t>(size_t(preprocess.image_size) * size_t(preprocess.image_size) * 3)};
  prepare_eval(index.image(sample, bytes), preprocess, seen.rgb.data());
  const std::string where = escaped(index.where(sample));
  return "<img alt=\"" + where + "\" title=\"" + where + "\" src='" + data_uri("image/png", encode_png(seen)) + "'>";
}

void confusion(const Options& o) {
  const EvalSession s = open(o);
  std::optional<FolderLock> lock;
  if (!o.out.empty()) lock.emplace(o.out);
  const Index index = open_counting("data", o.data, s.classes(o), o.real);
  Loader loader(index, loader_options(o, o.loader, s));
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
    return;
  }
  write_result(confusion_text(counts, pairs));
  for (const std::string& file : files) print_result("{}\n", file);
}

}    // namespace

void add_confusion(CLI::App& eval) {
  const auto o = std::make_shared<Options>();
  CLI::App* sub = eval.add_subcommand(
      "confusion", "which classes are taken for which: accuracy of each, and the pairs most often confused");
  o->add(*sub);
  sub->add_option("--data", o->data, "images with labels: a shard pattern, a folder, a tar, or a text file of them")
      ->required();
  sub->add_option("--out", o->out,
                  "a folder for report.html with pictures, confusion.csv (a row for each true class) and classes.csv");
  sub->add_option("--pairs", o->pairs, "of classes that are confused, the most frequent first")
      ->check(whole_number(1, 10'000))
      ->capture_default_str();
  sub->add_option("--real", o->real,
                  "real.json: the labels of 'Are we done with ImageNet?' for the validation images");
  o->loader.add(*sub);
  sub->callback([o] { confusion(*o); });
}

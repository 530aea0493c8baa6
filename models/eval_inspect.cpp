// The subcommand inspect of eval.
#include <fmt/ranges.h>
#include <memory>
#include <numeric>
#include "engine/console.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/flags.h"
#include "engine/json.h"
#include "engine/progress.h"
#include "models/classes.h"
#include "models/eval_session.h"
#include "models/evaluate.h"
#include "models/inspect_page.h"
#include "models/words.h"

namespace {

namespace fs = std::filesystem;

struct Options : EvalFlags {
  std::string data, out, loss = "softmax";
  int images = 16, pictures = 2;       // how many are looked at, and how many the page shows
  std::vector<int> layers;
  std::vector<std::string> queries, arrays;
  LoaderFlags loader;
};

// The first images of a source, with what is said about them.
struct Images {
  std::vector<uint8_t> pixels;                   // [N, S, S, 3]
  std::vector<float> labels;                     // [N, classes]
  std::vector<std::string> names;                // of the labels
  int size() const { return int(names.size()); }
};

Images images_of(const Options& o, const EvalSession& s) {
  const Index index = open_counting("data", o.data, s.classes(o));
  if (o.given("--images") && size_t(o.images) > index.size())
    fail(ExitCode::usage, "--images: {} are asked for, but {} has {}", o.images, o.data, index.size());
  LoaderOptions options = loader_options(o, o.loader, s);
  options.limit = std::min<size_t>(o.images, index.size());
  options.batch = std::min<int>(options.batch, int(options.limit));
  Loader loader(index, options);
  const std::vector<std::string> names = s.class_names();
  Images all;
  for (Batch batch; loader.next(batch);) {
    all.pixels.insert(all.pixels.end(), batch.images.begin(), batch.images.end());
    append(all.labels, multi_hot(batch.labels, s.config().classes));
    for (const Labels& labels : batch.labels) {
      if (labels.empty())
        fail(ExitCode::data,
             "{}: an image has no label, and the gradients are those of a loss that needs one; give images with labels",
             o.data);
      all.names.push_back(names[labels[0]]);
    }
  }
  for (const auto& [number, reason] : loader.bad_samples()) print_log("left out {}\n", reason);
  if (all.size() == 0) fail(ExitCode::data, "{}: no image could be read", o.data);
  return all;
}

// Counts what passes through attention on some images, forward and backward: a page, tables, arrays
void inspect_images(const Options& o) {
  const EvalSession s = open(o, true);          // what is broken is shown, not refused
  const ViTConfig& c = s.config();
  InspectOptions options{
      .loss = o.loss, .batch = o.batch, .pictures = o.pictures, .arrays = o.arrays, .layers = o.layers};
  const std::vector<Query> queries = parse_queries(o.queries, TokenGrid(c));
  constexpr double most_for_maps = 2e9;          // bytes, unless more are asked for
  if (!o.given("--pictures"))
    while (options.pictures > 0 && map_values(c, options, options.pictures) * sizeof(real) > most_for_maps)
      options.pictures--;
  if (options.pictures < o.pictures)
    print_log(
        "note    maps of {} pictures: the weights of one take {:.1f} GB; --layers keeps fewer, --pictures insists\n",
        options.pictures, map_values(c, options, 1) * sizeof(real) / 1e9);
  check_arrays(c, options, o.images);
  const fs::path folder = o.out;
  const FolderLock lock(folder);
  const Images all = images_of(o, s);
  options.pictures = std::min(options.pictures, all.size());

  const Inspection inspection = inspect(s.vit(), host_images(all.pixels, c), all.labels, options);
  const std::vector<std::string> words = diagnoses(inspection, s.vit());
  if (options.layers.empty())
    options.layers.resize(c.depth), std::iota(options.layers.begin(), options.layers.end(), 0);
  std::vector<std::string> files;
  const auto write = [&](const char* name, const std::string& text) {
    write_atomically(folder / name, [&](Writer& out) { out.write(text); });
    files.push_back((folder / name).string());
  };
  write("statistics.csv", statistics_csv(inspection));
  write("parameters.csv", parameters_csv(inspection));
  for (const std::string& file : write_arrays(inspection, options, folder)) files.push_back(file);
  if (!o.json) {
    print_result("{} images, {} loss {:.4f}\n", inspection.images, o.loss, inspection.loss);
    for (const std::string& word : words) print_result("- {}\n", word);
    if (words.empty()) print_result("nothing unusual\n");
  }
  try {                                          // last: without gnuplot all the rest is there
    write("report.html",
          inspection_page({inspection, describe(s, o.checkpoint), o.data, o.loss, words, all.pixels, all.names,
                           options.pictures, options.layers, queries}));
  } catch (const Error& e) {
    if (inspection.broken.empty()) throw;
    print_log("no page: {}\n", e.what());
  }

  if (o.json) {
    const nlohmann::ordered_json json{
        {"images", inspection.images}, {"loss", inspection.loss}, {"words", words}, {"files", files}};
    write_result(json_text(json) + "\n");
  } else {
    for (const std::string& file : files) print_result("{}\n", file);
  }
  if (!inspection.broken.empty()) fail(ExitCode::non_finite, "{}; {} shows the rest", inspection.broken, files.back());
}

}  // namespace

void add_inspect(CLI::App& eval) {
  const auto o = std::make_shared<Options>();
  CLI::App* sub = eval.add_subcommand("inspect",
                                      "looks inside on some images: scores, weights, their gradients, head by head; a "
                                      "page, tables, arrays, and what is wrong in words");
  o->add(*sub);
  sub->add_option("--data", o->data, "images with labels: a shard pattern, a folder, a tar, or a text file of them")
      ->required();
  sub->add_option("--out", o->out, "a folder for report.html, statistics.csv, parameters.csv and arrays")->required();
  sub->add_option("--images", o->images, "how many, from the first on")->check(whole_number(1))->capture_default_str();
  sub->add_option("--pictures", o->pictures, "of how many the page shows maps")
      ->check(whole_number(0))
      ->capture_default_str();
  sub->add_option("--queries", o->queries,
                  "whose weights the maps show: mean (of all queries), cls, or ROW:COLUMN of a patch (default: cls or "
                  "mean, and the middle)")
      ->delimiter(',');
  sub->add_option("--layers", o->layers, "whose maps and arrays, counted from 0 (default: all)")
      ->check(whole_number(0))
      ->delimiter(',');
  sub->add_option("--npy", o->arrays,
                  "arrays to write for each layer: S, A, dA, dS [N, H, L, L]; q, k, v, dO, dq, dk, dv [N, H, L, d]")
      ->delimiter(',');
  o->loader.add(*sub);
  add_loss(*sub, o->loss);
  sub->callback([o] { inspect_images(*o); });
}

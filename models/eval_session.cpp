#include "models/eval_session.h"
#include <algorithm>
#include <cmath>
#include <fmt/ranges.h>
#include "data/imagenet.h"
#include "data/shards/scan_cache.h"
#include "engine/console.h"
#include "engine/error.h"
#include "engine/progress.h"
#include "models/attention/layer.h"
#include "models/attention/list.h"
#include "models/evaluate.h"
#include "models/init.h"

std::string describe(const EvalSession& s, const std::string& checkpoint) {
  const ViTConfig& c = s.config();
  const std::string alpha = has_alpha(c.attention) ? fmt::format(" alpha {}", c.alpha) : "";
  return fmt::format("{}: width {}, depth {}, heads {}, patch {}, image {}, {}, {}{}{}, {} classes, {} parameters",
                     checkpoint, c.width, c.depth, c.heads, c.patch, c.image_size, c.pool, c.attention, alpha,
                     attention_options(c), c.classes, s.vit().parameters().size());
}

// How pictures are cut: what the file says, else the flag, else what is usual here, and then it is said.
static void take_crop(const EvalFlags& o, Loaded& loaded) {
  const bool known = loaded.metadata.contains("crop"), given = o.given("--crop");
  if (known && given && o.crop != loaded.preprocess.crop)
    fail(ExitCode::usage, "--crop: {} is given, but {} says {}", o.crop, o.checkpoint, loaded.preprocess.crop);
  if (!known) loaded.preprocess.crop = o.crop;
  if (!known && !given)
    loaded.notes.push_back(
        fmt::format("{} does not say how pictures are cut: --crop {} is assumed", o.checkpoint, o.crop));
}

EvalSession open(const EvalFlags& o, bool any_values) {
  Stated stated = o.model.stated(*o.subcommand);
  stated.config.attention = o.attention, stated.config.alpha = o.alpha;
  const bool resize = o.given("--image-size");
  EvalSession s{o.device.open(), {}};
  std::string resized;                             // what was done about another image size
  s.loaded = load_vit(*s.device, o.checkpoint, stated, any_values, [&](Weights& weights) {
    if (resize && stated.config.image_size != weights.config.image_size)
      resized =
          at_image_size(weights, stated.config.image_size, o.given("--alpha") ? std::optional(o.alpha) : std::nullopt);
  });
  const auto given = field_texts(stated.config), has = field_texts(s.config());
  for (const std::string& field : stated.fields)   // no flag is passed over in silence
    if (given.at(field) != has.at(field) && !(field == "alpha" && !resized.empty()))
      fail(ExitCode::usage, "{}: {} is given, but {} says {}", flag_of(field), given.at(field), o.checkpoint,
           has.at(field));
  take_crop(o, s.loaded);
  if (!resized.empty()) print_log("note    {}\n", resized);
  for (const std::string& note : s.loaded.notes) print_log("note    {}\n", note);
  print_log("model   {}\n", describe(s, o.checkpoint));
  return s;
}

std::vector<std::string> EvalSession::class_names() const {
  const ImagenetList* list = loaded.classes.empty() ? imagenet_list_of(config().classes) : nullptr;
  if (list)
    print_log("note    the weights name no classes: they are taken for those of {}, which has as many\n", list->title);
  std::vector<std::string> names = list ? list->wnids : loaded.classes;
  for (int c = int(names.size()); c < config().classes; c++) names.push_back(fmt::format("class {}", c));
  return names;
}

LoaderOptions loader_options(const EvalFlags& o, const LoaderFlags& loader, const EvalSession& s) {
  const int workers = loader.workers.value_or(o.device.default_workers());
  print_log("loader  {}\n", workers_text(workers));
  return {.batch = o.batch,
          .preprocess = s.loaded.preprocess,
          .workers = workers,
          .on_bad = loader.on_bad == "skip" ? OnBadImage::skip : OnBadImage::error};
}

void for_each_batch(const EvalFlags& o, const EvalSession& s, Loader& loader, size_t images, bool progress,
                    const UseLogits& use) {
  std::optional<Progress> bar;
  if (progress) bar.emplace(int64_t(images));
  int64_t done = 0;
  for (Batch batch; loader.next(batch); done += batch.size) {
    std::vector<float> logits;
    forward_batches(s, host_images(batch.images, s.config()), o.batch,
                    [&](Tape& tape, Tensor z, const Features&) { append(logits, tape.download(z)); });
    if (std::any_of(logits.begin(), logits.end(), [](float z) { return !std::isfinite(z); }))
      fail(ExitCode::non_finite,
           "{}: a logit of images {} to {} of {} is not finite; eval inspect says where that begins", o.checkpoint,
           done, done + batch.size - 1, images);
    use(batch, logits);
    if (bar) bar->show(done + batch.size, "images");
  }
  bar.reset();
  for (const auto& [sample, reason] : loader.bad_samples()) print_log("left out {}\n", reason);
}

Array read_input(const EvalSession& s, const std::string& path) {
  Array x = read_npy(path);
  const int64_t side = s.config().image_size;
  if (x.shape.size() != 4 || x.shape[1] != side || x.shape[2] != side || x.shape[3] != 3)
    fail(ExitCode::data, "{}: shape is [{}], expected [N, {}, {}, 3]; --image-size sets the model's", path,
         fmt::join(x.shape, ", "), side, side);
  return x;
}

Index open_source(const std::string& source) {
  Index index = Index::open(source, default_cache_dir());
  print_log("data    {}\n", index.summary());
  return index;
}

SourceFeatures features_of(const EvalFlags& o, const EvalSession& s, const Index& index,
                           const LoaderOptions& options) {
  Loader loader(index, options);
  SourceFeatures all;
  Progress progress{int64_t(index.size())};
  for (Batch batch; loader.next(batch);) {
    forward_batches(s, host_images(batch.images, s.config()), o.batch,
                    [&](Tape& tape, Tensor, const Features& f) { append(all.values, tape.download(f.pre_logits)); });
    for (const Labels& labels : batch.labels) all.labels.push_back(labels[0]);
    progress.show(int64_t(all.labels.size()), "images");
  }
  for (const auto& [sample, reason] : loader.bad_samples()) progress.say("left out " + reason);
  return all;
}

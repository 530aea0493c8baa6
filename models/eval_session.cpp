#include "models/eval_session.h"
#include <algorithm>
#include <cmath>
#include <fmt/ranges.h>
#include "data/imagenet.h"
#include "engine/console.h"
#include "engine/error.h"
#include "engine/progress.h"
#include "models/attention_layer.h"
#include "models/attention_list.h"
#include "models/evaluate.h"
#include "models/init.h"

std::string describe(const EvalSession& s, const std::string& checkpoint) {
  const ViTConfig& c = s.config();
  return fmt::format("{}: width {}, depth {}, heads {}, patch {}, image {}, {}, {}{}{}, {} classes, {} parameters", checkpoint, c.width, c.depth, c.heads, c.patch, c.image_size, c.pool,
                     c.attention, has_alpha(c.attention) ? fmt::format(" alpha {}", c.alpha) : "", attention_options(c), c.classes, s.vit().parameters().size());
}

EvalSession open(const EvalOptions& o, bool any_values) {
  ViTConfig wanted = o.model.config();
  wanted.attention = o.attention;
  wanted.alpha = o.alpha;
  check_config(wanted);
  EvalSession s{o.device.open(), {}};
  std::string resized;                             // what was done about another image size
  s.loaded = load_vit(*s.device, o.checkpoint, wanted, any_values, [&](Weights& weights) {
    if (o.given("--image-size") && wanted.image_size != weights.config.image_size)
      resized = at_image_size(weights, wanted.image_size, o.given("--alpha") ? std::optional(wanted.alpha) : std::nullopt);
  });
  const ViTConfig& c = s.config();
  auto agree = [&](const char* flag, const auto& given, const auto& has) {     // no flag is passed over in silence
    if (o.given(flag) && given != has) fail(ExitCode::usage, "{}: {} is given, but {} says {}", flag, given, o.checkpoint, has);
  };
  agree("--attention", wanted.attention, c.attention), agree("--gelu", wanted.gelu, c.gelu);
  if (resized.empty()) agree("--alpha", wanted.alpha, c.alpha);
  else print_log("note    {}\n", resized);
  agree("--width", wanted.width, c.width), agree("--heads", wanted.heads, c.heads);
  print_log("model   {}\n", describe(s, o.checkpoint));
  return s;
}

std::vector<std::string> EvalSession::class_names() const {
  const ImagenetList* list = loaded.classes.empty() ? imagenet_list_of(config().classes) : nullptr;
  std::vector<std::string> names = list ? list->wnids : loaded.classes;
  for (int c = int(names.size()); c < config().classes; c++) names.push_back(fmt::format("class {}", c));
  return names;
}

LoaderOptions loader_options(const EvalOptions& o, const EvalSession& s) {
  const int workers = o.workers.value_or(o.device.default_workers());
  print_log("loader  {}\n", workers_text(workers));
  return {.batch = o.batch, .preprocess = s.loaded.preprocess, .workers = workers, .on_bad = o.bad == "skip" ? OnBadImage::skip : OnBadImage::error};
}

void for_each_batch(const EvalOptions& o, const EvalSession& s, Loader& loader, size_t images, bool progress,
                    const UseLogits& use) {
  std::optional<Progress> bar;
  if (progress) bar.emplace(int64_t(images));
  int64_t done = 0;
  for (Batch batch; loader.next(batch); done += batch.size) {
    std::vector<float> logits;
    forward_batches(s, host_images(batch, loader.preprocess()), o.batch,
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
    fail(ExitCode::data, "{}: shape is [{}], expected [N, {}, {}, 3]; --image-size sets the model's", path, fmt::join(x.shape, ", "), side, side);
  return x;
}

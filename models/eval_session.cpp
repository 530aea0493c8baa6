#include "models/eval_session.h"
#include <CLI/CLI.hpp>
#include <fmt/ranges.h>
#include "engine/attention/families.h"
#include "engine/error.h"
#include "models/attention_layer.h"
#include "models/init.h"

bool EvalOptions::given(const std::string& flag) const { return flags->count(flag); }

void add_model(CLI::App& app, EvalOptions& o) {
  app.add_option("--checkpoint", o.checkpoint, "weights: our safetensors, timm's safetensors or BigVision's npz")->required();
  o.model.add(app, true);
  app.add_option("--attention", o.attention, "attention function of a foreign file: " + attention_names())->capture_default_str()->group("Model");
  app.add_option("--alpha", o.alpha, "its exponent of L; with another --image-size than trained with: the exponent of the change, from the factor of training")->check(CLI::NonNegativeNumber)->capture_default_str()->group("Model");
  o.device.add(app);
  app.add_option("--batch", o.batch, "images at a time")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_flag("--json", o.json, "one JSON object on stdout");
}

void add_source(CLI::App& app, EvalOptions& o) {
  app.add_option("--workers", o.workers, "threads that decode images ahead")->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--on-bad-image", o.bad, "error, or skip and count")->check(CLI::IsMember({"error", "skip"}))->capture_default_str();
}

void add_loss(CLI::App& app, EvalOptions& o) {
  app.add_option("--loss", o.loss, "softmax or sigmoid")->check(CLI::IsMember({"softmax", "sigmoid"}))->capture_default_str();
}

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
  else fmt::print(stderr, "note    {}\n", resized);
  agree("--width", wanted.width, c.width), agree("--heads", wanted.heads, c.heads);
  fmt::print(stderr, "model   {}\n", describe(s, o.checkpoint));
  return s;
}

LoaderOptions loader_options(const EvalOptions& o, const EvalSession& s) {
  return {.batch = o.batch, .preprocess = s.loaded.preprocess, .workers = o.workers, .on_bad = o.bad == "skip" ? OnBadImage::skip : OnBadImage::error};
}

Array read_input(const EvalSession& s, const std::string& path) {
  Array x = read_npy(path);
  const int64_t side = s.config().image_size;
  if (x.shape.size() != 4 || x.shape[1] != side || x.shape[2] != side || x.shape[3] != 3)
    fail(ExitCode::data, "{}: shape is [{}], expected [N, {}, {}, 3]; --image-size sets the model's", path, fmt::join(x.shape, ", "), side, side);
  return x;
}

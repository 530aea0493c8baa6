// The subcommand export of eval.
#include <memory>
#include "engine/console.h"
#include "engine/error.h"
#include "engine/flags.h"
#include "engine/json.h"
#include "models/bigvision.h"
#include "models/eval_session.h"
#include "models/timm_lines.h"

namespace {

namespace fs = std::filesystem;

struct Options : EvalFlags {
  std::string to;
};

// The weights in another program's form, and how timm opens them
void export_weights(const Options& o) {
  const EvalSession s = open(o);
  const fs::path path = o.to;
  const bool timm = path.extension() == ".safetensors";
  if (!timm && path.extension() != ".npz")
    fail(ExitCode::usage, "--to: '{}', expected a name that ends in .safetensors (timm) or .npz (BigVision)", o.to);
  if (const std::string option = only_here(s.config()); !timm && !option.empty())
    fail(ExitCode::usage, "{}: BigVision has no {}, so weights in its form would not be this model", o.checkpoint,
         option);
  if (timm) save_weights(path, s.vit(), s.loaded.preprocess, s.loaded.classes);
  else write_bigvision(path, s.config(), tensors_of(s.vit()));
  const std::string missing = timm ? timm_cannot(s.config()) : "", python = timm ? timm_lines(s.config(), o.to) : "";
  if (!missing.empty())
    print_log("note    timm's VisionTransformer has not: {}{}\n", missing,
              python.empty() ? "; so it cannot compute this model" : "; the lines of Python put it in");
  if (o.json) {
    nlohmann::ordered_json json{{"file", o.to}, {"parameters", s.vit().parameters().size()}};
    if (timm) json.update({{"timm_lacks", missing}, {"python", python}});
    write_result(json_text(json) + "\n");
  } else {
    print_result("{}: {} parameters\n", o.to, s.vit().parameters().size());
    if (!python.empty()) write_result("\n" + python);
  }
}

}  // namespace

void add_export(CLI::App& eval) {
  const auto o = std::make_shared<Options>();
  CLI::App* sub = eval.add_subcommand("export", "the weights for other programs");
  o->add(*sub);
  sub->add_option("--to", o->to, "OUT.safetensors for timm, OUT.npz for BigVision")->required();
  sub->callback([o] { export_weights(*o); });
}

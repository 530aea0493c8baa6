// The subcommand features of eval.
#include <memory>
#include "engine/console.h"
#include "engine/error.h"
#include "engine/flags.h"
#include "engine/json.h"
#include "engine/npy.h"
#include "models/eval_session.h"

namespace {

struct Options : EvalFlags {
  std::string data, input, out;
  LoaderFlags loader;
};

// What the head sees, [N, D]: of a source in index order, or of an array of images
void features(const Options& o) {
  if (o.data.empty() == o.input.empty()) fail(ExitCode::usage, "features: give one of --data and --input");
  const EvalSession s = open(o);
  std::vector<float> all;
  if (o.input.empty()) all = features_of(o, s, open_source(o.data), loader_options(o, o.loader, s)).values;
  else
    forward_batches(s, read_input(s, o.input).floats(), o.batch,
                    [&](Tape& tape, Tensor, const Features& f) { append(all, tape.download(f.pre_logits)); });
  const int64_t n = int64_t(all.size()) / s.config().width;
  write_npy(o.out, {n, s.config().width}, all);
  if (o.json)
    write_result(json_text(nlohmann::ordered_json{{"file", o.out}, {"shape", {n, s.config().width}}}) + "\n");
  else print_result("{}: [{}, {}]\n", o.out, n, s.config().width);
}

}  // namespace

void add_features(CLI::App& eval) {
  const auto o = std::make_shared<Options>();
  CLI::App* sub = eval.add_subcommand("features", "what the head sees, [N, D], as .npy");
  o->add(*sub);
  sub->add_option("--data", o->data, "images, in the order of the shards");
  sub->add_option("--input", o->input, "or x.npy, float32 [N, H, W, 3], in the model's range");
  sub->add_option("--out", o->out, "F.npy")->required();
  o->loader.add(*sub);
  sub->callback([o] { features(*o); });
}

// The subcommand gradients of eval.
#include <fmt/ranges.h>
#include <memory>
#include "engine/console.h"
#include "engine/error.h"
#include "engine/flags.h"
#include "engine/json.h"
#include "engine/npy.h"
#include "engine/ops/loss.h"
#include "engine/safetensors.h"
#include "models/eval_session.h"
#include "models/evaluate.h"
#include "models/train_step.h"

namespace {

struct Options : EvalFlags {
  std::string input, labels, out, loss = "softmax";
};

// Loss and the gradient of every parameter on one batch, for comparison with other implementations
void gradients(const Options& o) {
  const EvalSession s = open(o);
  const ViTConfig& c = s.config();
  const Array x = read_input(s, o.input), y = read_npy(o.labels);
  const int n = int(x.shape[0]);
  std::vector<float> labels;
  if (y.shape.size() == 1) {
    std::vector<int> classes;
    for (int64_t label : y.ints()) {
      if (label < 0 || label >= c.classes)
        fail(ExitCode::data, "{}: label {} at {}, expected 0 to {}", o.labels, label, classes.size(), c.classes - 1);
      classes.push_back(int(label));
    }
    std::vector<Labels> each;
    for (const int& label : classes) each.emplace_back(&label, 1);
    labels = multi_hot(each, c.classes);
  } else {
    labels = y.floats();
  }
  if (int64_t(labels.size()) != int64_t(n) * c.classes)
    fail(ExitCode::data, "{}: shape is [{}], expected [{}] or [{}, {}]", o.labels, fmt::join(y.shape, ", "), n, n,
         c.classes);

  Tape tape(*s.device);
  Tensor logits = s.vit().forward(tape, tape.input("images", {n, c.image_size, c.image_size, 3}, x.floats()));
  Tensor loss = mean(tape, loss_op(tape, o.loss, logits, tape.input("labels", {n, c.classes}, labels)));
  tape.backward(loss);

  const Parameters& parameters = s.vit().parameters();
  std::vector<std::vector<float>> values;
  std::vector<StoredTensor> stored;
  for (const Parameter& p : parameters.list()) values.push_back(parameters.gradient(p));
  for (size_t i = 0; const Parameter& p : parameters.list()) {
    std::vector<int64_t> shape;
    for (int k = 0; k < p.shape.rank(); k++) shape.push_back(p.shape[k]);
    stored.push_back({p.name, "F32", shape, std::as_bytes(std::span(values[i++]))});
  }
  if (!o.out.empty()) write_safetensors(o.out, stored);
  const double l = tape.download(loss)[0], norm = GlobalNorm(parameters)();
  if (o.json) write_result(json_text(nlohmann::ordered_json{{"loss", l}, {"gradient_norm", norm}}) + "\n");
  else print_result("{} loss    {:.6f}\ngradient norm   {:.6f}\n", o.loss, l, norm);
}

}  // namespace

void add_gradients(CLI::App& eval) {
  const auto o = std::make_shared<Options>();
  CLI::App* sub = eval.add_subcommand("gradients", "loss and gradient of every parameter on a batch");
  o->add(*sub);
  sub->add_option("--input", o->input, "x.npy, float32 [N, H, W, 3]")->required();
  sub->add_option("--labels", o->labels, "y.npy, int [N] or float [N, classes]")->required();
  sub->add_option("--out", o->out, "G.safetensors, a gradient under each parameter's name");
  add_loss(*sub, o->loss);
  sub->callback([o] { gradients(*o); });
}

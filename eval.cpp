// build/eval: looks at a trained model. Results go to stdout, progress to stderr.
#include <CLI/CLI.hpp>
#include <fmt/ranges.h>
#include "engine/console.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/flags.h"
#include "engine/json.h"
#include "engine/machine.h"
#include "engine/npy.h"
#include "engine/ops/loss.h"
#include "engine/program.h"
#include "engine/progress.h"
#include "engine/safetensors.h"
#include "models/bigvision.h"
#include "models/classes.h"
#include "models/eval_commands.h"
#include "models/evaluate.h"
#include "models/report.h"
#include "models/timm_lines.h"
#include "models/train_step.h"

namespace {

namespace fs = std::filesystem;

int accuracy(const EvalOptions& o) {
  const EvalSession s = open(o);
  Restriction r{s.classes(o), {}, {}};
  if (!o.restrict_to.empty()) r = restrict_to(o.restrict_to, s.classes(o));
  const Index index = open_counting("data", o.data, r.classes, o.real);
  const size_t found = r.columns.size() - r.absent.size();
  std::string absent;
  if (!r.absent.empty())
    absent = fmt::format("; it has none for {}, whose images count as wrong", fmt::join(r.absent, ", "));
  if (!r.columns.empty()) print_log("classes {} of the model's {}{}\n", found, s.config().classes, absent);
  Loader loader(index, loader_options(o, s));
  Evaluation e;
  {
    Progress progress{int64_t(index.size())};
    const auto show = [&](uint64_t done) { progress.show(int64_t(done), "images"); return true; };
    e = evaluate(s.vit(), loader, o.loss, show, nullptr, r.columns);
  }
  for (const auto& [sample, reason] : loader.bad_samples()) print_log("left out {}\n", reason);
  if (o.json) {
    nlohmann::ordered_json json{{"count", e.count}, {"of", index.size()}, {"without_label", e.unlabelled}, {"top1", e.accuracy()}, {"top5", e.top5()}};
    if (r.columns.empty()) json["loss"] = e.loss;
    else json["absent"] = r.absent;
    json.update({{"mean_row_sum", e.row_sum}, {"images_per_second", double(e.count) / e.seconds}, {"bad_images", e.bad_images}});
    write_result(json_text(json) + "\n");
  } else {
    print_result("images            {}/{}{}\ntop-1             {:.2f} %\ntop-5             {:.2f} %\n", e.count, index.size(), e.unlabelled ? fmt::format(", {} without a label", e.unlabelled) : "",
               100 * e.accuracy(), 100 * e.top5());
    if (r.columns.empty()) print_result("{:<18}{:.4f}\n", o.loss + " loss", e.loss);
    if (!std::isnan(e.row_sum)) print_result("mean row sum of A {:.4g}\n", e.row_sum);
    print_result("images/s          {:.1f}\n", double(e.count) / e.seconds);
  }
  return 0;
}

// Loss and the gradient of every parameter on one batch, for comparison with other implementations
int gradients(const EvalOptions& o) {
  const EvalSession s = open(o);
  const ViTConfig& c = s.config();
  const Array x = read_input(s, o.input), y = read_npy(o.labels);
  const int n = int(x.shape[0]);
  std::vector<float> labels;
  if (y.shape.size() == 1) {
    std::vector<int> classes;
    for (int64_t label : y.ints()) {
      if (label < 0 || label >= c.classes) fail(ExitCode::data, "{}: label {} at {}, expected 0 to {}", o.labels, label, classes.size(), c.classes - 1);
      classes.push_back(int(label));
    }
    std::vector<Labels> each;
    for (const int& label : classes) each.emplace_back(&label, 1);
    labels = multi_hot(each, c.classes);
  } else {
    labels = y.floats();
  }
  if (int64_t(labels.size()) != int64_t(n) * c.classes)
    fail(ExitCode::data, "{}: shape is [{}], expected [{}] or [{}, {}]", o.labels, fmt::join(y.shape, ", "), n, n, c.classes);

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
  return 0;
}

// The weights in another program's form, and how timm opens them
int export_weights(const EvalOptions& o) {
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
  return 0;
}

// Runs beside each other: a table on stdout, and a page
int report(const EvalOptions& o) {
  const std::vector<RunSummary> runs = read_runs(o.runs);
  write_result(o.json ? report_json(runs) + "\n" : report_table(runs));
  if (!o.out.empty()) write_atomically(o.out, [page = report_page(runs)](Writer& out) { out.write(page); });
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  wait_briefly(argv);
  return run_program("eval", [&] {
    CLI::App app{"Looks at a trained Vision Transformer.", "eval"};
    set_up_help(app, "Common");
    app.require_subcommand(1);
    EvalOptions o;
    int result = 0;
    auto subcommand = [&](const char* name, const char* help, int (*run)(const EvalOptions&)) {
      CLI::App* sub = app.add_subcommand(name, help);
      add_model(*sub, o);
      sub->callback([&result, &o, run, sub] { o.flags = sub; result = run(o); });
      return sub;
    };

    CLI::App* sub = subcommand("accuracy", "top-1, top-5 and loss on a source, each image once", accuracy);
    sub->add_option("--data", o.data, "images: a shard pattern, a folder, a tar, or a text file of them")->required();
    add_source(*sub, o);
    add_loss(*sub, o);
    sub->add_option("--restrict-to", o.restrict_to, "choose from these classes only, which the labels count: 1k (a model of 21,843 classes on ImageNet-1k), or a file with a wnid or class name a line");
    sub->add_option("--real", o.real, "real.json: the labels of 'Are we done with ImageNet?' for the validation images");

    sub = subcommand("features", "what the head sees, [N, D], as .npy", features);
    sub->add_option("--data", o.data, "images, in the order of the shards");
    sub->add_option("--input", o.input, "or x.npy, float32 [N, H, W, 3], in the model's range");
    sub->add_option("--out", o.out, "F.npy")->required();
    add_source(*sub, o);

    sub = subcommand("predict", "the likeliest classes of pictures", predict);
    sub->add_option("IMAGE", o.images,
                    "JPEG or PNG files, folders with such files below them, tars and zips of them, and sources as of "
                    "train --train");
    sub->add_option("--input", o.input, "or x.npy, float32 [N, H, W, 3], in the model's range");
    sub->add_option("--top", o.top, "how many classes of each picture")
        ->check(whole_number(1, 100'000))
        ->capture_default_str();
    sub->add_option("--out", o.out,
                    "a CSV file in place of the list: path, true class where it is known, predicted class, "
                    "probability, the next ones");
    sub->add_option("--logits", o.logits, "also write the logits, [N, classes], as .npy");
    add_source(*sub, o);
    add_loss(*sub, o);

    sub =
        subcommand("confusion",
                   "which classes are taken for which: accuracy of each, and the pairs most often confused", confusion);
    sub->add_option("--data", o.data, "images with labels: a shard pattern, a folder, a tar, or a text file of them")
        ->required();
    sub->add_option(
        "--out", o.out,
        "a folder for report.html with pictures, confusion.csv (a row for each true class) and classes.csv");
    sub->add_option("--pairs", o.pairs, "of classes that are confused, the most frequent first")
        ->check(whole_number(1, 10'000))
        ->capture_default_str();
    sub->add_option("--real", o.real,
                    "real.json: the labels of 'Are we done with ImageNet?' for the validation images");
    add_source(*sub, o);

    sub = subcommand("fewshot", "BigVision's few-shot linear probe: ridge regression on the features of a few images a class", fewshot_probe);
    sub->add_option("--task", o.tasks, "NAME=TRAIN_SOURCE,TEST_SOURCE; any number of them")->required();
    sub->add_option("--shots", o.shots, "training images a class")->delimiter(',')->check(whole_number(1))->capture_default_str();
    sub->add_option("--seeds", o.seeds, "choices of them: seeds 0, 1, ...")->check(whole_number(1))->capture_default_str();
    sub->add_option("--out", o.out, "a folder for features, labels and predictions of each task, as .npy");
    sub->add_option("--l2", o.l2, "weight of the ridge")->check(above_zero())->capture_default_str();
    add_source(*sub, o);

    sub = subcommand("gradients", "loss and gradient of every parameter on a batch", gradients);
    sub->add_option("--input", o.input, "x.npy, float32 [N, H, W, 3]")->required();
    sub->add_option("--labels", o.labels, "y.npy, int [N] or float [N, classes]")->required();
    sub->add_option("--out", o.out, "G.safetensors, a gradient under each parameter's name");
    add_loss(*sub, o);

    sub = subcommand("inspect", "looks inside on some images: scores, weights, their gradients, head by head; a page, tables, arrays, and what is wrong in words", inspect_command);
    sub->add_option("--data", o.data, "images with labels: a shard pattern, a folder, a tar, or a text file of them")->required();
    sub->add_option("--out", o.out, "a folder for report.html, statistics.csv, parameters.csv and arrays")->required();
    sub->add_option("--images", o.image_count, "how many, from the first on")->check(whole_number(1))->capture_default_str();
    sub->add_option("--pictures", o.pictures, "of how many the page shows maps")->check(whole_number(0))->capture_default_str();
    sub->add_option("--queries", o.queries, "whose weights the maps show: mean (of all queries), cls, or ROW:COLUMN of a patch (default: cls or mean, and the middle)")->delimiter(',');
    sub->add_option("--layers", o.layers, "whose maps and arrays, counted from 0 (default: all)")->check(whole_number(0))->delimiter(',');
    sub->add_option("--npy", o.arrays, "arrays to write for each layer: S, A, dA, dS [N, H, L, L]; q, k, v, dO, dq, dk, dv [N, H, L, d]")->delimiter(',');
    add_source(*sub, o);
    add_loss(*sub, o);

    sub = subcommand("export", "the weights for other programs", export_weights);
    sub->add_option("--to", o.to, "OUT.safetensors for timm, OUT.npz for BigVision")->required();

    sub = app.add_subcommand("report", "runs compared: a table, and a page with plots");
    sub->add_option("RUN", o.runs, "run folders, or folders of them")->required();
    sub->add_option("--out", o.out, "report.html, which needs no other file (drawn by gnuplot)");
    sub->add_flag("--json", o.json, "one JSON object on stdout");
    sub->callback([&] { result = report(o); });

    parse(app, argc, argv);
    return result;
  });
}

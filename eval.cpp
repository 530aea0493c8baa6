// build/eval: looks at a trained model. Results go to stdout, progress to stderr.
#include <CLI/CLI.hpp>
#include <fmt/ranges.h>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include "data/scan_cache.h"
#include "engine/attention/families.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/npy.h"
#include "engine/ops/loss.h"
#include "engine/program.h"
#include "engine/progress.h"
#include "engine/safetensors.h"
#include "engine/signals.h"
#include "models/bigvision.h"
#include "models/checkpoint.h"
#include "models/classes.h"
#include "models/evaluate.h"
#include "models/fewshot.h"
#include "models/model_flags.h"
#include "models/report.h"
#include "models/train_step.h"

namespace {

namespace fs = std::filesystem;

struct Options {
  std::string checkpoint, data, input, labels, out, logits, restrict_to, real, to, loss = "softmax", bad = "error";
  std::vector<std::string> images, tasks, runs;
  std::vector<int> shots{10};
  int seeds = 3;
  double l2 = 1024;
  ModelFlags model;
  std::string attention = "softmax";
  double alpha = 1;
  DeviceFlags device;
  int batch = 64, workers = 1;
  bool json = false;
  const CLI::App* flags = nullptr;     // of the subcommand
};

// What every subcommand needs: the weights, and what a foreign file does not say of itself.
void add_model(CLI::App& app, Options& o) {
  app.add_option("--checkpoint", o.checkpoint, "weights: our safetensors, timm's safetensors or BigVision's npz")->required();
  o.model.add(app, true);
  app.add_option("--attention", o.attention, "attention function of a foreign file: " + attention_names())->capture_default_str()->group("Model");
  app.add_option("--alpha", o.alpha, "its exponent of L")->check(CLI::NonNegativeNumber)->capture_default_str()->group("Model");
  o.device.add(app);
  app.add_option("--batch", o.batch, "images at a time")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_flag("--json", o.json, "one JSON object on stdout");
}

void add_source(CLI::App& app, Options& o) {
  app.add_option("--workers", o.workers, "threads that decode images ahead")->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--on-bad-image", o.bad, "error, or skip and count")->check(CLI::IsMember({"error", "skip"}))->capture_default_str();
}

// A device and the model on it, announced on stderr.
struct Session {
  std::unique_ptr<Device> device;
  Loaded loaded;
  const ViT& vit() const { return *loaded.vit; }
  const ViTConfig& config() const { return loaded.vit->config(); }
};

Session open(const Options& o) {
  ViTConfig wanted = o.model.config();
  wanted.attention = o.attention;
  wanted.alpha = o.alpha;
  check_config(wanted);
  Session s{o.device.open(), {}};
  s.loaded = load_vit(*s.device, o.checkpoint, wanted);
  const ViTConfig& c = s.config();
  auto agree = [&](const char* flag, const auto& given, const auto& has) {     // no flag is passed over in silence
    if (o.flags->count(flag) && given != has) fail(ExitCode::usage, "{}: {} is given, but {} says {}", flag, given, o.checkpoint, has);
  };
  agree("--attention", wanted.attention, c.attention), agree("--alpha", wanted.alpha, c.alpha), agree("--gelu", wanted.gelu, c.gelu);
  agree("--image-size", wanted.image_size, c.image_size), agree("--width", wanted.width, c.width), agree("--heads", wanted.heads, c.heads);
  fmt::print(stderr, "model   {}: width {}, depth {}, heads {}, patch {}, image {}, {}, {}{}{}, {} classes, {} parameters\n", o.checkpoint,
             c.width, c.depth, c.heads, c.patch, c.image_size, c.pool, c.attention, has_alpha(c.attention) ? fmt::format(" alpha {}", c.alpha) : "",
             c.qk_norm ? ", qk-norm" : "", c.classes, s.vit().parameters().size());
  return s;
}

LoaderOptions loader_options(const Options& o, const Session& s) {
  return {.batch = o.batch, .preprocess = s.loaded.preprocess, .workers = o.workers, .on_bad = o.bad == "skip" ? OnBadImage::skip : OnBadImage::error};
}

// Images from x.npy, float32 [N, H, W, 3], already in the range the model was trained on.
Array read_input(const Session& s, const std::string& path) {
  Array x = read_npy(path);
  const int64_t side = s.config().image_size;
  if (x.shape.size() != 4 || x.shape[1] != side || x.shape[2] != side || x.shape[3] != 3)
    fail(ExitCode::data, "{}: shape is [{}], expected [N, {}, {}, 3]; --image-size sets the model's", path, fmt::join(x.shape, ", "), side, side);
  return x;
}

void append(std::vector<float>& all, const std::vector<float>& more) { all.insert(all.end(), more.begin(), more.end()); }

// Calls use(tape, logits, features) for batch after batch of host images [n, S, S, 3].
template <class Use> void forward_batches(const Session& s, const std::vector<float>& images, int batch, Use use) {
  const size_t size = size_t(s.config().image_size) * s.config().image_size * 3, n = images.size() / size;
  Tape tape(*s.device, false);
  for (size_t first = 0; first < n; first += batch) {
    const int count = int(std::min<size_t>(batch, n - first));
    tape.clear();
    Features features;
    Tensor x = tape.input("images", {count, s.config().image_size, s.config().image_size, 3}, std::span(images).subspan(first * size, count * size));
    Tensor logits = s.vit().forward(tape, x, {}, &features);
    use(tape, logits, features);
  }
}

int accuracy(const Options& o) {
  const Session s = open(o);
  std::vector<std::string> absent;
  const std::vector<int> columns = o.restrict_to.empty() ? std::vector<int>() : class_columns(o.restrict_to, s.loaded.classes, s.config().classes, absent);
  const int classes = columns.empty() ? s.config().classes : int(columns.size());
  Index index = Index::open(o.data, default_cache_dir(), classes);
  if (!o.real.empty()) index.take_real_labels(o.real);
  fmt::print(stderr, "data    {}\n", index.summary());
  index.require_labels_below(classes);
  if (!columns.empty())
    fmt::print(stderr, "classes {} of the model's {}{}\n", classes - absent.size(), s.config().classes,
               absent.empty() ? "" : fmt::format("; it has none for {}, whose images count as wrong", fmt::join(absent, ", ")));
  Loader loader(index, loader_options(o, s));
  Evaluation e;
  {
    Progress progress{int64_t(index.size())};
    e = evaluate(s.vit(), loader, o.loss, [&](uint64_t done) { progress.show(int64_t(done), "images"); return true; }, nullptr, columns);
  }
  for (const auto& [sample, reason] : loader.bad_samples()) fmt::print(stderr, "left out {}\n", reason);
  if (o.json) {
    nlohmann::ordered_json json{{"count", e.count}, {"of", index.size()}, {"without_label", e.unlabelled}, {"top1", e.accuracy()}, {"top5", e.top5()}};
    if (columns.empty()) json["loss"] = e.loss;
    else json["absent"] = absent;
    json.update({{"mean_row_sum", e.row_sum}, {"images_per_second", double(e.count) / e.seconds}, {"bad_images", e.bad_images}});
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("images            {}/{}{}\ntop-1             {:.2f} %\ntop-5             {:.2f} %\n", e.count, index.size(), e.unlabelled ? fmt::format(", {} without a label", e.unlabelled) : "",
               100 * e.accuracy(), 100 * e.top5());
    if (columns.empty()) fmt::print("{:<18}{:.4f}\n", o.loss + " loss", e.loss);
    if (!std::isnan(e.row_sum)) fmt::print("mean row sum of A {:.4g}\n", e.row_sum);
    fmt::print("images/s          {:.1f}\n", double(e.count) / e.seconds);
  }
  return 0;
}

// Features of a source in index order, [N, D], and their labels
struct SourceFeatures { std::vector<float> values; std::vector<int> labels; };
SourceFeatures features_of(const Options& o, const Session& s, const std::string& source, const LoaderOptions& options) {
  const Index index = Index::open(source, default_cache_dir());
  fmt::print(stderr, "data    {}\n", index.summary());
  Loader loader(index, options);
  SourceFeatures all;
  Progress progress{int64_t(index.size())};
  for (Batch batch; loader.next(batch);) {
    forward_batches(s, batch.images, o.batch, [&](Tape& tape, Tensor, const Features& f) { append(all.values, tape.download(f.pre_logits)); });
    for (const Labels& labels : batch.labels) all.labels.push_back(labels[0]);
    progress.show(int64_t(all.labels.size()), "images");
  }
  for (const auto& [sample, reason] : loader.bad_samples()) progress.say("left out " + reason);
  return all;
}

// What the head sees, [N, D]: of a source in index order, or of an array of images
int features(const Options& o) {
  if (o.data.empty() == o.input.empty()) fail(ExitCode::usage, "features: give one of --data and --input");
  const Session s = open(o);
  std::vector<float> all;
  if (o.input.empty()) all = features_of(o, s, o.data, loader_options(o, s)).values;
  else forward_batches(s, read_input(s, o.input).floats(), o.batch, [&](Tape& tape, Tensor, const Features& f) { append(all, tape.download(f.pre_logits)); });
  const int64_t n = int64_t(all.size()) / s.config().width;
  write_npy(o.out, {n, s.config().width}, all);
  if (o.json) fmt::print("{}\n", nlohmann::ordered_json{{"file", o.out}, {"shape", {n, s.config().width}}}.dump());
  else fmt::print("{}: [{}, {}]\n", o.out, n, s.config().width);
  return 0;
}

int predict(const Options& o) {
  if (o.images.empty() == o.input.empty()) fail(ExitCode::usage, "predict: give image files or --input x.npy");
  const Session s = open(o);
  const int classes = s.config().classes, side = s.config().image_size;
  std::vector<float> images;
  std::vector<std::string> names = o.images;
  if (!o.input.empty()) {
    const Array x = read_input(s, o.input);
    images = x.floats();
    for (int64_t i = 0; i < x.shape[0]; i++) names.push_back(fmt::format("{}[{}]", o.input, i));
  } else {
    images.resize(names.size() * side * side * 3);
    for (size_t i = 0; i < names.size(); i++) {
      const MappedFile file(names[i]);
      const auto bytes = file.bytes();
      prepare_eval(decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, names[i]), s.loaded.preprocess, images.data() + i * side * side * 3);
    }
  }
  std::vector<float> logits;
  forward_batches(s, images, o.batch, [&](Tape& tape, Tensor z, const Features&) { append(logits, tape.download(z)); });
  if (!o.logits.empty()) write_npy(o.logits, {int64_t(names.size()), classes}, logits);

  const bool sigmoid = o.loss == "sigmoid";
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (size_t i = 0; i < names.size(); i++) {
    const std::span<const float> z(logits.data() + i * classes, classes);
    std::vector<int> order(classes);
    std::iota(order.begin(), order.end(), 0);
    const int shown = std::min(classes, 5);
    std::partial_sort(order.begin(), order.begin() + shown, order.end(), [&](int a, int b) { return z[a] > z[b]; });
    double total = 0;
    for (float x : z) total += std::exp(double(x) - z[order[0]]);
    nlohmann::ordered_json top = nlohmann::ordered_json::array();
    if (!o.json) fmt::print("{}\n", names[i]);
    for (int k = 0; k < shown; k++) {
      const int c = order[k];
      const double p = sigmoid ? 1 / (1 + std::exp(-double(z[c]))) : std::exp(double(z[c]) - z[order[0]]) / total;
      const std::string name = size_t(c) < s.loaded.classes.size() ? s.loaded.classes[c] : fmt::format("class {}", c);
      if (o.json) top.push_back({{"class", c}, {"name", name}, {"logit", z[c]}, {"probability", p}});
      else fmt::print("  {:5.1f} %  {}\n", 100 * p, name);
    }
    rows.push_back({{"image", names[i]}, {"top", top}});
  }
  if (o.json) fmt::print("{}\n", nlohmann::ordered_json{{"predictions", rows}}.dump());
  return 0;
}

// What another program needs to check a task: features, labels and predictions.
void write_fewshot(const fs::path& folder, const FewshotTask& task, const std::vector<FewshotResult>& results) {
  fs::create_directories(folder);
  const auto write_ints = [&](const std::string& name, const std::vector<int>& values) {
    write_npy(folder / (task.name + name), {int64_t(values.size())}, std::vector<int64_t>(values.begin(), values.end()));
  };
  write_npy(folder / (task.name + "-train.npy"), {int64_t(task.train_labels.size()), task.width}, task.train);
  write_npy(folder / (task.name + "-test.npy"), {int64_t(task.test_labels.size()), task.width}, task.test);
  write_ints("-train-labels.npy", task.train_labels), write_ints("-test-labels.npy", task.test_labels);
  for (const FewshotResult& r : results) write_ints(fmt::format("-shots{}-seed{}.npy", r.shots, r.seed), r.predicted);
}

// BigVision's few-shot linear probe on any number of tasks: accuracy of every seed, mean and spread
int fewshot_probe(const Options& o) {
  const Session s = open(o);
  LoaderOptions options = loader_options(o, s);
  options.preprocess.stretch = true;
  nlohmann::ordered_json tasks = nlohmann::ordered_json::array();
  std::map<int, std::vector<double>> means;                                 // of the tasks, by shots
  if (!o.json) fmt::print("{:<16}{:>6}{:>10}{:>10}  {}\n", "task", "shots", "mean", "spread", "accuracy of each seed");
  for (const std::string& text : o.tasks) {
    const size_t equals = text.find('='), comma = text.find(',', equals == text.npos ? 0 : equals);
    if (equals == text.npos || comma == text.npos) fail(ExitCode::usage, "--task: '{}', expected NAME=TRAIN_SOURCE,TEST_SOURCE", text);
    SourceFeatures train = features_of(o, s, text.substr(equals + 1, comma - equals - 1), options), test = features_of(o, s, text.substr(comma + 1), options);
    const FewshotTask task{text.substr(0, equals), s.config().width, std::move(train.values), std::move(test.values), std::move(train.labels), std::move(test.labels)};
    const std::vector<FewshotResult> results = fewshot(task, o.shots, o.seeds, o.l2);
    if (!o.out.empty()) write_fewshot(o.out, task, results);
    for (int shots : o.shots) {
      std::vector<double> accuracies;
      for (const FewshotResult& r : results) if (r.shots == shots) accuracies.push_back(r.accuracy());
      const double mean = std::accumulate(accuracies.begin(), accuracies.end(), 0.0) / double(accuracies.size());
      const auto [least, most] = std::minmax_element(accuracies.begin(), accuracies.end());
      means[shots].push_back(mean);
      if (!o.json) fmt::print("{:<16}{:>6}{:>8.2f} %{:>8.2f} %  {:.4f}\n", task.name, shots, 100 * mean, 100 * (*most - *least), fmt::join(accuracies, " "));
      tasks.push_back({{"task", task.name}, {"shots", shots}, {"mean", mean}, {"seeds", accuracies}, {"test_images", task.test_labels.size()}});
    }
  }
  nlohmann::ordered_json overall;
  for (const auto& [shots, values] : means) {
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / double(values.size());
    overall[std::to_string(shots)] = mean;
    if (!o.json) fmt::print("{:<16}{:>6}{:>8.2f} %\n", fmt::format("{} tasks", values.size()), shots, 100 * mean);
  }
  if (o.json) fmt::print("{}\n", nlohmann::ordered_json{{"tasks", tasks}, {"mean", overall}}.dump());
  return 0;
}

// Loss and the gradient of every parameter on one batch, for comparison with other implementations
int gradients(const Options& o) {
  const Session s = open(o);
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
  const double l = tape.download(loss)[0], norm = GlobalNorm(*s.device, parameters.size())(parameters.gradients());
  if (o.json) fmt::print("{}\n", nlohmann::ordered_json{{"loss", l}, {"gradient_norm", norm}}.dump());
  else fmt::print("{} loss    {:.6f}\ngradient norm   {:.6f}\n", o.loss, l, norm);
  return 0;
}

// The weights in another program's form
int export_weights(const Options& o) {
  const Session s = open(o);
  const fs::path path = o.to;
  if (const std::string option = only_here(s.config()); !option.empty())
    fail(ExitCode::usage, "{}: neither timm nor BigVision has {}, so weights in their form would not be this model", o.checkpoint, option);
  if (path.extension() == ".npz") write_bigvision(path, s.config(), tensors_of(s.vit()));
  else if (path.extension() == ".safetensors") save_weights(path, s.vit(), s.loaded.preprocess, s.loaded.classes);
  else fail(ExitCode::usage, "--to: '{}', expected a name that ends in .safetensors (timm) or .npz (BigVision)", o.to);
  fmt::print("{}: {} parameters\n", o.to, s.vit().parameters().size());
  return 0;
}

// Runs beside each other: a table on stdout, and a page
int report(const Options& o) {
  const std::vector<RunSummary> runs = read_runs(o.runs);
  fmt::print("{}", o.json ? report_json(runs) + "\n" : report_table(runs));
  if (!o.out.empty()) write_atomically(o.out, [page = report_page(runs)](Writer& out) { out.write(page); });
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("eval", [&] {
    CLI::App app{"Looks at a trained Vision Transformer.", "eval"};
    app.require_subcommand(1);
    Options o;
    int result = 0;
    auto subcommand = [&](const char* name, const char* help, int (*run)(const Options&)) {
      CLI::App* sub = app.add_subcommand(name, help);
      add_model(*sub, o);
      sub->callback([&result, &o, run, sub] { ignore_write_signals(); o.flags = sub; result = run(o); });
      return sub;
    };
    auto add_loss = [&](CLI::App* sub) { sub->add_option("--loss", o.loss, "softmax or sigmoid")->check(CLI::IsMember({"softmax", "sigmoid"}))->capture_default_str(); };

    CLI::App* sub = subcommand("accuracy", "top-1, top-5 and loss on a source, each image once", accuracy);
    sub->add_option("--data", o.data, "images: a shard pattern, a folder, a tar, or a text file of them")->required();
    add_source(*sub, o);
    add_loss(sub);
    sub->add_option("--restrict-to", o.restrict_to, "choose from these classes only, which the labels count: 1k (a model of 21,843 classes on ImageNet-1k), or a file with a wnid or class name a line");
    sub->add_option("--real", o.real, "real.json: the labels of 'Are we done with ImageNet?' for the validation images");

    sub = subcommand("features", "what the head sees, [N, D], as .npy", features);
    sub->add_option("--data", o.data, "images, in the order of the shards");
    sub->add_option("--input", o.input, "or x.npy, float32 [N, H, W, 3], in the model's range");
    sub->add_option("--out", o.out, "F.npy")->required();
    add_source(*sub, o);

    sub = subcommand("predict", "the likeliest classes of pictures", predict);
    sub->add_option("IMAGE", o.images, "JPEG or PNG files");
    sub->add_option("--input", o.input, "or x.npy, float32 [N, H, W, 3], in the model's range");
    sub->add_option("--logits", o.logits, "also write the logits, [N, classes], as .npy");
    add_loss(sub);

    sub = subcommand("fewshot", "BigVision's few-shot linear probe: ridge regression on the features of a few images a class", fewshot_probe);
    sub->add_option("--task", o.tasks, "NAME=TRAIN_SOURCE,TEST_SOURCE; any number of them")->required();
    sub->add_option("--shots", o.shots, "training images a class")->delimiter(',')->check(CLI::PositiveNumber)->capture_default_str();
    sub->add_option("--seeds", o.seeds, "choices of them: seeds 0, 1, ...")->check(CLI::PositiveNumber)->capture_default_str();
    sub->add_option("--out", o.out, "a folder for features, labels and predictions of each task, as .npy");
    sub->add_option("--l2", o.l2, "weight of the ridge")->check(CLI::PositiveNumber)->capture_default_str();
    add_source(*sub, o);

    sub = subcommand("gradients", "loss and gradient of every parameter on a batch", gradients);
    sub->add_option("--input", o.input, "x.npy, float32 [N, H, W, 3]")->required();
    sub->add_option("--labels", o.labels, "y.npy, int [N] or float [N, classes]")->required();
    sub->add_option("--out", o.out, "G.safetensors, a gradient under each parameter's name");
    add_loss(sub);

    sub = subcommand("export", "the weights for other programs", export_weights);
    sub->add_option("--to", o.to, "OUT.safetensors for timm, OUT.npz for BigVision")->required();

    sub = app.add_subcommand("report", "runs compared: a table, and a page with plots");
    sub->add_option("RUN", o.runs, "run folders, or folders of them")->required();
    sub->add_option("--out", o.out, "report.html, which needs no other file (drawn by gnuplot)");
    sub->add_flag("--json", o.json, "one JSON object on stdout");
    sub->callback([&] { ignore_write_signals(); result = report(o); });

    parse(app, argc, argv);
    return result;
  });
}

// The subcommand predict of eval.
#include <memory>
#include <numeric>
#include "data/info_json.h"
#include "data/paths.h"
#include "data/shards/scan_cache.h"
#include "data/shards/shard.h"
#include "engine/console.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/flags.h"
#include "engine/json.h"
#include "engine/text.h"
#include "models/eval_session.h"
#include "models/evaluate.h"

namespace {

namespace fs = std::filesystem;

struct Options : EvalFlags {
  std::vector<std::string> images;
  std::string input, out, logits, loss = "softmax";
  int top = 5;
  LoaderFlags loader;
};

bool holds_tars(const fs::path& folder) {
  const fs::directory_iterator files(folder);
  return std::any_of(begin(files), end(files), [](const auto& entry) { return entry.path().extension() == ".tar"; });
}

bool is_source(const std::string& text) {
  const fs::path path = text;
  if (fs::is_directory(path) && (!info_of_folder(path).empty() || holds_tars(path))) return true;
  if (fs::exists(path)) {
    const ShardFormat* format = format_of(path);
    return format && format->open(path)->has_labels();
  }
  if (text.find_first_of("*?[{") == text.npos && text.find("::") == text.npos && !is_info(path))
    fail(ExitCode::failed, "no such file: {}", text);
  return true;
}

// Files, folders and archives that follow each other are one of them.
std::vector<Index> images_of(const std::vector<std::string>& arguments) {
  std::vector<Index> all;
  std::shared_ptr<Members> members;
  const auto close = [&] {
    if (members) all.push_back(Index::of(std::move(members)));
    members = nullptr;
  };
  for (const std::string& text : arguments) {
    if (is_source(text)) {
      close();
      all.push_back(Index::open(text, default_cache_dir()));
      continue;
    }
    if (!members) members = std::make_shared<Members>(fs::temp_directory_path());
    const size_t before = members->all().size();
    members->add(text, is_packable_image);
    if (members->all().size() == before) fail(ExitCode::data, "{}: no image in it or below it", text);
  }
  close();
  return all;
}

// What is said of each image: a list on stdout as it comes, or all at the end as JSON or in a file.
class Predictions {
 public:
  Predictions(const Options& o, const EvalSession& s) : o_(o), names_(s.class_names()) {
    std::vector<std::string> header = {"image", "true", "predicted", "probability"};
    for (int k = 2; k <= shown(); k++)
      header.push_back(fmt::format("class {}", k)), header.push_back(fmt::format("probability {}", k));
    csv_ = csv_line(header);
  }
  bool listed() const { return !o_.json && o_.out.empty(); }
  const std::vector<std::string>& names() const { return names_; }
  // The model's class of that name, or no_class. Images come with few different names, and comparing takes all classes.
  int class_of(const std::string& name) {
    const auto [found, is_new] = known_names_.try_emplace(name, no_class);
    if (is_new) found->second = class_map({name}, names_)[0];
    return found->second;
  }
  void add(const std::string& image, const std::string& truth, std::span<const float> logits);
  void finish(size_t left_out);

 private:
  int shown() const { return std::min(o_.top, int(names_.size())); }

  const Options& o_;
  const std::vector<std::string> names_;
  std::map<std::string, int> known_names_;
  std::string csv_;
  nlohmann::ordered_json rows_ = nlohmann::ordered_json::array();
  size_t count_ = 0, known_ = 0, correct_ = 0;
  std::vector<float> logits_;
};

void Predictions::add(const std::string& image, const std::string& truth, std::span<const float> z) {
  std::vector<int> order(z.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + shown(), order.end(), [&](int a, int b) { return z[a] > z[b]; });
  double total = 0;
  for (const float x : z) total += std::exp(double(x) - z[order[0]]);
  std::vector<std::string> cells = {image, truth};
  nlohmann::ordered_json row{{"image", image}}, top = nlohmann::ordered_json::array();
  if (!truth.empty()) row["true"] = truth;
  if (listed()) print_result("{}{}\n", image, truth.empty() ? "" : ": " + truth);
  for (int k = 0; k < shown(); k++) {
    const int c = order[k];
    const double p =
        o_.loss == "sigmoid" ? 1 / (1 + std::exp(-double(z[c]))) : std::exp(double(z[c]) - z[order[0]]) / total;
    if (listed()) print_result("  {:5.1f} %  {}\n", 100 * p, names_[c]);
    if (o_.json) top.push_back({{"class", c}, {"name", names_[c]}, {"logit", z[c]}, {"probability", p}});
    cells.push_back(names_[c]), cells.push_back(fmt::format("{:.6g}", p));
  }
  row["top"] = top;
  if (o_.json) rows_.push_back(row);
  if (!o_.out.empty()) csv_ += csv_line(cells);
  if (!o_.logits.empty()) logits_.insert(logits_.end(), z.begin(), z.end());
  count_++;
  known_ += !truth.empty();
  correct_ += !truth.empty() && class_of(truth) == order[0];
}

void Predictions::finish(size_t left_out) {
  if (count_ == 0) fail(ExitCode::data, "predict: no image could be read");
  if (!o_.logits.empty()) write_npy(o_.logits, {int64_t(count_), int64_t(names_.size())}, logits_);
  if (!o_.out.empty()) write_atomically(o_.out, [&](Writer& out) { out.write(csv_); });
  if (o_.json)
    write_result(json_text(nlohmann::ordered_json{{"predictions", rows_}, {"bad_images", left_out}}) + "\n");
  else if (!o_.out.empty())
    print_result("{}: {} images{}\n", o_.out, count_, left_out ? fmt::format(", {} left out", left_out) : "");
  if (known_)
    print_log("true    {} of {} images whose class is known are predicted so, {:.2f} %\n", correct_, known_,
              100.0 * double(correct_) / double(known_));
}

// The class that image i has: the label of a shard; of a file the name of its folder, within an archive or on the disk,
// where that is a class of the model.
std::string truth_of(const Index& index, size_t i, Predictions& all) {
  if (const int label = index.label(i); label >= 0) {
    const std::vector<std::string>& own = index.classes().empty() ? all.names() : index.classes();
    return size_t(label) < own.size() ? own[size_t(label)] : fmt::format("class {}", label);
  }
  std::string folder = printable(parent_name(index.key(i)));
  if (folder.empty()) folder = printable(parent_name(index.where(i)));
  return !folder.empty() && all.class_of(folder) >= 0 ? folder : "";
}

void predict(const Options& o) {
  if (o.images.empty() == o.input.empty())
    fail(ExitCode::usage, "predict: give images, folders, archives or shards, or --input x.npy");
  const EvalSession s = open(o);
  const size_t classes = size_t(s.config().classes);
  Predictions all(o, s);
  size_t left_out = 0;
  if (!o.input.empty()) {
    const std::vector<float> values = read_input(s, o.input).floats();
    size_t i = 0;
    forward_batches(s, values, o.batch, [&](Tape& tape, Tensor z, const Features&) {
      const std::vector<float> logits = tape.download(z);
      for (size_t at = 0; at < logits.size(); at += classes)
        all.add(fmt::format("{}[{}]", o.input, i++), "", std::span(logits).subspan(at, classes));
    });
  }
  const std::vector<Index> sources = images_of(o.images);
  for (const Index& index : sources) {
    print_log("data    {}\n", index.summary());
    Loader loader(index, loader_options(o, o.loader, s));
    for_each_batch(o, s, loader, index.size(), !all.listed(),
                   [&](const Batch& batch, const std::vector<float>& logits) {
                     for (size_t b = 0; b < size_t(batch.size); b++)
                       all.add(index.where(batch.samples[b]), truth_of(index, batch.samples[b], all),
                               std::span(logits).subspan(b * classes, classes));
                   });
    left_out += loader.bad_samples().size();
  }
  all.finish(left_out);
}

}    // namespace

void add_predict(CLI::App& eval) {
  const auto o = std::make_shared<Options>();
  CLI::App* sub = eval.add_subcommand("predict", "the likeliest classes of pictures");
  o->add(*sub);
  sub->add_option("IMAGE", o->images,
                  "JPEG or PNG files, folders with such files below them, tars and zips of them, and sources as of "
                  "train --train");
  sub->add_option("--input", o->input, "or x.npy, float32 [N, H, W, 3], in the model's range");
  sub->add_option("--top", o->top, "how many classes of each picture")
      ->check(whole_number(1, 100'000))
      ->capture_default_str();
  sub->add_option("--out", o->out,
                  "a CSV file in place of the list: path, true class where it is known, predicted class, probability, "
                  "the next ones");
  sub->add_option("--logits", o->logits, "also write the logits, [N, classes], as .npy");
  o->loader.add(*sub);
  add_loss(*sub, o->loss);
  sub->callback([o] { predict(*o); });
}

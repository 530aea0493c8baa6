// The subcommand fewshot of eval.
#include <fmt/ranges.h>
#include <memory>
#include <numeric>
#include "engine/console.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/flags.h"
#include "engine/json.h"
#include "engine/npy.h"
#include "models/classes.h"
#include "models/eval_session.h"
#include "models/fewshot.h"

namespace {

namespace fs = std::filesystem;

struct Options : EvalFlags {
  std::vector<std::string> tasks;
  std::vector<int> shots{10};
  int seeds = 3;
  double l2 = 1024;
  std::string out;
  LoaderFlags loader;
};

// --task NAME=TRAIN_SOURCE,TEST_SOURCE
struct TaskSources { std::string name, train, test; };
std::vector<TaskSources> parse_tasks(const std::vector<std::string>& texts) {
  std::vector<TaskSources> tasks;
  for (const std::string& text : texts) {
    const size_t equals = text.find('='), comma = text.find(',', equals == text.npos ? 0 : equals);
    if (equals == text.npos || equals == 0 || comma == text.npos)
      fail(ExitCode::usage, "--task: '{}', expected NAME=TRAIN_SOURCE,TEST_SOURCE", text);
    tasks.push_back({text.substr(0, equals), text.substr(equals + 1, comma - equals - 1), text.substr(comma + 1)});
    for (size_t i = 0; i + 1 < tasks.size(); i++)
      if (tasks[i].name == tasks.back().name)
        fail(ExitCode::usage, "--task: two tasks have the name '{}', expected a name of its own for each",
             tasks[i].name);
  }
  return tasks;
}

// What another program needs to check a task: features, labels and predictions.
void write_fewshot(const fs::path& folder, const FewshotTask& task, const std::vector<FewshotResult>& results) {
  const auto write_ints = [&](const std::string& name, const std::vector<int>& values) {
    write_npy(folder / (task.name + name), {int64_t(values.size())},
              std::vector<int64_t>(values.begin(), values.end()));
  };
  write_npy(folder / (task.name + "-train.npy"), {int64_t(task.train_labels.size()), task.width}, task.train);
  write_npy(folder / (task.name + "-test.npy"), {int64_t(task.test_labels.size()), task.width}, task.test);
  write_ints("-train-labels.npy", task.train_labels), write_ints("-test-labels.npy", task.test_labels);
  for (const FewshotResult& r : results) write_ints(fmt::format("-shots{}-seed{}.npy", r.shots, r.seed), r.predicted);
}

// BigVision's few-shot linear probe on any number of tasks: accuracy of every seed, mean and spread
void fewshot_probe(const Options& o) {
  const std::vector<TaskSources> sources = parse_tasks(o.tasks);
  check_probe(o.shots, o.seeds, o.l2);
  const EvalSession s = open(o);
  std::optional<FolderLock> lock;
  if (!o.out.empty()) lock.emplace(o.out);
  LoaderOptions options = loader_options(o, o.loader, s);
  options.preprocess.stretch = true;
  nlohmann::ordered_json tasks = nlohmann::ordered_json::array();
  std::map<int, std::vector<double>> means;                                 // of the tasks, by shots
  for (const TaskSources& source : sources) {
    const Index known = open_source(source.train);
    const Classes classes{"the training images of task " + source.name,
                          std::max(known.max_label() + 1, int(known.classes().size())), known.classes()};
    const Index asked = open_counting("data", source.test, classes);
    SourceFeatures train = features_of(o, s, known, options), test = features_of(o, s, asked, options);
    const FewshotTask task{source.name,
                           s.config().width,
                           std::move(train.values),
                           std::move(test.values),
                           std::move(train.labels),
                           std::move(test.labels)};
    const std::vector<FewshotResult> results = fewshot(task, o.shots, o.seeds, o.l2);
    if (!o.out.empty()) write_fewshot(o.out, task, results);
    if (!o.json && tasks.empty())
      print_result("{:<16}{:>6}{:>10}{:>10}  {}\n", "task", "shots", "mean", "spread", "accuracy of each seed");
    for (int shots : o.shots) {
      std::vector<double> accuracies;
      for (const FewshotResult& r : results)
        if (r.shots == shots) accuracies.push_back(r.accuracy());
      const double mean = std::accumulate(accuracies.begin(), accuracies.end(), 0.0) / double(accuracies.size());
      const auto [least, most] = std::minmax_element(accuracies.begin(), accuracies.end());
      means[shots].push_back(mean);
      if (!o.json)
        print_result("{:<16}{:>6}{:>8.2f} %{:>8.2f} %  {:.4f}\n", task.name, shots, 100 * mean,
                     100 * (*most - *least), fmt::join(accuracies, " "));
      tasks.push_back({{"task", task.name},
                       {"shots", shots},
                       {"mean", mean},
                       {"seeds", accuracies},
                       {"test_images", task.test_labels.size()}});
    }
  }
  nlohmann::ordered_json overall;
  for (const auto& [shots, values] : means) {
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / double(values.size());
    overall[std::to_string(shots)] = mean;
    if (!o.json) print_result("{:<16}{:>6}{:>8.2f} %\n", fmt::format("{} tasks", values.size()), shots, 100 * mean);
  }
  if (o.json) write_result(json_text(nlohmann::ordered_json{{"tasks", tasks}, {"mean", overall}}) + "\n");
}

}  // namespace

void add_fewshot(CLI::App& eval) {
  const auto o = std::make_shared<Options>();
  CLI::App* sub = eval.add_subcommand(
      "fewshot", "BigVision's few-shot linear probe: ridge regression on the features of a few images a class");
  o->add(*sub);
  sub->add_option("--task", o->tasks, "NAME=TRAIN_SOURCE,TEST_SOURCE; any number of them")->required();
  sub->add_option("--shots", o->shots, "training images a class")
      ->delimiter(',')
      ->check(whole_number(1))
      ->capture_default_str();
  sub->add_option("--seeds", o->seeds, "choices of them: seeds 0, 1, ...")
      ->check(whole_number(1))
      ->capture_default_str();
  sub->add_option("--out", o->out, "a folder for features, labels and predictions of each task, as .npy");
  sub->add_option("--l2", o->l2, "weight of the ridge")->check(above_zero())->capture_default_str();
  o->loader.add(*sub);
  sub->callback([o] { fewshot_probe(*o); });
}

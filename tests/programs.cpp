// The programs from pictures to predictions, and what a run that is stopped, killed or out of disk leaves behind.
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "data/index.h"
#include "data/synthetic.h"
#include "engine/npy.h"
#include "engine/safetensors.h"
#include "models/checkpoint.h"
#include "tests/error_of.h"
#include "tests/run_program.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;
using Json = nlohmann::json;

// The steps of metrics.csv, in its order; a line that is being written is not one yet.
std::vector<int64_t> logged_steps(const fs::path& folder) {
  std::istringstream lines(read_text(folder / "metrics.csv"));
  std::vector<int64_t> steps;
  for (std::string line; std::getline(lines, line) && !lines.eof();)
    if (!line.starts_with("step")) steps.push_back(std::stoll(line));
  return steps;
}
int64_t last_logged(const fs::path& folder) {
  const std::vector<int64_t> steps = logged_steps(folder);
  return steps.empty() ? 0 : steps.back();
}
bool each_once(const std::vector<int64_t>& steps, int64_t count) {
  std::vector<int64_t> expected(static_cast<size_t>(count));
  std::iota(expected.begin(), expected.end(), 1);
  return steps == expected;
}

const std::string many = "400";    // steps: more than a Child is ahead when its signal reaches it
}  // namespace

TEST_SUITE_BEGIN("programs");

TEST_CASE("from nothing to predictions") {
  TempDir dir;
  const fs::path run = dir.path() / "run", weights = run / "last.safetensors", picture = dir.path() / "picture.jpg";
  const Ended trained = train(train_flags(run, {{"--val", drawn_set() / "val-*.tar"}}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  CHECK(says(trained.err,
             {"60 samples", "12 samples", "20 updates of 8 images", "6634 parameters", "20/20", "val     step 20"}));
  CHECK(says(trained.out, {"attention", "softmax", " %"}));
  for (const char* file : {"config.toml", "metrics.jsonl", "best.safetensors", "last.state"})
    CHECK(fs::exists(run / file));

  Flags flags = eval_flags(weights, {{"--data", drawn_set() / "val-*.tar"}});
  const Ended accuracy = eval("accuracy", flags);
  CHECK(accuracy.code == 0);
  CHECK(says(accuracy.out, {"12/12", "top-1", "top-5", "loss"}));
  flags["--json"] = "";
  const Ended accuracy_json = eval("accuracy", flags);
  const Json numbers = Json::parse(accuracy_json.out);
  CHECK(numbers["count"] == 12);
  CHECK(numbers["of"] == 12);
  CHECK(numbers["bad_images"] == 0);
  CHECK(numbers["mean_row_sum"].get<double>() == doctest::Approx(1));
  // train's own evaluation, as logged, is the same
  std::istringstream rows(read_text(run / "metrics.jsonl"));
  Json last;
  for (std::string row; std::getline(rows, row);) last = Json::parse(row);
  CHECK(last["val_loss"].get<double>() == doctest::Approx(numbers["loss"].get<double>()).epsilon(1e-6));
  CHECK(last["val_accuracy"].get<double>() == doctest::Approx(numbers["top1"].get<double>()));

  flags["--out"] = dir.path() / "features.npy";
  CHECK(Json::parse(eval("features", flags).out)["shape"] == Json{12, 16});
  const Array features = read_npy(dir.path() / "features.npy");
  CHECK(features.shape == std::vector<int64_t>{12, 16});
  for (float x : features.floats()) REQUIRE(std::isfinite(x));

  const Index index = Index::open(drawn_set() / "val-*.tar", {});
  std::vector<uint8_t> bytes;
  index.read(0, bytes);
  std::ofstream(picture, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
  const Ended predicted = run_program("eval", {"predict", "--checkpoint", weights, "--json", picture});
  const Json top = Json::parse(predicted.out)["predictions"][0]["top"];
  CHECK(Json::parse(predicted.out)["predictions"][0]["image"] == picture.string());
  REQUIRE(top.size() == 5);
  for (size_t i = 0; i < 5; i++) {
    CHECK(top[i]["name"] == drawn_classes[top[i]["class"].get<size_t>()]);
    CHECK(top[i]["probability"] <= top[i ? i - 1 : 0]["probability"]);
  }
  CHECK(says(run_program("eval", {"predict", "--checkpoint", weights, picture}).out, {"picture.jpg", " %"}));
}

TEST_CASE("a killed run resumes to the bits of one that was not, with any number of threads") {
  for (const std::string crop : {"pad", "inception"}) {
    CAPTURE(crop);
    TempDir dir;
    const fs::path straight = dir.path() / "straight", killed = dir.path() / "killed", state = killed / "last.state";
    const Flags more = {{"--crop", crop}, {"--flip", ""}, {"--steps", many}, {"--workers", "2"}};
    REQUIRE(train(train_flags(straight, more)).code == 0);
    CHECK(each_once(logged_steps(straight), 400));

    Flags flags = train_flags(killed, more);
    flags["--save-every"] = "10";
    {
      Child child("train", arguments_of(flags));
      child.wait_until([&] { return fs::exists(state) && saved_step(state) >= 10; });
      child.signal(SIGKILL);
      CHECK(child.wait().code == 128 + SIGKILL);
    }
    const int64_t saved = saved_step(state);
    REQUIRE(saved < 400);
    {    // and once more, between two saves
      Child child("train", {"--out", killed, "--resume", "--save-every", "1000000", "--threads", "2"});
      child.wait_until([&] { return child.err().find(fmt::format("{}/{}", saved + 5, many)) != std::string::npos; });
      child.signal(SIGKILL);
      CHECK(child.wait().code == 128 + SIGKILL);
    }
    REQUIRE(saved_step(state) == saved);
    const Ended resumed = train({{"--out", killed}, {"--resume", ""}, {"--workers", "0"}});
    REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
    check_same_run(straight, killed);
    CHECK(each_once(logged_steps(killed), 400));
  }
}

TEST_CASE("SIGTERM and SIGINT save within a step, and the run can go on") {
  TempDir dir;
  const fs::path straight = dir.path() / "straight", stopped = dir.path() / "stopped", state = stopped / "last.state";
  REQUIRE(train(train_flags(straight, {{"--steps", many}})).code == 0);
  Flags flags = train_flags(stopped, {{"--steps", many}});
  for (const int number : {SIGTERM, SIGINT}) {
    CAPTURE(number);
    const int64_t before = fs::exists(state) ? saved_step(state) : 0;
    Child child("train", arguments_of(flags));
    child.wait_until([&] { return last_logged(stopped) >= before + 5; });
    child.signal(number);
    const int64_t step = last_logged(stopped);
    const Ended ended = child.wait();
    CHECK(ended.code == 128 + number);
    CHECK(says(ended.err, {"stopped by signal", "saved", "--resume"}));
    CHECK(saved_step(state) <= step + 1);
    CHECK(saved_step(state) == last_logged(stopped));
    flags = {{"--out", stopped}, {"--resume", ""}};
  }
  REQUIRE(saved_step(state) < 400);
  REQUIRE(train(flags).code == 0);
  check_same_run(straight, stopped);
  CHECK(each_once(logged_steps(stopped), 400));
}

TEST_CASE("a second signal stops at once") {
  TempDir dir;
  const fs::path run = dir.path() / "run";
  Child child("train", arguments_of(train_flags(run, {{"--steps", "100000"}, {"--save-every", "100000"}})));
  child.wait_until([&] { return last_logged(run) >= 5; });
  child.stop();
  for (const int number : {SIGINT, SIGTERM, SIGCONT}) child.signal(number);    // both are there when it goes on
  CHECK(child.wait().code == 128 + SIGTERM);
  CHECK_FALSE(fs::exists(run / "last.state"));    // SIGINT alone would have saved
}

// What oneDNN's products keep below the stack pointer, the frame of a handler would overwrite.
TEST_CASE("no signal handler interrupts training") {
  TempDir dir;
  Child child("train", arguments_of(train_flags(dir.path() / "run",
                                                {{"--steps", "100000"}, {"--threads", "2"}, {"--workers", "2"}})));
  child.wait_until([&] { return last_logged(dir.path() / "run") >= 5; });
  const auto field = [&](const std::string& name) {
    std::ifstream status(fmt::format("/proc/{}/status", child.id()));
    for (std::string line; std::getline(status, line);)
      if (line.starts_with(name)) return std::stoull(line.substr(line.find(':') + 1), nullptr, 16);
    FAIL("no ", name);
    return 0ULL;
  };
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    CHECK((field("SigCgt") >> (number - 1) & 1) == 0);
    CHECK((field("SigBlk") >> (number - 1) & 1) == 1);
  }
  child.signal(SIGHUP);
  CHECK(child.wait().code == 128 + SIGTERM);
}

TEST_CASE("a full disk leaves the last checkpoint as it was") {
  TempDir dir;
  const fs::path straight = dir.path() / "straight", run = dir.path() / "run", state = run / "last.state";
  REQUIRE(train(train_flags(straight, {{"--steps", many}})).code == 0);
  {
    Child child("train", arguments_of(train_flags(run, {{"--steps", many}})));
    child.wait_until([&] { return last_logged(run) >= 5; });
    child.signal(SIGTERM);
    REQUIRE(child.wait().code == 128 + SIGTERM);
  }
  const std::string saved = read_text(state);
  for (const char* log : {"metrics.jsonl", "metrics.csv"}) fs::remove(run / log);    // which may be the larger ones
  const auto limit = fs::file_size(run / "last.safetensors") + 1000;    // the weights still fit
  REQUIRE(limit < saved.size());
  const Ended full = train({{"--out", run}, {"--resume", ""}, {"--save-every", "10"}}, limit);
  CHECK(full.code == 1);
  CHECK(says(full.err, {"train: cannot write", "last.state", "too large", "the old file is untouched"}));
  CHECK(read_text(state) == saved);
  for (const auto& entry : fs::directory_iterator(run)) CHECK(entry.path().extension() != ".tmp");
  REQUIRE(train({{"--out", run}, {"--resume", ""}}).code == 0);
  check_same_run(straight, run);
}

TEST_CASE("a list of attention functions trains member by member and only what is missing") {
  TempDir dir;
  const Flags flags = train_flags(
      dir.path(), {{"--attention", "softmax,relu"}, {"--alpha", "0,1"}, {"--val", drawn_set() / "val-*.tar"}});
  const std::vector<std::string> members = {"softmax", "relu-alpha0", "relu-alpha1"};    // α does nothing to softmax
  const Ended first = train(flags);
  REQUIRE_MESSAGE(first.code == 0, first.err);
  CHECK(std::count(first.out.begin(), first.out.end(), '\n') == 4);
  std::set<std::string> folders;
  for (const auto& entry : fs::directory_iterator(dir.path()))
    if (entry.is_directory()) folders.insert(entry.path().filename());
  CHECK(folders == std::set<std::string>(members.begin(), members.end()));

  const auto before = snapshot(dir.path());
  fs::remove_all(dir.path() / "relu-alpha0");
  const Ended second = train(flags);
  CHECK(second.code == 0);
  CHECK(std::count(second.out.begin(), second.out.end(), '\n') == 4);
  const auto after = snapshot(dir.path());
  for (const std::string file : {"softmax/last.state", "relu-alpha1/last.state", "relu-alpha1/metrics.csv"}) {
    CAPTURE(file);
    CHECK_MESSAGE(after.at(file) == before.at(file), "written again");
  }
  std::ofstream(dir.path() / "before", std::ios::binary) << before.at("relu-alpha0/last.state");
  check_same_tensors(dir.path() / "relu-alpha0/last.state", dir.path() / "before");
}

TEST_CASE("a preset: every field, before anything starts; flags win; a run of it repeats from its config.toml") {
  const Ended shown = run_program("train", {"--preset", "i1k", "--model", "S/16", "--print-config"});
  CHECK(shown.code == 0);
  for (const char* line :
       {"steps=92897\n", "batch=4096\n", "classes=1000\n", "pool=\"cls\"\n", "head-hidden=true\n", "head-bias=-6.9\n",
        "qk-norm=true\n", "gate=false\n", "loss=\"sigmoid\"\n", "mixup=0.5\n", "randaug=\"2,15\"\n", "warmup=10000\n",
        "lr=0.001\n", "weight-decay=0.0001\n", "clip=1\n", "crop=\"inception\"\n", "parameters            22199656\n",
        "tokens L              197\n", "updates               92897, warm-up 10000\n"})
    CHECK_MESSAGE(contains(shown.out, line), line << " is not in\n" << shown.out);
  TempDir dir;
  const Flags flags{{"--preset", "figure4-small"},
                    {"--train", drawn_set() / "train-*.tar"},
                    {"--out", dir.path() / "run"},
                    {"--image-size", "16"},
                    {"--patch", "8"},
                    {"--width", "16"},
                    {"--depth", "1"},
                    {"--heads", "2"},
                    {"--batch", "8"},
                    {"--steps", "3"},
                    {"--alpha", "1"},
                    {"--attention", "relu"},
                    {"--mixup", "0.2"},
                    {"--randaug", "2,10"},
                    {"--micro-batch", "3"},
                    {"--remat", ""},
                    {"--threads", "1"}};
  const Ended first = train(flags);
  CHECK_MESSAGE(first.code == 0, first.err);
  const std::string config = read_text(dir.path() / "run" / "config.toml");
  for (const char* line : {"gate=true\n", "qk-norm=true\n", "steps=3\n", "mixup=0.2\n", "micro-batch=3\n",
                           "remat=true\n", "randaug=\"2,10\"\n"})
    CHECK_MESSAGE(contains(config, line), line << " is not in\n" << config);
  const Ended again = train({{"--config", dir.path() / "run" / "config.toml"}, {"--out", dir.path() / "again"}});
  CHECK_MESSAGE(again.code == 0, again.err);
  CHECK(read_text(dir.path() / "again" / "last.safetensors") == read_text(dir.path() / "run" / "last.safetensors"));
  const Ended tuned = train(train_flags(dir.path() / "tuned", {{"--init", dir.path() / "run" / "last.safetensors"},
                                                               {"--gate", ""},
                                                               {"--qk-norm", ""},
                                                               {"--attention", "relu"},
                                                               {"--image-size", "24"},
                                                               {"--classes", "12"},
                                                               {"--steps", "1"}}));
  CHECK_MESSAGE(tuned.code == 0, tuned.err);
  CHECK(contains(tuned.err, "resampled from 2 x 2 to 3 x 3"));
  CHECK(contains(tuned.err, "initialised anew: head.weight, head.bias"));
}

TEST_CASE("a loss that is not finite stops the run and names its origin") {
  TempDir dir;
  const fs::path run = dir.path() / "run", weights = run / "last.safetensors";
  const Ended ended = train(train_flags(run, {{"--lr", "1e15"}, {"--save-every", "1"}}));
  CHECK(ended.code == 4);
  CHECK(says(ended.err, {"train: step ", "first in op attention after blocks.0.attn.qkv", "--lr", run.c_str()}));
  const int64_t step = saved_step(run / "last.state");
  CHECK(step >= 1);
  CHECK(says(ended.err, {("step " + std::to_string(step) + ":").c_str()}));
  CHECK(eval("accuracy", eval_flags(weights, {{"--data", drawn_set() / "val-*.tar"}})).code == 0);
}

TEST_CASE(
    "the benchmark of the loader times training's and evaluation's images, and names a source that is not there") {
  for (const std::string mode : {"", "--eval"}) {
    std::vector<std::string> arguments = {"loader",    "--data", drawn_set() / "val-*.tar", "--size", "16",
                                          "--seconds", "0.1"};
    if (!mode.empty()) arguments.push_back(mode);
    const Ended ended = run_program("bench", arguments);
    CHECK_MESSAGE(ended.code == 0, ended.err);
    CHECK(
        says(ended.out, {"read and decode", mode.empty() ? "crop, resize and flip" : "resize and crop", "1 workers"}));
    CHECK(std::atof(ended.out.c_str() + ended.out.rfind(':') + 1) > 1);    // images/s
  }
  CHECK(run_program("bench", {"loader", "--data", "absent.tar"}).code == 3);
}

TEST_SUITE_END();

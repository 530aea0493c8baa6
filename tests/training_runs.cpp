// What build/train says and does around its updates: estimates, evaluations, saves, what came of it, and what comes
// next.
#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/error_of.h"
#include "tests/run_logs.h"
#include "tests/run_program.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;

std::string val() { return drawn_set() / "val-*.tar"; }

Flags without(Flags flags, std::initializer_list<const char*> names) {
  for (const char* name : names) flags.erase(name);
  return flags;
}

std::vector<int64_t> evaluated_steps(const fs::path& run) {
  std::vector<int64_t> steps;
  for (const std::string& line : lines_of(run / "metrics.jsonl"))
    if (const auto row = nlohmann::json::parse(line); row.contains("val_accuracy")) steps.push_back(row["step"]);
  return steps;
}
}  // namespace

TEST_SUITE("training runs") {
  TEST_CASE(
      "time and memory are told before the first update, in units one reads, and no line is wider than 80 columns") {
    const TempDir dir;
    const Ended ended =
        train(train_flags(dir.path() / "r", {{"--val", val()}, {"--log-every", "10"}}));
    REQUIRE(ended.code == 0);
    CHECK(says(ended.err, {"run     20 updates of 8 images (2.67 epochs), warm-up 2, 1 worker",
                           "cost    about 1 s at 70 % of", "MiB of memory", "0/20  update 1 of 20 is on its way"}));
    std::istringstream lines(ended.err);
    for (std::string line; std::getline(lines, line);)
      if (line.find(dir.path().string()) == line.npos) CHECK_MESSAGE(line.size() <= 80, line);
    const Ended large =
        run_program("train", {"--preset", "i1k", "--model", "L/16", "--print-config", "--threads", "1"});
    CHECK(says(large.out, {"memory, about", "GiB (4096 images at a time)", "with --micro-batch",
                           "time, one member      about", " years at 70 % of the"}));
    const Ended grid = train(train_flags(dir.path() / "grid", {{"--attention", "softmax,relu"}, {"--steps", "2"}}));
    CHECK(says(grid.err, {"cost    2 members, each about"}));
  }

  TEST_CASE("without a length, a usual one is named with what it makes of these images") {
    const TempDir dir;
    const Flags flags = without(train_flags(dir.path() / "run"), {"--steps"});
    const Ended ended = train(flags);
    CHECK(ended.code == 2);
    CHECK(says(ended.err, {"--steps or --epochs is missing", "60 images", "--epochs 100 makes 750 updates, about"}));
    CHECK(!fs::exists(dir.path() / "run"));
    Flags tuned = flags;
    REQUIRE(train(train_flags(dir.path() / "first", {{"--steps", "1"}, {"--warmup", "0"}})).code == 0);
    tuned["--init"] = dir.path() / "first" / "last.safetensors";
    CHECK(says(train(tuned).err, {"--epochs 10 makes 75 updates"}));
  }

  TEST_CASE("evaluations come each epoch, at most 20 a run, and change no weight; saves come after some minutes") {
    const TempDir dir;
    const auto run = [&](const char* name, Flags more) {
      more["--val"] = val();
      const Ended ended = train(train_flags(dir.path() / name, more));
      REQUIRE_MESSAGE(ended.code == 0, ended.err);
      return dir.path() / name;
    };
    const fs::path each = run("each", {}), end = run("end", {{"--eval-every", "0"}});
    CHECK(evaluated_steps(each) == std::vector<int64_t>{8, 16, 20});
    CHECK(evaluated_steps(end) == std::vector<int64_t>{20});
    check_same_run(each, end);
    CHECK(contains(read_text(each / "config.toml"), "eval-every=8\n"));
    CHECK(contains(read_text(end / "config.toml"), "eval-every=0\n"));
    CHECK(evaluated_steps(run("many", {{"--steps", "400"}})).size() == 20);

    Child child("train", arguments_of(train_flags(dir.path() / "minutes",
                                                  {{"--steps", "100000"}, {"--save-minutes", "0.0001"}})));
    child.wait_until([&] { return fs::exists(dir.path() / "minutes" / "last.safetensors"); });
    child.signal(SIGKILL);
    child.wait();
  }

  TEST_CASE("at the end the best is named with the command that goes on; softmax has no alpha") {
    const TempDir dir;
    const std::string run = dir.path() / "run", bare = dir.path() / "bare one";
    const Ended ended = train(train_flags(run, {{"--val", val()}}));
    const int64_t best = std::stoll(SafeTensors(run + "/best.safetensors").metadata().at("step"));
    CHECK(says(
        ended.err,
        {fmt::format("best    step {}, ", best).c_str(), (run + "/best.safetensors").c_str(),
         fmt::format("next    build/eval accuracy --checkpoint {}/best.safetensors --data '{}'", run, val()).c_str(),
         "model   softmax: 6634 parameters"}));
    CHECK(says(train(train_flags(bare)).err,
               {"without --val there is no best",
                fmt::format("next    build/eval predict --checkpoint '{}/last.safetensors' IMAGE", bare).c_str()}));
    const Ended relu = train(train_flags(dir.path() / "relu", {{"--attention", "relu"}, {"--steps", "2"}}));
    CHECK(says(relu.err, {"model   relu, alpha 1: "}));
  }

  TEST_CASE("a stopped run names the command that goes on with it, which works; a finished one says that it is") {
    const TempDir dir;
    const std::string run = dir.path() / "run";
    Flags flags = train_flags(run, {{"--val", val()}, {"--steps", "300"}, {"--attention", "softmax,relu"}});
    for (const int signal : {SIGINT, SIGUSR2, SIGXCPU}) {
      Child child("train", signal == SIGINT ? arguments_of(flags)
                                            : std::vector<std::string>{"--resume", run, "--log-every", "1"});
      child.wait_until([&] { return contains(child.err(), "loss"); });
      child.signal(signal);
      const Ended ended = child.wait();
      CHECK(ended.code == 128 + signal);
      CHECK(says(ended.err, {fmt::format("stopped by signal {} at step ", signal).c_str(),
                             fmt::format("\nbuild/train --resume --out {}\n", run).c_str()}));
    }
    REQUIRE(run_program("train", {"--resume=" + run}).code == 0);
    const auto before = snapshot(run);
    const Ended again = run_program("train", {"--resume", run});
    CHECK(again.code == 0);
    CHECK(says(again.err, {"softmax finished already (step 300), ", "relu-alpha1 finished already (step 300), ",
                           "next    build/eval report"}));
    CHECK(!contains(again.err, "model "));
    CHECK(snapshot(run) == before);
    for (const auto& arguments : std::vector<std::vector<std::string>>{{"--resume"}, {"--resume", run, "--out", run}}) {
      const Ended refused = run_program("train", arguments);
      CHECK(refused.code == 2);
      CHECK(says(refused.err, {"--resume", "the folder of the run"}));
    }
  }

  TEST_CASE("--epochs wins over the updates of a file and of a preset; a preset says that it counts updates") {
    const TempDir dir;
    const Flags flags =
        without(train_flags(dir.path() / "run", {{"--preset", "vit-s16-i1k"}, {"--warmup", "0"}}), {"--steps"});
    const auto with = [&](Flags more) {
      more.merge(Flags(flags));
      more["--print-config"] = "";
      return train(more);
    };
    CHECK(says(with({}).out, {"updates               111477 as at --batch 1024; --epochs makes others"}));
    CHECK(says(with({{"--epochs", "4"}}).out, {"updates               30, warm-up 0"}));
    CHECK(says(with({{"--steps", "5"}}).out, {"updates               5, warm-up 0"}));
    Child child("train", arguments_of(flags));
    child.wait_until([&] { return contains(child.err(), "run     111477 updates"); });
    child.signal(SIGKILL);
    CHECK(says(child.wait().err, {"note    --preset vit-s16-i1k has 111477 updates at any --batch: 1.9e+06 epochs at",
                                  "makes 14269056 updates", "--holdout 1%"}));
  }

  TEST_CASE("--seed takes a list: a member for each, named by it, the same as the run of that seed alone") {
    const TempDir dir;
    const fs::path grid = dir.path() / "grid", alone = dir.path() / "alone";
    const Flags flags =
        train_flags(grid, {{"--seed", "0,3"}, {"--attention", "softmax,relu"}, {"--val", val()}, {"--steps", "4"}});
    const Ended ended = train(flags);
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    REQUIRE(train(train_flags(alone, {{"--seed", "3"}, {"--val", val()}, {"--steps", "4"}})).code == 0);
    check_same_run(grid / "softmax-seed3", alone);
    for (const char* member : {"softmax-seed0", "relu-alpha1-seed0", "relu-alpha1-seed3"})
      CHECK(fs::exists(grid / member / "best.safetensors"));
    CHECK(contains(read_text(grid / "softmax-seed3" / "config.toml"), "seed=3\n"));
    CHECK(says(ended.out, {"seed", "softmax           -      3 "}));
    CHECK(says(run_program("eval", {"report", grid}).out, {"mean of best", "lowest to highest"}));
    fs::remove_all(grid / "relu-alpha1-seed3");
    CHECK(run_program("train", {"--resume", grid}).code == 0);
    CHECK(run_program("train", {"--resume", grid / "softmax-seed3"}).code == 0);
    Flags fewer = flags;
    fewer["--seed"] = "0";
    CHECK(train(fewer).code == 2);
    fewer["--seed"] = "1,2,1", fewer["--out"] = dir.path() / "twice";
    CHECK(says(train(fewer).err, {"--seed: 1 stands twice"}));
    fewer["--seed"] = "1,-2";
    CHECK(train(fewer).code == 2);
  }

  TEST_CASE(
      "the average of a short run has forgotten its start, and one that an older program began goes on as it was") {
    const TempDir dir;
    const Flags flags{
        {"--ema", "0.9999"}, {"--val", val()}, {"--steps", "60"}, {"--lr", "0.01"}, {"--eval-every", "0"}};
    const fs::path run = dir.path() / "run";
    REQUIRE(train(train_flags(run, flags)).code == 0);
    const std::vector<float> last = SafeTensors(run / "last.safetensors").floats("head.weight"),
                             average = SafeTensors(run / "average.safetensors").floats("head.weight");
    double moved = 0, far = 0;
    for (size_t i = 0; i < last.size(); i++)
      moved += last[i] * last[i], far += (last[i] - average[i]) * (last[i] - average[i]);  // the head starts at 0
    CHECK(far < 0.01 * moved);

    Child child("train", arguments_of(train_flags(dir.path() / "old", flags)));
    child.wait_until([&] { return contains(child.err(), "5/60"); });
    child.signal(SIGTERM);
    child.wait();
    const fs::path state = dir.path() / "old" / "last.state";
    {
      const SafeTensors file(state);
      std::vector<StoredTensor> tensors;
      for (const auto& [name, tensor] : file.tensors()) tensors.push_back(tensor);
      auto metadata = file.metadata();
      CHECK(metadata.erase("state.averaged") == 1);
      metadata.erase("state.first_loss");
      write_safetensors(dir.path() / "rewritten", tensors, metadata);
    }
    const std::vector<float> then = SafeTensors(state).floats("average");
    fs::rename(dir.path() / "rewritten", state);
    REQUIRE(run_program("train", {"--resume", dir.path() / "old"}).code == 0);
    check_same_tensors(run / "last.safetensors", dir.path() / "old" / "last.safetensors");
    const std::vector<float> now = SafeTensors(state).floats("average");
    for (size_t i = 0; i < then.size(); i++)
      CHECK(std::abs(now[i] - then[i]) < 0.01 * (1 + std::abs(then[i])));  // by 1e-4 an update
  }

  TEST_CASE("what breaks is exit code 4, and messages say what there is") {
    const TempDir dir;
    const fs::path run = dir.path() / "run";
    const Ended first =
        train(train_flags(run, {{"--steps", "1"}, {"--warmup", "0"}, {"--lr", "1e30"}, {"--weight-decay", "1e30"}}));
    CHECK(first.code == 4);  // in the last update before the first save
    CHECK(says(first.err, {"step 1: first in the squares of weights, the largest", "nothing was saved in", "--lr"}));
    CHECK(!fs::exists(run / "last.state"));
    const Ended later = train(train_flags(run, {{"--lr", "1e15"}, {"--save-every", "1"}}));
    CHECK(later.code == 4);
    CHECK(says(later.err, {"is from step", "before it"}));
    const Ended worse =
        train(train_flags(dir.path() / "worse", {{"--lr", "3"}, {"--clip", "0"}, {"--log-every", "5"}}));
    CHECK(worse.code == 0);
    CHECK(says(worse.err, {"note    the loss ended at", "above the 2.3026 of its start"}));
  }

  TEST_CASE("threads that cannot be started are an error with its reason") {
    const TempDir dir;
    const rlimit few{size_t(3) << 30, size_t(3) << 30};
    rlimit before;
    ::getrlimit(RLIMIT_AS, &before);
    const rlimit limit{few.rlim_cur, before.rlim_max};
    ::setrlimit(RLIMIT_AS, &limit);  // which the child inherits: no room for so many stacks
    Child child("train", arguments_of(train_flags(dir.path() / "run", {{"--workers", "1024"}})));
    ::setrlimit(RLIMIT_AS, &before);
    const Ended ended = child.wait();
    if (contains(ended.err, "AddressSanitizer failed to allocate")) {
      MESSAGE("skipped: AddressSanitizer needs more addresses");
      return;
    }
    CHECK(ended.code == 1);
    CHECK(says(ended.err, {"--workers 1024: only", "could be started"}));
    CHECK(train(train_flags(dir.path() / "run", {{"--threads", "100000"}})).code == 2);
  }
}

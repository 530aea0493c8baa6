// What flags do not take is told in a sentence, the same in every program.
#include "engine/text.h"
#include "tests/run_program.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;

void refuses(const std::string& name, const std::vector<std::string>& arguments, const std::string& sentence) {
  const Ended ended = run_program(name, arguments);
  CHECK(ended.code == 2);
  CHECK(ended.out.empty());
  CHECK_MESSAGE(contains(ended.err, name + ": " + sentence), ended.err);
  CHECK_MESSAGE(ended.err.size() < 2000, ended.err);
}
}  // namespace

TEST_SUITE_BEGIN("flags");

TEST_CASE("numbers that a flag does not take") {
  const struct { const char *flag, *value, *sentence; } cases[] = {
      {"--batch", "0", "0, expected a whole number of at least 1"},
      {"--batch", "-3", "-3, expected a whole number of at least 1"},
      {"--batch", "1.5", "1.5, expected a whole number of at least 1"},
      {"--batch", "99999999999999999999", "99999999999999999999, expected a whole number of at most 16777216"},
      {"--width", "2147483647", "2147483647, expected a whole number of at most 65536"},
      {"--depth", "0x10", "0x10, expected a whole number of at least 1"},
      {"--steps", "010", "010, expected a whole number of at least 1"},
      {"--seed", "18446744073709551616",
       "18446744073709551616, expected a whole number of at most 18446744073709551615"},
      {"--threads", "100000", "100000, expected a whole number of at most 1024"},
      {"--epochs", "nan", "nan, expected a number above 0"},
      {"--epochs", "0", "0, expected a number above 0"},
      {"--clip", "nan", "nan, expected a number of at least 0"},
      {"--lr", "inf", "inf, expected a number of at least 0"},
      {"--lr", "1e300", "1e300, expected a number of at most 1e+30"},
      {"--alpha", "1,nan", "nan, expected a number of at least 0"},
      {"--head-bias", "nan", "nan, expected a number of at least -1e+30"},
      {"--mixup", "1e-300", "1e-300, expected 0, or a number from 0.001 to 1"},
      {"--ema", "2", "2, expected a number of at most 1"},
      {"--loss", "sigmod", "sigmod, expected one of softmax, sigmoid; did you mean sigmoid? See train --help"},
  };
  for (const auto& c : cases)
    refuses("train", {"--train", "x", c.flag, c.value}, c.flag + (": " + std::string(c.sentence)));
  refuses("train", {"--train", "x", "--out", common_folder() / "none", "--steps", "1", "--attention", "relu:inf"},
          "--attention: 'relu:inf'");
  refuses("eval", {"accuracy", "--batch", "0"}, "--batch: 0, expected a whole number of at least 1");
  refuses("eval", {"fewshot", "--l2", "inf"}, "--l2: inf, expected a number above 0");
  refuses("eval", {"fewshot", "--shots", "1,x"}, "--shots: x, expected a whole number of at least 1");
  refuses("eval", {"inspect", "--layers", "0,-1"}, "--layers: -1, expected a whole number of at least 0");
  refuses("pack", {"drawn", "--size", "1"}, "--size: 1, expected a whole number of at least 16");
  refuses("pack", {"folder", "x", "--split", "nan"}, "--split: nan, expected a number of at least 0");
  refuses("bench", {"loader", "--seconds", "nan"}, "--seconds: nan, expected a number above 0");
  refuses("bench", {"roofline", "--batch", "0"}, "--batch: 0, expected a whole number of at least 1");
}

TEST_CASE("names that are unknown, and the nearest that there is") {
  refuses("train", {"--train", "x", "--epoch", "4"}, "--epoch is unknown; did you mean --epochs? See train --help");
  refuses("train", {"--batch-size=64"}, "--batch-size is unknown; did you mean --batch?");
  refuses("train", {"--learning-rate", "1"}, "--learning-rate is unknown; did you mean --lr?");
  refuses("train", {"--output", "x"}, "--output is unknown; did you mean --out?");
  refuses("train", {"--size", "32"}, "--size is unknown; did you mean --image-size?");
  refuses("train", {"--qwertyuiop", "32"}, "--qwertyuiop is unknown; see train --help");
  refuses("train", {"shards"}, "'shards': there is no flag before it that takes it");
  refuses("eval", {"accuracy", "--chekpoint", "x"}, "--chekpoint is unknown; did you mean --checkpoint?");
  refuses("eval", {"acuracy"}, "'acuracy' is unknown, expected one of accuracy, features, predict, fewshot, gradients, "
                               "inspect, export, report; did you mean accuracy?");
  refuses("eval", {}, "expected one of accuracy, features");
  refuses("pack", {"folders", "x"}, "'folders' is unknown, expected one of drawn, folder, archive, transfer, check; "
                                    "did you mean folder?");
  refuses("pack", {"folder", "x", "--output", "y"}, "--output is unknown; did you mean --out?");
  refuses("bench", {"roof"}, "'roof' is unknown, expected one of worker, roofline");
  const std::vector<std::string> run = {"--train", "x", "--out", common_folder() / "none", "--steps", "1"};
  const auto with = [&](const std::string& flag, const std::string& value) {
    std::vector<std::string> arguments = run;
    arguments.insert(arguments.end(), {flag, value});
    return arguments;
  };
  for (const char* name : {"rleu", "ReLU", " relu", "Re Lu:0.5"}) {
    const Ended ended = run_program("train", with("--attention", name));
    CHECK(ended.code == 2);
    CHECK_MESSAGE(contains(ended.err, "; did you mean relu?"), ended.err);
  }
  CHECK(contains(run_program("train", with("--model", "s/16")).err, "; did you mean S?"));
  CHECK(contains(run_program("train", with("--preset", "figure-1")).err, "; did you mean figure1?"));
  CHECK(contains(run_program("train", with("--learn", "temprature")).err, "; did you mean temperature?"));
  TempDir dir;
  write_file(dir.path() / "config.toml", "epoch = 4\n");
  refuses("train", {"--config", dir.path() / "config.toml"},
          "in the file of --config: --epoch is unknown; did you mean --epochs?");
}

TEST_CASE("--epochs and --steps: the one on the command line wins, and the length of a run that was begun stays") {
  TempDir dir;
  const fs::path run = dir.path() / "run";
  Flags flags = train_flags(run, {{"--epochs", "2"}});    // 60 images in batches of 8: 15 updates
  flags.erase("--steps");
  REQUIRE(train(flags).code == 0);
  const auto updates = [&](Flags more) {
    more["--config"] = run / "config.toml";
    more["--out"] = dir.path() / "other";
    const Ended ended = train(more);
    fs::remove_all(dir.path() / "other");
    const size_t end = ended.err.find(" updates of"), begin = ended.err.rfind(' ', end - 1) + 1;
    return ended.code ? ended.err : ended.err.substr(begin, end - begin);
  };
  CHECK(updates({{"--epochs", "4"}}) == "30");
  CHECK(updates({{"--steps", "3"}}) == "3");
  CHECK(updates({}) == "15");
  CHECK(contains(updates({{"--steps", "3"}, {"--epochs", "4"}}), "--steps and --epochs are both given"));
  std::ofstream(run / "config.toml", std::ios::app) << "epochs = 3\n";
  CHECK(contains(updates({}), "--steps and --epochs are both given"));
  CHECK(updates({{"--steps", "4"}}) == "4");
  CHECK(updates({{"--epochs", "1"}}) == "8");

  const Ended shown = train({{"--print-config", ""}, {"--preset", "i1k"}, {"--model", "Ti/16"}, {"--epochs", "3"}});
  CHECK(contains(shown.out, "epochs=3\n"));
  CHECK_FALSE(contains(shown.out, "steps="));

  const fs::path begun = dir.path() / "begun";
  REQUIRE(train(train_flags(begun)).code == 0);
  for (const Flags& more : {Flags{{"--epochs", "90"}}, Flags{{"--steps", "90"}}}) {
    Flags resumed = more;
    resumed.merge(Flags{{"--resume", ""}, {"--out", begun}});
    const Ended ended = train(resumed);
    CHECK(ended.code == 2);
    CHECK_MESSAGE(contains(ended.err, "the run was started with run.steps = 20, now it is "), ended.err);
    CHECK_MESSAGE(contains(ended.err, "--init"), ended.err);
  }
  CHECK(train({{"--resume", ""}, {"--out", begun}, {"--steps", "20"}}).code == 0);
}

TEST_CASE("nearest") {
  const std::vector<std::string> names = {"softmax", "relu", "relu2", "gelu"};
  CHECK(nearest("Soft Max", names) == "softmax");
  CHECK(nearest("relu 2", names) == "relu2");
  CHECK(nearest("relu", names) == "relu");
  CHECK(nearest("sigmoid", names).empty());
  CHECK(nearest("", names).empty());
  CHECK(nearest("x", {}).empty());
}

TEST_SUITE_END();

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
      {"--loss", "sigmod", "'sigmod' is unknown; did you mean sigmoid? See train --help"},
      {"--loss", "focal", "'focal' is unknown, expected one of softmax, sigmoid; see train --help"},
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

TEST_CASE("flags of the few-shot probe are checked before anything is opened or printed") {
  const auto with = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"fewshot", "--checkpoint", common_folder() / "none"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  refuses("eval", with({"--task", "x"}), "--task: 'x', expected NAME=TRAIN_SOURCE,TEST_SOURCE");
  refuses("eval", with({"--task", "x=a,b", "--task", "x=c,d"}), "--task: two tasks have the name 'x'");
  refuses("eval", with({"--task", "x=a,b", "--shots", "1,5,1"}), "--shots: 1 stands there twice");
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
  refuses("eval", {"acuracy"}, "'acuracy' is unknown; did you mean accuracy? See eval --help");
  refuses("eval", {"acc"}, "'acc' is unknown; did you mean accuracy?");
  refuses("eval", {"train"}, "'train' is unknown, expected one of accuracy, features, predict, confusion, fewshot");
  refuses("eval", {"predict", "--qwertyuiop"}, "--qwertyuiop is unknown; see eval predict --help");
  refuses("eval", {"accuracy", "--batch_size", "3"},
          "--batch_size is unknown; did you mean --batch? See eval accuracy --help");
  refuses("eval", {}, "expected one of accuracy, features");
  refuses("pack", {"folders", "x"}, "'folders' is unknown; did you mean folder?");
  refuses("pack", {"folder", "x", "--output", "y"}, "--output is unknown; did you mean --out?");
  refuses("bench", {"roof"}, "'roof' is unknown; did you mean roofline?");
  const std::vector<std::string> run = {"--train", "x", "--out", common_folder() / "none", "--steps", "1"};
  const auto with = [&](const std::string& flag, const std::string& value) {
    std::vector<std::string> arguments = run;
    arguments.insert(arguments.end(), {flag, value});
    return arguments;
  };
  for (const char* name : {"rleu", "Re Lux:0.5"}) {
    const Ended ended = run_program("train", with("--attention", name));
    CHECK(ended.code == 2);
    CHECK_MESSAGE(contains(ended.err, "is unknown; did you mean relu?"), ended.err);
    CHECK_MESSAGE(ended.err.size() < 200, ended.err);
  }
  CHECK(contains(run_program("train", with("--attention", "hardmax")).err, "; all of them: --help-attention"));
  CHECK(contains(run_program("train", with("--model", "SS/16")).err, "; did you mean S?"));
  CHECK(contains(run_program("train", with("--preset", "figure-1")).err, "; did you mean figure1?"));
  CHECK(contains(run_program("train", with("--learn", "temprature")).err, "; did you mean temperature?"));
  TempDir dir;
  const fs::path config = write_file(dir.path() / "config.toml", "epoch = 4\n");
  for (const fs::path& given : {config, dir.path()})
    refuses("train", {"--config", given},
            config.string() + ": epoch is no flag; did you mean epochs? See train --help");
  write_file(config, "learning-rate = 3\n");
  refuses("train", {"--config", config}, config.string() + ": learning-rate is no flag; did you mean lr?");
  fs::remove(config);
  refuses("train", {"--config", dir.path()}, "--config: the folder " + dir.path().string() + " has no config.toml");
}

TEST_CASE("names count whatever their case and blanks") {
  const auto resolved = [](const std::vector<std::string>& flags) {
    std::vector<std::string> arguments = {"--print-config", "--steps", "3"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Ended ended = run_program("train", arguments);
    CHECK_MESSAGE(ended.code == 0, ended.err);
    return ended.out;
  };
  const auto same = [&](const std::vector<std::string>& given, const std::vector<std::string>& known) {
    const auto flags = [](const std::string& text) {
      return text.substr(0, text.find("\nmodel "));
    };    // speeds follow
    CHECK(flags(resolved(given)).substr(0, 500) == flags(resolved(known)).substr(0, 500));
  };
  same({"--attention", " ReLU , softmax,RELU_NORM"}, {"--attention", "relu,softmax,relu-norm"});
  same({"--attention", "Re Lu:0.5"}, {"--attention", "relu:0.5"});
  same({"--precision", "BF16", "--device", "CPU", "--pool", " Cls"},
       {"--precision", "bf16", "--device", "cpu", "--pool", "cls"});
  same({"--learn", "Bias, LayerScale:0.1", "--attention", "relu"},
       {"--learn", "bias,layerscale:0.1", "--attention", "relu"});
  for (const char* name : {"s/16", "S16", "s16", " S/16", "vit_small_patch16_224", "ViT_Small_Patch16_224.augreg_in1k",
                           "deit_small_patch16_224"})
    same({"--model", name}, {"--model", "S/16"});
  same({"--model", "so400m/14"}, {"--model", "So400m/14"});
  same({"--model", "vit_giant_patch14_224"}, {"--model", "g/14"});
  for (const char* name :
       {"vit_small_patch16", "S", "16", "/16", "S/", "S/016", "vit_small_patch14_reg4_dinov2", "G-OPT/14", "S/99999"}) {
    const bool known = name == std::string("vit_small_patch16");
    CHECK_MESSAGE(
        run_program("train", {"--print-config", "--steps", "3", "--image-size", "1120", "--model", name}).code ==
            (known ? 0 : 2),
        name);
  }
  const Ended timm = run_program("train", {"--print-config", "--steps", "3", "--model", "vit_base_patch16_384"});
  CHECK(contains(timm.err, "timm's own is --model B/16 --pool cls --gelu erf --image-size 384"));
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
  CHECK(nearest("soft", names) == "softmax");
  CHECK(nearest("s", names).empty());
}

TEST_CASE("same name") {
  CHECK(same_name(" ReLU ", {"relu", "relu2"}) == "relu");
  CHECK(same_name("relu_norm", {"relu-norm"}) == "relu-norm");
  CHECK(same_name("g", {"g", "G"}) == "g");
  CHECK(same_name("G-Opt", {"g-opt", "G-opt"}).empty());    // either could be meant
  CHECK(same_name("", {"a"}).empty());
  CHECK(unknown_name("rleu", {"relu", "gelu"}) == "'rleu' is unknown; did you mean relu?");
  CHECK(unknown_name("x", {"relu", "gelu"}) == "'x' is unknown, expected one of relu, gelu");
}

TEST_CASE("lines of CSV, and text that is wrapped") {
  CHECK(csv_line({"a", "tench, Tinca", "6\" nails", "x\ny"}) == "a,\"tench, Tinca\",\"6\"\" nails\",x\\x0Ay\n");
  CHECK(wrapped("one two three", 7, 2, "") == "one two\n  three\n");
  CHECK(wrapped("one two", 9, 4, "-f  ") == "-f  one\n    two\n");
  CHECK(wrapped("longerthanall x", 5, 1, "") == "longerthanall\n x\n");
  CHECK(wrapped("αβγ δ", 5, 0, "") == "αβγ δ\n");
}

TEST_SUITE_END();

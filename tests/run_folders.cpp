// What a run's folder holds belongs to one process, and no start that is refused, stopped or repeated takes it away.
#include "engine/files.h"
#include "models/checkpoint.h"
#include "tests/error_of.h"
#include "tests/run_logs.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;

const Flags resume_of(const fs::path& out) { return {{"--resume", ""}, {"--out", out}}; }

// Ends with this code and these words, and every file stays as it is.
void check_refused(const fs::path& folder, const Flags& flags, int code, std::initializer_list<const char*> words) {
  const auto before = snapshot(folder);
  const Ended ended = train(flags);
  CHECK_MESSAGE(ended.code == code, ended.err);
  CHECK(says(ended.err, words));
  CHECK(snapshot(folder) == before);
}

// Works in another folder as long as it lives.
struct Within {
  explicit Within(const fs::path& folder) { fs::current_path(folder); }
  ~Within() { fs::current_path(before); }
  const fs::path before = fs::current_path();
};
}  // namespace

TEST_SUITE("run folders") {
  TEST_CASE("a second process is refused, in a run, in a member of a grid and in the grid; a kill frees the folder") {
    const TempDir dir;
    const fs::path run = dir.path() / "run", grid = dir.path() / "grid";
    const Flags endless{{"--steps", "100000"}, {"--save-every", "100000"}};
    for (const fs::path& folder : {run, grid}) {
      Flags flags = train_flags(folder, endless);
      if (folder == grid) flags["--attention"] = "softmax,relu";
      const fs::path busy = folder == grid ? grid / "softmax" : run;
      Child first("train", arguments_of(flags));
      first.wait_until([&] { return fs::exists(busy / "metrics.csv"); });
      first.stop();
      check_refused(folder, flags, 1, {"another process writes into this folder", "--out"});
      check_refused(folder, resume_of(folder), 1, {"another process"});
      check_refused(folder, resume_of(busy), 1, {"another process"});
      first.signal(SIGKILL);
      CHECK(first.wait().code == 128 + SIGKILL);
      const Ended second = train({{"--resume", ""}, {"--out", busy}, {"--steps", "12"}});
      CHECK_MESSAGE(second.code == 0, second.err);
      CHECK(!fs::exists(busy / ".lock"));
    }
  }

  TEST_CASE("what eval and pack write belongs to one process") {
    const TempDir dir;
    REQUIRE(train(train_flags(dir.path() / "run", {{"--steps", "1"}, {"--warmup", "0"}})).code == 0);
    const fs::path out = dir.path() / "out";
    const FolderLock held(out);
    const std::string source = drawn_set() / "val-*.tar";
    const Flags flags = eval_flags(dir.path() / "run" / "last.safetensors", {{"--out", out}});
    Flags inspect = flags, fewshot = flags;
    inspect["--data"] = source, fewshot["--task"] = "t=" + source + "," + source;
    for (const Ended& ended :
         {eval("inspect", inspect), eval("fewshot", fewshot), run_program("pack", {"drawn", "--out", out}),
          run_program("pack", {"archive", "--out", out, drawn_set() / "val-0000.tar"})}) {
      CHECK(ended.code == 1);
      CHECK(says(ended.err, {"another process writes into this folder"}));
    }
  }

  TEST_CASE("a folder keeps every member that it has") {
    const TempDir dir;
    const Flags few{{"--steps", "2"}, {"--warmup", "0"}};
    const auto with = [&](const fs::path& out, const std::string& attention) {
      Flags flags = train_flags(out, few);
      flags["--attention"] = attention;
      return flags;
    };
    const fs::path grid = dir.path() / "grid", single = dir.path() / "single", models = dir.path() / "models";
    REQUIRE(train(with(grid, "softmax,relu")).code == 0);
    check_refused(grid, with(grid, "gelu"), 2, {"holds", "name all members"});
    check_refused(grid, with(grid, "softmax"), 2, {"holds", "name all members"});
    check_refused(grid, with(grid, "gelu,softmax"), 2, {"holds relu-alpha1 too"});
    REQUIRE(train(with(grid, "softmax,relu,gelu")).code == 0);
    CHECK(contains(read_text(grid / "config.toml"), "gelu"));
    REQUIRE(train(with(single, "relu")).code == 0);
    check_refused(single, with(single, "softmax,relu"), 2, {"holds a single run"});
    Flags several = train_flags(models, few);
    for (const char* size : {"--width", "--depth", "--heads", "--patch"}) several.erase(size);
    several["--model"] = "mu/8,mu/16";
    REQUIRE(train(several).code == 0);
    check_refused(models, with(models, "softmax"), 2, {"holds mu-"});
    Flags others = several;
    others["--model"] = "mu/8,Ti/8";
    check_refused(models, others, 2, {"holds mu-16 too"});
    others = several, others["--out"] = grid;
    check_refused(grid, others, 2, {"holds", "too"});
  }

  TEST_CASE("a refused start replaces neither the arguments nor the flags of what is there") {
    const TempDir dir;
    Flags flags = train_flags(dir.path(), {{"--attention", "softmax,relu"}, {"--steps", "2"}, {"--warmup", "0"}});
    REQUIRE(train(flags).code == 0);
    flags["--lr"] = "0.5";
    check_refused(dir.path(), flags, 2, {"run.lr"});
    flags["--train"] = dir.path() / "none.tar";
    check_refused(dir.path(), flags, 3, {"none.tar"});
    const TempDir more;
    Flags several = train_flags(more.path(), {{"--model", "mu/8,mu/16"}, {"--steps", "2"}, {"--warmup", "0"}});
    for (const char* size : {"--width", "--depth", "--heads", "--patch"}) several.erase(size);
    REQUIRE(train(several).code == 0);
    several["--lr"] = "0.5";
    check_refused(more.path(), several, 2, {"run.lr"});
    several["--no-such-flag"] = "";
    check_refused(more.path(), several, 2, {"--no-such-flag"});
  }

  TEST_CASE("weights without the state they belong to are not trained over") {
    const TempDir dir;
    const fs::path run = dir.path() / "run";
    const Flags flags = train_flags(run, {{"--val", drawn_set() / "val-*.tar"}, {"--ema", "0.9"}, {"--steps", "4"}});
    REQUIRE(train(flags).code == 0);
    const std::string weights = read_text(run / "last.safetensors");
    fs::remove(run / "last.safetensors");            // which the state alone brings back
    REQUIRE(train(resume_of(run)).code == 0);
    CHECK(read_text(run / "last.safetensors") == weights);
    fs::remove(run / "last.state");
    for (const char* name : {"best.safetensors", "average.safetensors", "last.safetensors"}) {
      check_refused(run, resume_of(run), 2, {name, "last.state", "--init"});
      check_refused(run, flags, 2, {name, "last.state", "--init"});
      fs::remove(run / name);
    }
    const Ended anew = train(resume_of(run));
    CHECK_MESSAGE(anew.code == 0, anew.err);
    CHECK(says(anew.err, {"note    nothing was saved", "anew"}));
    CHECK(read_text(run / "last.safetensors") == weights);
  }

  TEST_CASE("a state that an older program wrote is gone on with") {
    const TempDir dir;
    const fs::path whole = dir.path() / "whole", run = dir.path() / "run", state = run / "last.state";
    REQUIRE(train(train_flags(whole, {{"--save-every", "8"}})).code == 0);
    {
      Child child("train", arguments_of(train_flags(run, {{"--steps", "20"}, {"--save-every", "8"}})));
      child.wait_until([&] { return fs::exists(run / "metrics.csv") && lines_of(run / "metrics.csv").size() > 3; });
      child.signal(SIGTERM);
      child.wait();
    }
    {
      const SafeTensors file(state);
      std::vector<StoredTensor> tensors;
      for (const auto& [name, tensor] : file.tensors()) tensors.push_back(tensor);
      auto metadata = file.metadata();
      std::erase_if(metadata, [](const auto& item) {
        return item.first.starts_with("state.window.") || item.first.starts_with("state.log.");
      });
      write_safetensors(dir.path() / "old", tensors, metadata);
    }
    fs::rename(dir.path() / "old", state);
    REQUIRE(train(resume_of(run)).code == 0);
    check_same_run(whole, run);
    CHECK(rows_of_csv(whole / "metrics.csv") == rows_of_csv(run / "metrics.csv"));
  }

  TEST_CASE("a run goes on from any folder") {
    const TempDir dir;
    fs::create_directories(dir.path() / "here");
    fs::create_directories(dir.path() / "[here]");
    for (const char* shard : {"train-0000.tar", "val-0000.tar"}) {
      fs::copy(drawn_set() / shard, dir.path() / "here" / shard);
      fs::copy(drawn_set() / shard, dir.path() / "[here]" / shard);
    }
    Flags flags = train_flags("run", {{"--train", "./train-*.tar::val-{0000..0000}.tar"},
                                      {"--val", "val-0000.tar"},
                                      {"--classes", "10"},
                                      {"--steps", "3"},
                                      {"--warmup", "0"}});
    Flags several = flags;
    several["--out"] = "models", several["--model"] = "mu/8,mu/16";
    for (const char* size : {"--width", "--depth", "--heads", "--patch"}) several.erase(size);
    {
      const Within here(dir.path() / "here");
      REQUIRE(train(flags).code == 0);
      REQUIRE(train(several).code == 0);
    }
    for (const char* out : {"run", "models"}) {
      const Ended resumed = train(resume_of(dir.path() / "here" / out));
      CHECK_MESSAGE(resumed.code == 0, resumed.err);
    }
    flags["--train"] = "train-0000.tar";
    const Within here(dir.path() / "[here]");        // as a pattern, the folder's name would be another
    const Ended ended = train(flags);
    CHECK(ended.code == 0);
    CHECK(says(ended.err, {"note    config.toml keeps the relative path 'train-0000.tar'"}));
    CHECK(train(resume_of("run")).code == 0);
  }

  TEST_CASE("SIGTERM while a model is built leaves nothing") {
    const TempDir dir;
    Flags flags = train_flags(dir.path() / "run", {{"--width", "512"}, {"--depth", "12"}, {"--heads", "8"}});
    Child child("train", arguments_of(flags));
    child.wait_until([&] { return contains(child.err(), "run     20 updates"); });
    child.signal(SIGTERM);
    const Ended ended = child.wait();
    CHECK_MESSAGE(ended.code == 128 + SIGTERM, ended.err);
    CHECK(says(ended.err, {"stopped by signal 15", "nothing was changed"}));
    CHECK(!fs::exists(dir.path() / "run"));
  }

  TEST_CASE("a set that pack did not finish is recognised, and a file that cannot grow is an error") {
    const TempDir dir;
    const fs::path out = dir.path() / "set";
    const std::vector<std::string> drawn = {"drawn", "--out", out, "--images", "100000", "--size", "16"};
    {
      Child child("pack", drawn);
      child.wait_until([&] { return fs::exists(out / "train-0001.tar"); });
      child.signal(SIGKILL);
      CHECK(child.wait().code == 128 + SIGKILL);
    }
    for (const std::string& source :
         {out.string(), (out / "train-*.tar").string(), (out / "train-{0000..0001}.tar").string()}) {
      const Ended ended = train(train_flags(dir.path() / "run", {{"--train", source}}));
      CHECK(ended.code == 3);
      CHECK(says(ended.err, {"train-0000.tar: the set is not whole", "pack again"}));
      CHECK(run_program("pack", {"check", source}).code == 3);
    }
    Child full("pack", {"drawn", "--out", dir.path() / "full", "--images", "100", "--size", "16"}, 10000);
    const Ended ended = full.wait();
    CHECK(ended.code == 1);
    CHECK(says(ended.err, {"cannot write", "train-0000.tar", "too large"}));
    CHECK(fs::exists(dir.path() / "full" / "pack-unfinished.txt"));
    CHECK(!fs::exists(drawn_set() / "pack-unfinished.txt"));
  }
}

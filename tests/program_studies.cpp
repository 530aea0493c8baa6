// Studies as a user has them: several models, a moving average of the weights, exports, reports.
#include <nlohmann/json.hpp>

#include "engine/npy.h"
#include "engine/safetensors.h"
#include "models/checkpoint.h"
#include "tests/run_program.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;

std::vector<float> values_of(const fs::path& file, const std::string& name) { return SafeTensors(file).floats(name); }
}

TEST_SUITE("programs: studies") {
  TEST_CASE("several models train one after another, each in a folder of its own, and go on after a stop") {
    const TempDir dir;
    const fs::path out = dir.path() / "models";
    Flags flags = train_flags(out, {{"--model", "mu/8,mu/16"}, {"--steps", "3"}});
    for (const char* size : {"--width", "--depth", "--heads", "--patch"}) flags.erase(size);
    const Ended first = train(flags);
    REQUIRE_MESSAGE(first.code == 0, first.err);
    CHECK(contains(first.out, "mu/8\n"));
    CHECK(contains(first.out, "mu/16\n"));
    CHECK(SafeTensors(out / "mu-8" / "last.safetensors").at("patch_embed.proj.weight").shape ==
          std::vector<int64_t>{32, 3, 8, 8});
    CHECK(SafeTensors(out / "mu-16" / "last.safetensors").at("patch_embed.proj.weight").shape ==
          std::vector<int64_t>{32, 3, 16, 16});
    const auto before = read_text(out / "mu-8" / "last.safetensors");
    fs::remove_all(out / "mu-16");
    const Ended again = train(flags);                                    // finished ones are left as they are
    REQUIRE_MESSAGE(again.code == 0, again.err);
    CHECK(read_text(out / "mu-8" / "last.safetensors") == before);
    CHECK(fs::exists(out / "mu-16" / "last.safetensors"));
    fs::remove_all(out / "mu-16");
    const Ended resumed = train(Flags{{"--resume", ""}, {"--out", out}, {"--log-every", "1"}});
    REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
    CHECK(read_text(out / "mu-8" / "last.safetensors") == before);
    CHECK(SafeTensors(out / "mu-16" / "last.safetensors").at("patch_embed.proj.weight").shape ==
          std::vector<int64_t>{32, 3, 16, 16});
    CHECK(contains(read_text(out / "mu-16" / "config.toml"), "log-every=1\n"));
  }

  TEST_CASE("a moving average is evaluated and kept, and is the same after a resume") {
    const TempDir dir;
    Flags flags = train_flags(dir.path() / "whole", {{"--ema", "0.5"},
                                                     {"--steps", "6"},
                                                     {"--lr", "0.05"},
                                                     {"--warmup", "0"},
                                                     {"--val", drawn_set() / "val-*.tar"}});
    REQUIRE(train(flags).code == 0);
    const std::string tensor = "blocks.0.mlp.fc1.weight";
    const std::vector<float> last = values_of(dir.path() / "whole" / "last.safetensors", tensor),
                             average = values_of(dir.path() / "whole" / "average.safetensors", tensor);
    CHECK(average != last);
    Flags quicker = flags;  // six updates are too few to tell slower ones apart: all begin with a low decay
    quicker["--out"] = dir.path() / "quicker", quicker["--ema"] = "0.2";
    REQUIRE(train(quicker).code == 0);
    CHECK(values_of(dir.path() / "quicker" / "average.safetensors", tensor) != average);
    CHECK(values_of(dir.path() / "whole" / "best.safetensors", tensor) == average);
    const Flags check = eval_flags(dir.path() / "whole" / "average.safetensors",
                                   {{"--data", drawn_set() / "val-*.tar"}, {"--json", ""}});
    const auto json = nlohmann::json::parse(eval("accuracy", check).out);
    // the table's
    CHECK(contains(train(Flags{{"--resume", ""}, {"--out", dir.path() / "whole"}}).out,
                   fmt::format("{:.4f}", json["loss"].get<double>())));

    // Killed once its third step was saved.
    flags["--out"] = dir.path() / "parts";
    flags["--save-every"] = "3";
    Child child("train", arguments_of(flags));
    child.wait_until([&] { return fs::exists(dir.path() / "parts" / "last.state"); });
    child.signal(SIGKILL);
    child.wait();
    REQUIRE(train(Flags{{"--resume", ""}, {"--out", dir.path() / "parts"}}).code == 0);
    CHECK(values_of(dir.path() / "parts" / "average.safetensors", tensor) == average);
    const Ended other = train(Flags{{"--resume", ""}, {"--out", dir.path() / "parts"}, {"--ema", "0.6"}});
    CHECK(other.code == 2);
    CHECK(contains(other.err, "run.ema = 0.5, now it is 0.6"));
  }

  TEST_CASE("learned numbers are the same after a resume, are read back, and have no place in BigVision's files") {
    const TempDir dir;
    const Flags flags{
        {"--attention", "relu,ssmax"}, {"--learn", "bias,layerscale:0.1"}, {"--val", drawn_set() / "val-*.tar"}};
    CHECK(train(train_flags(dir.path() / "refused", flags)).code == 2);  // ssmax has no use for a bias
    const Flags more{{"--attention", "relu"},
                     {"--learn", "alpha-layer,bias,temperature,layerscale:0.1"},
                     {"--val", drawn_set() / "val-*.tar"},
                     {"--steps", "40"},
                     {"--save-every", "5"}};
    REQUIRE(train(train_flags(dir.path() / "straight", more)).code == 0);
    {
      Child child("train", arguments_of(train_flags(dir.path() / "parts", more)));
      child.wait_until([&] {
        return fs::exists(dir.path() / "parts" / "last.state") && saved_step(dir.path() / "parts" / "last.state") >= 5;
      });
      child.signal(SIGKILL);
      child.wait();
    }
    REQUIRE(train(Flags{{"--resume", ""}, {"--out", dir.path() / "parts"}}).code == 0);
    const SafeTensors straight(dir.path() / "straight" / "last.safetensors"),
        parts(dir.path() / "parts" / "last.safetensors");
    REQUIRE(straight.tensors().size() == parts.tensors().size());
    for (const auto& [name, tensor] : straight.tensors())
      CHECK_MESSAGE(values_of(dir.path() / "parts" / "last.safetensors", name) ==
                        values_of(dir.path() / "straight" / "last.safetensors", name),
                    name);
    CHECK(straight.at("blocks.0.attn.alpha").shape == std::vector<int64_t>{1});
    const fs::path model = dir.path() / "straight" / "last.safetensors";
    CHECK(eval("accuracy", eval_flags(model, {{"--data", drawn_set() / "val-*.tar"}})).code == 0);
    const Ended npz = eval("export", eval_flags(model, {{"--to", dir.path() / "x.npz"}}));
    CHECK(npz.code == 1);
    CHECK(contains(npz.err, "has no name in BigVision"));
    CHECK_FALSE(fs::exists(dir.path() / "x.npz"));
    REQUIRE(eval("export", eval_flags(model, {{"--to", dir.path() / "x.safetensors"}})).code == 0);
    CHECK(values_of(dir.path() / "x.safetensors", "blocks.0.ls1.gamma") == values_of(model, "blocks.0.ls1.gamma"));
  }

  TEST_CASE("exports give the same logits, and reports compare what was trained") {
    const TempDir dir;
    const fs::path run = dir.path() / "run";
    REQUIRE(train(train_flags(run, {{"--attention", "softmax,relu"},
                                    {"--alpha", "0,1"},
                                    {"--qk-norm", ""},
                                    {"--steps", "4"},
                                    {"--val", drawn_set() / "val-*.tar"}}))
                .code == 0);
    const fs::path model = run / "relu-alpha1" / "best.safetensors", x = dir.path() / "x.npy";
    std::vector<float> images(2 * 16 * 16 * 3);
    for (size_t i = 0; i < images.size(); i++) images[i] = std::sin(0.1f * float(i));
    write_npy(x, {2, 16, 16, 3}, images);
    const auto logits = [&](const fs::path& checkpoint, Flags more) {
      more.merge(Flags{{"--input", x}, {"--logits", dir.path() / "z.npy"}});
      const Ended ended = eval("predict", eval_flags(checkpoint, more));
      REQUIRE_MESSAGE(ended.code == 0, ended.err);
      return read_npy(dir.path() / "z.npy").floats();
    };
    const std::vector<float> expected = logits(model, {});
    REQUIRE(eval("export", eval_flags(model, {{"--to", dir.path() / "x.npz"}})).code == 0);
    CHECK(logits(dir.path() / "x.npz", {{"--attention", "relu"}, {"--image-size", "16"}}) == expected);
    REQUIRE(eval("export",
                 eval_flags(dir.path() / "x.npz",
                            {{"--to", dir.path() / "x.safetensors"}, {"--attention", "relu"}, {"--image-size", "16"}}))
                .code == 0);
    CHECK(logits(dir.path() / "x.safetensors", {}) == expected);
    CHECK(eval("export", eval_flags(model, {{"--to", dir.path() / "x.bin"}})).code == 2);

    const Flags larger{{"--data", drawn_set() / "val-*.tar"}, {"--image-size", "32"}};
    const Ended other = eval("accuracy", eval_flags(model, larger)),
                same_factor = eval("accuracy", eval_flags(model, [&] {
                                     Flags f = larger;
                                     f["--alpha"] = "0";
                                     return f;
                                   }()));
    CHECK_MESSAGE(other.code == 0, other.err);
    CHECK(contains(other.err,
                   "trained with L = 4 tokens, here there are 16; the weights' factor was 0.25 and is 0.0625"));
    CHECK(contains(same_factor.err, "the weights' factor was 0.25 and is 0.25"));
    // at its own size it is what it was trained with
    CHECK(eval("accuracy", eval_flags(model, {{"--data", drawn_set() / "val-*.tar"}, {"--alpha", "0"}})).code == 2);

    const Ended table = run_program("eval", {"report", run.string()}),
                json = run_program("eval", {"report", run.string(), "--json"});
    REQUIRE_MESSAGE(table.code == 0, table.err);
    for (const char* part : {"softmax", "relu", "relu-alpha0"}) CHECK(contains(table.out, part));
    const auto rows = nlohmann::json::parse(json.out)["runs"];
    REQUIRE(rows.size() == 3);
    for (const auto& row : rows) {
      CHECK(row["step"] == 4);
      CHECK(row["qk_norm"] == true);
      CHECK(row.contains("alpha") == (row["attention"] == "relu"));
      CHECK(row["best_accuracy"].get<double>() >= 0);
    }
    if (has_gnuplot()) {
      REQUIRE(run_program("eval", {"report", run.string(), "--out", (dir.path() / "r.html").string()}).code == 0);
      const std::string page = read_text(dir.path() / "r.html");
      CHECK(contains(page, "<svg"));
      CHECK(contains(page, "Validation accuracy by exponent of L"));
      CHECK(!fetches(page));
    }
    const Ended none = run_program("eval", {"report", (dir.path() / "x.npz").string()});
    CHECK(none.code == 2);
    CHECK(contains(none.err, "no folder"));
  }

  TEST_CASE("runs that differ in their seed are shown by their mean, and names of folders run no commands") {
    const TempDir dir;
    const fs::path runs = dir.path() / "runs";
    const auto write_run = [&](const std::string& folder, const std::string& attention, int seed, double accuracy,
                               const std::string& more = "", double alpha = 1) {
      fs::create_directories(runs / folder);
      write_file(runs / folder / "config.toml",
                 fmt::format("attention=\"{}\"\nalpha={}\nqk-norm=true\ngate=false\nsteps=4\nseed={}\nwidth=8\n{}",
                             attention, alpha, seed, more));
      write_file(runs / folder / "metrics.jsonl",
                 fmt::format("{{\"step\":2,\"loss\":2.0,\"images_per_second\":null}}\n{{\"step\":4,\"loss\":1.5,\"val_"
                             "accuracy\":{},\"val_loss\":1.0}}\n",
                             accuracy));
    };
    for (int seed : {0, 1, 2}) write_run(fmt::format("softmax{}", seed), "softmax", seed, 0.30 + 0.01 * seed);
    write_run("relu0", "relu", 0, 0.5);
    write_run("relu1", "relu", 1, 0.6);
    write_run("other/relu0", "relu", 2, 0.9, "lr=0.1\n");               // another training, not another seed
    write_run("relu-alpha0", "relu", 0, 0.2, "", 0);
    write_run("other/relu-alpha0", "relu", 0, 0.7, "lr=0.1\n", 0);
    const Ended table = run_program("eval", {"report", runs.string()});
    REQUIRE_MESSAGE(table.code == 0, table.err);
    CHECK(contains(table.out, "3       31.00 %       1.00 %   30.00 to 32.00 %"));
    CHECK(contains(table.out, "2       55.00 %       7.07 %   50.00 to 60.00 %"));
    CHECK_FALSE(contains(table.out, "90.00 to"));                        // of one seed there is nothing to say
    const std::string relu0 = runs / "relu0";
    const Ended twice = run_program("eval", {"report", relu0, relu0 + "/"});      // one run
    CHECK(std::count(twice.out.begin(), twice.out.end(), '\n') == 2);
    CHECK(contains(table.out, "relu as in relu0 "));
    if (!has_gnuplot()) return;
    for (const char* backtick : {"`touch trap`", "\" ; system('touch trap') #"}) write_run(backtick, "gelu", 0, 0.4);
    REQUIRE(run_program("eval", {"report", runs.string(), "--out", (dir.path() / "r.html").string()}).code == 0);
    const std::string page = read_text(dir.path() / "r.html"),
                      map = page.substr(page.find("<table class=map>"),
                                        page.find("by exponent of L") - page.find("<table class=map>"));
    CHECK(contains(page, "Over seeds"));
    for (const char* cell : {"relu as in relu0<", ">20.0<", ">55.0<", "relu as in other/relu0<", ">70.0<", ">90.0<"})
      CHECK_MESSAGE(contains(map, cell), cell);
    CHECK(!fs::exists("trap"));
  }

  TEST_CASE("a report counts distinct seeds, and an accuracy stands beside the loss of its own evaluation") {
    const TempDir dir;
    const fs::path runs = dir.path() / "runs";
    const auto write_run = [&](const std::string& folder, int seed, const std::string& rows) {
      fs::create_directories(runs / folder);
      write_file(runs / folder / "config.toml",
                 fmt::format("attention=\"relu\"\nalpha=1\nqk-norm=true\ngate=false\nsteps=6\nseed={}\n", seed));
      write_file(runs / folder / "metrics.jsonl", rows);
    };
    const std::string rows =
        "{\"step\":2,\"val_accuracy\":0.25,\"val_loss\":2.5}\n{\"step\":4,\"val_accuracy\":0.5,\"val_loss\":1.25}\n"
        "{\"step\":6,\"val_accuracy\":0.375,\"val_loss\":1.125}\n";
    const auto report = [&](const char* flag) {
      const Ended ended = run_program("eval", {"report", runs, flag});
      REQUIRE_MESSAGE(ended.code == 0, ended.err);
      return ended.out;
    };
    write_run("a", 7, rows);
    write_run("b", 7, rows);
    CHECK_FALSE(contains(run_program("eval", {"report", runs}).out, "seeds"));    // one seed
    write_run("c", 8, "{\"step\":6,\"val_accuracy\":0.25,\"val_loss\":3}\n");
    const std::string table = run_program("eval", {"report", runs}).out;
    CHECK(contains(table, "2       37.50 %      17.68 %   25.00 to 50.00 %"));     // of 0.5 and 0.25: b is not a third
    CHECK(contains(table, "best accuracy  loss there  at step  last accuracy  loss there"));
    CHECK(contains(table, "50.00 %      1.2500        4        37.50 %      1.1250"));
    const auto row = nlohmann::json::parse(report("--json"))["runs"][0];
    CHECK(row["best_step"] == 4);
    CHECK(row["best_loss"] == 1.25);
    CHECK(row["last_step"] == 6);
    CHECK(row["last_loss"] == 1.125);
    CHECK(row["seed"] == "7");
  }

  TEST_CASE("accuracy restricted to classes, and by ReaL's labels") {
    const TempDir dir;
    const fs::path run = dir.path() / "run";
    REQUIRE(train(train_flags(run, {{"--steps", "2"}})).code == 0);
    write_file(dir.path() / "some.txt", "disc\nsquare\nunicorn\n");
    const fs::path model = run / "last.safetensors";
    const Ended outside =
        eval("accuracy",
             eval_flags(model, {{"--data", drawn_set() / "val-*.tar"}, {"--restrict-to", dir.path() / "some.txt"}}));
    CHECK(outside.code == 3);  // labels of ten classes, but three are chosen from
    CHECK(contains(outside.err, "is none of the 3 of --restrict-to"));
    std::string list;
    for (const auto& name : nlohmann::json::parse(SafeTensors(model).metadata().at("class_names")))
      list += name.get<std::string>() + "\n";
    write_file(dir.path() / "all.txt", list);
    const Ended all = eval("accuracy", eval_flags(model, {{"--data", drawn_set() / "val-*.tar"},
                                                          {"--json", ""},
                                                          {"--restrict-to", dir.path() / "all.txt"}})),
                plain = eval("accuracy", eval_flags(model, {{"--data", drawn_set() / "val-*.tar"}, {"--json", ""}}));
    REQUIRE_MESSAGE(all.code == 0, all.err);
    CHECK(nlohmann::json::parse(all.out)["top5"] == nlohmann::json::parse(plain.out)["top5"]);
    CHECK(nlohmann::json::parse(all.out)["absent"].empty());
    write_file(dir.path() / "real.json", "[]");
    const Ended real = eval(
        "accuracy", eval_flags(model, {{"--data", drawn_set() / "val-*.tar"}, {"--real", dir.path() / "real.json"}}));
    CHECK(real.code == 3);
    CHECK(contains(real.err, "this is none of them"));
  }
}

// Looking inside as a user does: eval inspect, train --inspect-every, and the report of both.
#include <nlohmann/json.hpp>

#include "engine/npy.h"
#include "models/checkpoint.h"
#include "tests/run_program.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;
}  // namespace

TEST_SUITE("programs: inspect") {
  TEST_CASE("looking inside while training changes no bit, goes on after a stop, and is in the report") {
    const TempDir dir;
    const fs::path plain = dir.path() / "plain", looked = dir.path() / "looked";
    const Flags flags{{"--steps", "12"}, {"--attention", "relu"}, {"--lr", "0.01"}};
    REQUIRE(train(train_flags(plain, flags)).code == 0);
    Flags with = train_flags(looked, flags);
    with["--inspect-every"] = "3", with["--threads"] = "2", with["--save-every"] = "6";
    const Ended ended = train(with);
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    CHECK(contains(ended.err, "3 updates with a look inside took"));
    CHECK(read_text(looked / "last.safetensors") == read_text(plain / "last.safetensors"));
    check_same_run(plain, looked);
    CHECK(!fs::exists(plain / "inspect.csv"));

    std::istringstream lines(read_text(looked / "inspect.csv"));
    std::string line;
    std::getline(lines, line);
    CHECK(line == "step,layer,head,row_sum_mean,S_std,zeros,keys,entropy,dead_rows,duty,saturated,gradient_ratio");
    std::vector<std::string> steps;
    while (std::getline(lines, line))
      steps.push_back(line.substr(0, line.find(',', line.find(',', line.find(',') + 1) + 1)));
    CHECK(steps == std::vector<std::string>{"0,0,0", "0,0,1", "3,0,0", "3,0,1", "6,0,0", "6,0,1", "9,0,0", "9,0,1"});

    // A row that a killed run wrote before it saved is not there twice.
    std::ofstream(looked / "inspect.csv", std::ios::app) << "12,0,0,1,1,1,1,1,1,1,1,1\n15,0,0,1,1,1,1,1,1,1,1,1\n";
    REQUIRE(train(Flags{{"--resume", ""}, {"--out", looked}, {"--steps", "12"}}).code == 0);
    const std::string table = read_text(looked / "inspect.csv");
    CHECK(contains(table, "\n9,0,1,"));
    CHECK(!contains(table, "\n12,"));

    if (!has_gnuplot()) return;
    REQUIRE(run_program("eval", {"report", looked.string(), plain.string(), "--out", (dir.path() / "r.html").string()})
                .code == 0);
    const std::string page = read_text(dir.path() / "r.html");
    CHECK(contains(page, "Inside attention while training"));
    CHECK(contains(page, "Row sums of A"));
  }

  TEST_CASE("inspect writes a page, tables and arrays") {
    if (!has_gnuplot()) return;
    const TempDir dir;
    REQUIRE(
        train(train_flags(dir.path() / "run", {{"--steps", "6"}, {"--attention", "relu"}, {"--pool", "cls"}})).code ==
        0);
    const fs::path checkpoint = dir.path() / "run" / "last.safetensors", out = dir.path() / "in" / "side";
    const Flags flags = eval_flags(checkpoint, {{"--data", drawn_set() / "val-*.tar"},
                                                {"--out", out},
                                                {"--images", "5"},
                                                {"--batch", "2"},
                                                {"--npy", "S,dA,q"},
                                                {"--queries", "cls,1:0"},
                                                {"--json", ""}});
    const Ended ended = eval("inspect", flags);
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    const auto json = nlohmann::json::parse(ended.out);
    CHECK(json["images"] == 5);
    for (const std::string file : json["files"]) CHECK(fs::exists(file));
    CHECK(json["files"].size() == 6);
    CHECK(read_npy(out / "S-layer0.npy").shape == std::vector<int64_t>{5, 2, 5, 5});
    CHECK(read_npy(out / "q-layer0.npy").shape == std::vector<int64_t>{5, 2, 5, 8});
    for (const float x : read_npy(out / "dA-layer0.npy").floats()) CHECK(std::isfinite(x));
    const std::string page = read_text(out / "report.html"), table = read_text(out / "statistics.csv");
    for (const char* part :
         {"In words", "rollout", "Query: the patch in row 1, column 0", "Scores S", "<svg", "data:image/png"})
      CHECK(contains(page, part));
    CHECK(!fetches(page));
    CHECK(std::count(table.begin(), table.end(), '\n') == 3);
    CHECK(contains(read_text(out / "parameters.csv"), "blocks.0.attn.qkv.weight,768,"));

    Flags bad = flags;
    const auto fails = [&](const char* flag, const std::string& value, int code, const std::string& words) {
      Flags other = flags;
      other[flag] = value;
      const Ended e = eval("inspect", other);
      CHECK(e.code == code);
      CHECK_MESSAGE(contains(e.err, words), e.err);
    };
    fails("--layers", "1", 2, "--layers: 1 is none of the model's 1 layers");
    fails("--npy", "S,W", 2, "--npy: 'W' is unknown");
    fails("--queries", "2:0", 2, "--queries: '2:0'");
    fails("--images", "13", 2, "--images: 13 are asked for, but");
    fails("--images", "0", 2, "--images");
    fails("--out", checkpoint / "x", 1, "cannot make the folder");
    fails("--data", dir.path() / "none", 3, "none");
  }

  TEST_CASE("inspect ends with the code of values that are not finite, and still writes its page") {
    if (!has_gnuplot()) return;
    const TempDir dir;
    REQUIRE(train(train_flags(dir.path() / "run", {{"--steps", "2"}, {"--depth", "5"}})).code == 0);
    auto device = make_cpu(1);
    Loaded loaded = load_vit(*device, dir.path() / "run" / "last.safetensors", {});
    Parameters& parameters = loaded.vit->parameters();
    std::vector<float> weights = parameters.get(parameters.find("blocks.3.mlp.fc1.weight"));
    weights[5] = NAN;
    parameters.set("blocks.3.mlp.fc1.weight", weights);
    save_weights(dir.path() / "broken.safetensors", *loaded.vit, loaded.preprocess, loaded.classes);
    const Ended ended =
        eval("inspect", eval_flags(dir.path() / "broken.safetensors",
                                   {{"--data", drawn_set() / "val-*.tar"}, {"--out", dir.path() / "out"}}));
    CHECK(ended.code == 4);
    for (const char* word : {"parameter blocks.3.mlp.fc1.weight", "layer 4", "S of image 0", "head 0", "report.html"})
      CHECK_MESSAGE(contains(ended.err, word), ended.err);
    CHECK(contains(read_text(dir.path() / "out" / "report.html"), "Not finite"));
  }
}

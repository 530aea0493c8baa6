// Bad input to the programs: one line that names the file and the member, the right exit code, nothing saved is lost.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/index.h"
#include "engine/npy.h"
#include "tests/run_program.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;

// The program stopped with this code, and its own line is the last one, alone, and has all the words.
void check_error(const std::string& name, const Ended& ended, int code, const std::vector<std::string>& words) {
  CAPTURE(name);
  CAPTURE(ended.err);
  CHECK(ended.code == code);
  std::istringstream lines(ended.err);
  int own = 0;
  std::string last;
  for (std::string line; std::getline(lines, line); last = line) own += line.starts_with(name + ": ");
  CHECK(own == 1);
  CHECK(last.starts_with(name + ": "));
  for (const std::string& word : words) CHECK_MESSAGE(contains(last, word), "it does not say '" << word << "'");
}

// 13 pictures of the drawn set, then whatever a test adds.
std::vector<std::string> some_jpegs() {
  const Index index = Index::open(drawn_set() / "train-*.tar", {});
  std::vector<std::string> jpegs;
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < 13; i++) {
    index.read(i, bytes);
    jpegs.emplace_back(bytes.begin(), bytes.end());
  }
  return jpegs;
}
std::string tar_sample(const std::string& key, const std::string& jpeg, int label = 0) {
  return tar_entry(key + ".jpg", jpeg) + tar_entry(key + ".cls", std::to_string(label));
}

// The same JPEG with a header that says it has so many pixels a side.
std::string with_side(std::string jpeg, uint16_t side) {
  const size_t frame = jpeg.find("\xFF\xC0");
  REQUIRE(frame != jpeg.npos);
  for (const size_t at : {frame + 5, frame + 7}) jpeg[at] = char(side >> 8), jpeg[at + 1] = char(side & 255);
  return jpeg;
}

// Weights of the small model, trained once.
const fs::path& finished_run() {
  static const fs::path run = [] {
    const Ended ended = train(train_flags(common_folder() / "finished"));
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    return common_folder() / "finished";
  }();
  return run;
}
}  // namespace

TEST_SUITE_BEGIN("program errors");

TEST_CASE("damaged shards") {
  TempDir dir;
  const std::string shard = read_text(drawn_set() / "train-0000.tar"), jpeg = some_jpegs()[0];
  std::string bad_checksum = shard;
  bad_checksum[bad_checksum.find("ustar", 512) - 200]++;
  const struct { const char* name; std::string bytes; std::vector<std::string> words; } cases[] = {
      {"cut.tar", shard.substr(0, shard.size() / 2 + 100), {"cut", "copy it again"}},
      {"checksum.tar", bad_checksum, {"damaged header at offset"}},
      {"unlabelled.tar", tar_sample("a", jpeg) + tar_entry("b.jpg", jpeg) + tar_end(), {":b.jpg", "no .cls"}},
      {"twice.tar", tar_sample("a", jpeg) + tar_entry("a.jpg", jpeg) + tar_end(), {":a.jpg", "twice"}},
      {"word.tar", tar_entry("a.jpg", jpeg) + tar_entry("a.cls", "cat") + tar_end(), {":a.cls", "'cat'"}},
      {"empty.tar", tar_end(), {"no images"}},
      {"page.tar", "<!doctype html>" + std::string(1000, ' '), {"no tar"}},
  };
  for (const auto& c : cases) {
    const fs::path path = write_file(dir.path() / c.name, c.bytes);
    std::vector<std::string> words = c.words;
    words.push_back(path);
    check_error("train", train(train_flags(dir.path() / "run", {{"--train", path}})), 3, words);
    check_error("eval", eval("accuracy", eval_flags(finished_run() / "last.safetensors", {{"--data", path}})), 3,
                words);
  }
  check_error("train", train(train_flags(dir.path() / "run", {{"--train", dir.path() / "{cut,none}.tar"}})), 3,
              {"no such file", "none.tar"});
  check_error("train", train(train_flags(dir.path() / "run", {{"--classes", "5"}})), 3,
              {"train-0000.tar:", ".jpg: label ", "expected 0 to 4"});
  const fs::path high = write_file(dir.path() / "high.tar", tar_sample("a", jpeg, 10) + tar_end());
  check_error("train", train(train_flags(dir.path() / "run", {{"--val", high}})), 3,
              {"high.tar:a.jpg: label 10, expected 0 to 9"});
  check_error("eval", eval("accuracy", eval_flags(finished_run() / "last.safetensors", {{"--data", high}})), 3,
              {"high.tar:a.jpg: label 10"});
  CHECK_FALSE(fs::exists(dir.path() / "run"));
}

TEST_CASE("damaged images are replaced and counted in training, and stop an evaluation") {
  TempDir dir;
  const std::vector<std::string> good = some_jpegs();
  std::string tar;
  for (size_t i = 0; i < good.size(); i++) {
    tar += tar_sample(fmt::format("good{:02}", i), good[i], int(i % 10));
    if (i == 3) tar += tar_sample("zero", "");
    if (i == 6) tar += tar_sample("header", good[0].substr(0, 30));
    if (i == 9) tar += tar_sample("huge", with_side(good[0], 20000));
  }
  const fs::path shard = write_file(dir.path() / "damaged.tar", tar + tar_end()),
                 weights = finished_run() / "last.safetensors";
  // 16 samples in two batches of 8: each is drawn once
  const Ended trained =
      train(train_flags(dir.path() / "run", {{"--train", shard}, {"--steps", "2"}, {"--warmup", "0"}}));
  CHECK_MESSAGE(trained.code == 0, trained.err);
  for (const char* key : {"zero", "header", "huge"})
    CHECK_MESSAGE(contains(trained.err, "damaged " + shard.string() + ":" + key + ".jpg: "), trained.err);
  size_t listed = 0;    // each once
  for (size_t at = 0; (at = trained.err.find("; replaced by the next", at)) != std::string::npos; at++) listed++;
  CHECK(listed == 3);
  CHECK(contains(trained.err, "3 images were replaced"));
  const Ended passes =
      train(train_flags(dir.path() / "passes", {{"--train", shard}, {"--steps", "8"}, {"--warmup", "0"}}));
  CHECK_MESSAGE(contains(passes.err, "3 images were replaced"), passes.err);    // images, not how often
  CHECK(contains(trained.err, "2/2"));
  const std::string list = read_text(dir.path() / "run" / "damaged.txt");
  CHECK(std::count(list.begin(), list.end(), '\n') == 3);

  const Ended validated =
      train(train_flags(dir.path() / "val", {{"--val", shard}, {"--steps", "2"}, {"--warmup", "0"}}));
  CHECK_MESSAGE(validated.code == 0, validated.err);
  CHECK(contains(validated.err, "val     left out " + shard.string() + ":zero.jpg: "));
  CHECK(contains(validated.err, "/13)"));

  Flags flags = eval_flags(weights, {{"--data", shard}});
  check_error("eval", eval("accuracy", flags), 3, {shard.string() + ":zero.jpg: "});
  flags["--on-bad-image"] = "skip";
  const Ended skipped = eval("accuracy", flags);
  CHECK(contains(skipped.out, "13/16"));
  for (const char* key : {"zero", "header", "huge"})
    CHECK(contains(skipped.err, "left out " + shard.string() + ":" + key + ".jpg: "));
  flags["--json"] = "";
  const auto numbers = nlohmann::json::parse(eval("accuracy", flags).out);
  CHECK(numbers["count"] == 13);
  CHECK(numbers["of"] == 16);
  CHECK(numbers["bad_images"] == 3);

  for (const auto& bytes : {std::string(), good[0].substr(0, 30), with_side(good[0], 20000)}) {
    const fs::path picture = write_file(dir.path() / "picture.jpg", bytes);
    check_error("eval", run_program("eval", {"predict", "--checkpoint", weights, picture}), 3, {picture});
  }
  check_error("eval", run_program("eval", {"predict", "--checkpoint", weights, dir.path() / "none.jpg"}), 1,
              {"none.jpg"});
  // training has nothing to replace them with
  const fs::path hopeless = write_file(dir.path() / "hopeless.tar", tar_sample("zero", "") + tar_end());
  check_error("train", train(train_flags(dir.path() / "none", {{"--train", hopeless}})), 3, {"hopeless.tar:zero.jpg"});
}

TEST_CASE("weights and arrays that are not what they should be") {
  TempDir dir;
  const auto accuracy = [&](const fs::path& weights) {
    return eval("accuracy", eval_flags(weights, {{"--data", drawn_set() / "val-*.tar"}}));
  };
  const auto floats = [](std::vector<int64_t> shape) {
    return Array{shape, "F32", std::vector<std::byte>(*byte_count("F32", shape)), "made here"};
  };
  // BigVision's names of the small model: whole, without a tensor, with one of a dtype that weights never have
  const std::string block = "params/Transformer/encoderblock_0/", attention = block + "MultiHeadDotProductAttention_0/";
  std::map<std::string, Array> arrays{{"params/pos_embedding", floats({1, 4, 16})}};
  const auto layer = [&](const std::string& name, const std::vector<int64_t>& kernel, const std::vector<int64_t>& bias,
                         const char* leaf = "/kernel") {
    arrays[name + leaf] = floats(kernel);
    arrays[name + "/bias"] = floats(bias);
  };
  layer("params/embedding", {8, 8, 3, 16}, {16});
  for (const char* part : {"query", "key", "value"}) layer(attention + part, {16, 2, 8}, {2, 8});
  layer(attention + "out", {2, 8, 16}, {16});
  layer(block + "MlpBlock_0/Dense_0", {16, 64}, {64});
  layer(block + "MlpBlock_0/Dense_1", {64, 16}, {16});
  for (const std::string& norm :
       {block + "LayerNorm_0", block + "LayerNorm_1", std::string("params/Transformer/encoder_norm")})
    layer(norm, {16}, {16}, "/scale");
  layer("params/head", {16, 10}, {10});
  const fs::path npz = dir.path() / "big_vision.npz";
  const auto with = [&](const std::string& name, std::optional<Array> array) {
    std::map<std::string, Array> changed = arrays;
    changed.erase(name);
    if (array) changed[name] = *array;
    write_npz(npz, changed);
    return accuracy(npz);
  };
  const std::string bias = block + "MlpBlock_0/Dense_0/bias";
  const Ended whole = with(bias, arrays[bias]);
  CHECK_MESSAGE(whole.code == 0, whole.err);
  check_error("eval", with(bias, {}), 3, {npz, "blocks.0.mlp.fc1.bias is missing"});
  check_error("eval", with(bias, floats({63})), 3, {npz, "blocks.0.mlp.fc1.bias", "63", "64"});
  check_error("eval", with(bias, Array{{64}, "I64", std::vector<std::byte>(512), "made here"}), 3, {npz, bias, "I64"});

  const std::string header =
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})";
  const uint64_t size = header.size();
  const fs::path overlap =
      write_file(dir.path() / "overlap.safetensors",
                 std::string(reinterpret_cast<const char*>(&size), sizeof size) + header + std::string(12, '\0'));
  check_error("eval", accuracy(overlap), 3, {overlap, "tensor \"b\"", "overlap"});
  check_error("eval", accuracy(dir.path() / "none.safetensors"), 1, {"none.safetensors"});

  const fs::path x = dir.path() / "x.npy", y = dir.path() / "y.npy", weights = finished_run() / "last.safetensors";
  write_npy(x, {2, 24, 24, 3}, std::vector<float>(2 * 24 * 24 * 3));
  const Flags input = eval_flags(weights, {{"--input", x}});
  Flags gradients = input, features = input;
  gradients["--labels"] = y;
  features["--out"] = dir.path() / "f.npy";
  check_error("eval", eval("predict", input), 3, {x, "[2, 24, 24, 3]", "[N, 16, 16, 3]"});
  check_error("eval", eval("features", features), 3, {x, "[2, 24, 24, 3]", "[N, 16, 16, 3]"});
  CHECK_FALSE(fs::exists(dir.path() / "f.npy"));
  write_npy(x, {2, 16, 16, 3}, std::vector<int64_t>(2 * 16 * 16 * 3));
  check_error("eval", eval("predict", input), 3, {x, "I64"});
  write_npy(x, {2, 16, 16, 3}, std::vector<float>(2 * 16 * 16 * 3));
  write_npy(y, {2}, std::vector<int64_t>{3, 10});
  check_error("eval", eval("gradients", gradients), 3, {y, "label 10", "0 to 9"});
  write_npy(y, {3}, std::vector<int64_t>{0, 1, 2});
  check_error("eval", eval("gradients", gradients), 3, {y, "[3]", "[2]"});
  write_npy(y, {2}, std::vector<int64_t>{0, 1});
  CHECK(eval("gradients", gradients).code == 0);
}

TEST_CASE("flags") {
  TempDir dir;
  const auto fails = [&](Flags more, const std::vector<std::string>& words) {
    check_error("train", train(train_flags(dir.path() / "run", std::move(more))), 2, words);
  };
  fails({{"--no-such-flag", "1"}}, {"--no-such-flag", "--help"});
  fails({{"--attention", "hardmax"}}, {"--attention", "hardmax", "softmax"});
  fails({{"--attention", "relu,hardmax"}}, {"hardmax"});
  for (const char* attention : {"relu:x", "relu:"})
    fails({{"--attention", attention}}, {"--attention", attention, "NAME:ALPHA"});
  for (const char* attention : {"relu:-1", "relu:nan"}) fails({{"--attention", attention}}, {"alpha"});
  fails({{"--attention", "relu,softmax"}, {"--learn", "alpha"}}, {"--learn alpha", "softmax", "no factor"});
  fails({{"--model", "XXL/16"}}, {"--model", "XXL/16", "S/16"});
  fails({{"--model", "S"}}, {"--model", "'S'"});
  fails({{"--alpha", "-1"}}, {"--alpha"});
  fails({{"--patch", "32"}}, {"patch 32", "image size 16"});
  fails({{"--heads", "3"}}, {"heads"});
  for (const char* warmup : {"nonsense", "-1", "10%%", "1.5", "nan", "100%", "20"})
    fails({{"--warmup=" + std::string(warmup), ""}}, {"--warmup"});
  fails({{"--epochs", "1"}}, {"--steps", "--epochs"});
  Flags endless = train_flags(dir.path() / "run");
  endless.erase("--steps");
  check_error("train", train(endless), 2, {"--steps", "--epochs"});
  fails({{"--config", write_file(dir.path() / "config.toml", "learning-rate = 3\n")}}, {"learning-rate"});
  fails({{"--config", dir.path() / "none.toml"}}, {"none.toml"});
  fails({{"--resume", ""}}, {"--resume", "no run"});
  check_error("train", train({{"--steps", "20"}}), 2, {"--train"});
  check_error("eval", run_program("eval", {}), 2, {"--help"});
  check_error("eval", eval("accuracy", {{"--checkpoint", "x"}}), 2, {"--data"});
  check_error("pack", run_program("pack", {"drawn"}), 2, {"--out"});
  check_error("pack", run_program("pack", {"drawn", "--out", dir.path() / "drawn", "--images", "3"}), 2, {"--images"});
  CHECK_FALSE(fs::exists(dir.path() / "run"));
}

// Root may write anywhere, so the places are ones where no user can make a folder: below a file, and in /proc.
TEST_CASE("devices that are not there") {
  check_error("train", train(train_flags(common_folder() / "no_tf32", {{"--precision", "tf32"}})), 2,
              {"--precision tf32", "--device cuda"});
  const Ended cuda = train(train_flags(common_folder() / "no_gpu", {{"--device", "cuda"}}));
  if (cuda.code == 0) {
    MESSAGE("skipped: what is said without a GPU: there is one");
    return;
  }
  check_error("train", cuda, 1, {"CUDA", "--device cpu"});
  CHECK((contains(cuda.err, "no GPU can be used") || contains(cuda.err, "this build has no CUDA")));
  CHECK(std::count(cuda.err.begin(), cuda.err.end(), '\n') == 1);
}

TEST_CASE("folders that cannot be written") {
  TempDir dir;
  const std::string file = write_file(dir.path() / "file", "kept");
  for (const std::string& out : {file + "/run", file, std::string("/proc/nope")}) {
    check_error("train", train(train_flags(out)), 1, {out});
    check_error("pack", run_program("pack", {"drawn", "--out", out, "--images", "10", "--size", "16"}), 1, {out});
    check_error("eval",
                eval("features", eval_flags(finished_run() / "last.safetensors",
                                            {{"--data", drawn_set() / "val-*.tar"}, {"--out", out + "/f.npy"}})),
                1, {out});
  }
  CHECK(read_text(file) == "kept");
}

TEST_CASE("a run that cannot go on stays as it is") {
  TempDir dir;
  const fs::path run = dir.path() / "run", state = run / "last.state";
  fs::copy(finished_run(), run, fs::copy_options::recursive);
  const auto unchanged = [&](int code, Flags flags, const std::vector<std::string>& words) {
    const auto before = snapshot(run);
    check_error("train", train(flags), code, words);
    const auto after = snapshot(run);
    for (const auto& [file, bytes] : before)
      CHECK_MESSAGE((after.contains(file) && after.at(file) == bytes), file << " changed");
    CHECK(after.size() == before.size());
    for (const auto& [file, bytes] : before) write_file(run / file, bytes);
  };
  const auto resume = [&](Flags flags) {
    flags.merge(Flags{{"--out", run}, {"--resume", ""}});
    return flags;
  };
  unchanged(2, train_flags(run), {run, "--resume"});
  unchanged(2, train_flags(run, {{"--batch", "4"}}), {run, "--resume"});
  unchanged(2, resume({{"--batch", "4"}}), {state, "run.batch = 8, now it is 4"});
  unchanged(2, resume({{"--steps", "30"}}), {state, "run.steps = 20, now it is 30"});
  unchanged(2, resume({{"--width", "32"}}), {state, "width = 16, now it is 32"});
  unchanged(2, resume({{"--gelu", "erf"}}), {state, "gelu = tanh, now it is erf"});
  unchanged(2, resume({{"--train", drawn_set() / "val-*.tar"}}), {state, "data = 60 samples, labels "});
  unchanged(3, resume({{"--train", dir.path() / "none.tar"}}), {"none.tar"});

  std::string bytes = read_text(state);
  bytes.back() ^= 1;
  write_file(state, bytes);
  unchanged(3, resume({}), {state, "checksum"});
  write_file(state, bytes.substr(0, bytes.size() / 2));
  unchanged(3, resume({}), {state});
  write_file(state, "");
  unchanged(3, resume({}), {state});
}

TEST_SUITE_END();

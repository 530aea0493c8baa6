// What is taken for a fact about a foreign file, what may be stated, and what is assumed and said.
#include <doctest/doctest.h>

#include <fstream>
#include <memory>

#include "models/presets.h"
#include "tests/error_of.h"
#include "tests/numbered_weights.h"
#include "tests/temp_dir.h"

namespace {
using Metadata = std::map<std::string, std::string>;

// A file of timm's names, and what may lie beside it.
class Foreign {
 public:
  explicit Foreign(const Tensors& tensors, const std::map<std::string, std::string>& metadata = {}) {
    write_foreign(path(), tensors, metadata);
  }
  std::filesystem::path path() const { return dir_.path() / "x.safetensors"; }
  void beside(const std::string& name, const std::string& text) { std::ofstream(dir_.path() / name) << text; }
  Weights read(const Stated& stated = {}) const { return read_weights(path(), stated); }
  std::string refusal(ExitCode code, const Stated& stated = {}) const {
    return error_of(code, [&] { read(stated); });
  }

 private:
  TempDir dir_;
};

ViTConfig sized(int width, int depth, int mlp_width) {
  return {.image_size = 8, .patch = 8, .width = width, .depth = depth, .heads = 1, .mlp_width = mlp_width,
          .classes = 2};
}

Stated heads(int n) { return {{.heads = n}, {"heads"}}; }

constexpr const char* imagenet_json =
    R"({"architecture": "vit", "num_features": 12, "global_pool": "token", "model_args": {"num_heads": 3},
        "pretrained_cfg": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "crop_pct": 0.9}})";
}    // namespace

TEST_SUITE("weights") {
  TEST_CASE("timm: the heads of a known size, which are said to be assumed") {
    const Weights read = Foreign(numbered_weights(sized(192, 12, 768))).read();
    CHECK(read.config.heads == 3);
    REQUIRE(read.notes.size() == 1);
    CHECK(says(read.notes[0], {"x.safetensors", "assumed", "--heads 3", "--gelu erf", "--attention softmax",
                               "--mean 0.5,0.5,0.5", "--std 0.5,0.5,0.5"}));
    CHECK(read.notes[0].find("--pool") == std::string::npos);
    const auto of = [](int width, int depth, int mlp, const char* pool = "cls") {
      ViTConfig config = sized(width, depth, mlp);
      config.pool = pool;
      return heads_of_size(config);
    };
    CHECK(of(1280, 32, 5120) == std::set<int>{16});     // H/14: 80 channels a head
    CHECK(of(1152, 27, 4304) == std::set<int>{16});     // So400m
    CHECK(of(1408, 40, 6144) == std::set<int>{16});     // g/14
    CHECK(of(1664, 48, 8192) == std::set<int>{16});     // G/14
    CHECK(of(384, 36, 1536) == std::set<int>{6});       // vit_small_patch16_36x1_224
    CHECK(of(768, 12, 3072) == std::set<int>{12});
    CHECK(of(768, 12, 3072, "gap") == std::set<int>{12, 16});
    CHECK(of(64, 1, 256).empty());
  }

  TEST_CASE("timm: heads that the file does not tell are stated, or it is refused with the flag") {
    ViTConfig config = sized(64, 1, 256);
    const Foreign file(numbered_weights(config));
    CHECK(says(file.refusal(ExitCode::data), {"x.safetensors", "number of heads", "width 64", "depth 1", "--heads N"}));
    CHECK(file.read(heads(2)).config.heads == 2);
    CHECK(file.read(heads(2)).notes[0].find("--heads") == std::string::npos);
    CHECK(says(file.refusal(ExitCode::data, heads(5)), {"64", "5 heads"}));
    config.qk_norm = true, config.heads = 4;
    CHECK(Foreign(numbered_weights(config)).read().config.heads == 4);
  }

  TEST_CASE("timm: its description beside the file or in it is taken, where it is of this model") {
    ViTConfig config = tiny("cls");
    config.gelu = "erf", config.mean = {0.485f, 0.456f, 0.406f}, config.std = {0.229f, 0.224f, 0.225f};
    const Tensors tensors = numbered_weights(config);
    for (const std::string name : {"x.json", "config.json", ""}) {
      CAPTURE(name);
      Foreign file(tensors, name.empty() ? Metadata{{"config", imagenet_json}} : Metadata{});
      if (!name.empty()) file.beside(name, imagenet_json);
      const Weights read = file.read();
      CHECK(read.config == config);
      REQUIRE(read.notes.size() == 1);
      CHECK(says(read.notes[0], {"--attention softmax --gelu erf"}));
      CHECK(read.notes[0].find("--mean") == std::string::npos);
      CHECK(read.notes[0].find("--pool") == std::string::npos);
    }
    const auto with = [&](const char* from, const std::string& to) {
      std::string text = imagenet_json;
      text.replace(text.find(from), std::string_view(from).size(), to);
      auto file = std::make_unique<Foreign>(tensors);
      file->beside("config.json", text);
      return file;
    };
    CHECK(with("\"num_features\": 12", "\"num_features\": 13")->read(heads(3)).config.mean[0] == 0.5f);
    CHECK(with("\"num_heads\": 3", "\"num_heads\": 3, \"act_layer\": \"gelu_tanh\"")->read().config.gelu == "tanh");
    CHECK(says(with("\"num_heads\": 3", "\"num_heads\": 3, \"act_layer\": \"quick_gelu\"")->refusal(ExitCode::data),
               {"config.json", "act_layer", "quick_gelu"}));
    CHECK(says(with("[0.485, 0.456, 0.406]", "[0.485]")->refusal(ExitCode::data), {"config.json", "mean", "--mean"}));
    CHECK(says(with("\"token\"", "\"avg\"")->refusal(ExitCode::data), {"config.json", "global_pool", "avg"}));
  }

  TEST_CASE("timm: a class token may or may not be what the head reads") {
    const Foreign file(numbered_weights(tiny("cls")));
    CHECK(says(file.read(heads(3)).notes[0], {"assumed", "--pool cls"}));
    Stated stated = heads(3);
    stated.fields.insert("pool"), stated.config.pool = "cls";
    CHECK(file.read(stated).notes[0].find("--pool") == std::string::npos);
    stated.config.pool = "gap";
    CHECK(says(file.refusal(ExitCode::usage, stated), {"--pool gap", "x.safetensors", "class token"}));
    CHECK(Foreign(numbered_weights(tiny("gap"))).read(heads(3)).config.pool == "gap");
  }

  TEST_CASE("BigVision's GELU is tanh, timm's erf, unless it is stated") {
    Stated stated = heads(3);
    CHECK(Foreign(numbered_weights(tiny("gap"))).read(stated).config.gelu == "erf");
    stated.fields.insert("gelu");
    CHECK(Foreign(numbered_weights(tiny("gap"))).read(stated).config.gelu == "tanh");
  }
}

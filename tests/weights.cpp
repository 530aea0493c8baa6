// Weights in our own safetensors and in timm's.
#include <doctest/doctest.h>
#include <set>

#include "engine/safetensors.h"
#include "models/bigvision.h"
#include "models/vit.h"
#include "tests/error_of.h"
#include "tests/numbered_weights.h"
#include "tests/temp_dir.h"

namespace {
Weights read_timm(const Tensors& tensors, const Stated& stated) {
  const TempDir dir;
  write_foreign(dir.path() / "x.safetensors", tensors);
  return read_weights(dir.path() / "x.safetensors", stated);
}
}    // namespace

TEST_SUITE("weights") {
  TEST_CASE("a config goes through metadata unchanged, field by field") {
    ViTConfig config = tiny("map");
    config.position = "sincos2d", config.head_hidden = true, config.head_bias = -6.9, config.gelu = "erf",
    config.attention = "relu";
    config.alpha = 0.1 + 0.2, config.qk_norm = true, config.gate = true;
    config.gate_function = "sigmoid", config.form = "talking-heads", config.output_norm = "rela",
    config.block = "hybrid-norm";
    config.mean = {0.485f, 0.456f, 0.406f}, config.std = {0.229f, 0.224f, 0.225f};
    CHECK(metadata_config(config_metadata(config), "x") == config);
    CHECK(metadata_config(config_metadata(ViTConfig()), "x") == ViTConfig());
    ViTConfig learning = config;
    learning.learn = "alpha-layer,layerscale:0.01", learning.form = "plain", learning.block = "pre-norm";
    CHECK(config_metadata(learning).at("learn") == learning.learn);
    CHECK(metadata_config(config_metadata(learning), "x") == learning);
    const std::map<std::string, std::string> expected = {{"relucent", "1"},
                                                         {"image_size", "8"},
                                                         {"patch", "2"},
                                                         {"width", "12"},
                                                         {"depth", "2"},
                                                         {"heads", "3"},
                                                         {"mlp_width", "20"},
                                                         {"classes", "5"},
                                                         {"pool", "map"},
                                                         {"gelu", "erf"},
                                                         {"position", "sincos2d"},
                                                         {"head_hidden", "true"},
                                                         {"qk_norm", "true"},
                                                         {"gate", "true"},
                                                         {"attention", "relu"},
                                                         {"alpha", "0.30000000000000004"},
                                                         {"head_bias", "-6.9"},
                                                         {"gate_function", "sigmoid"},
                                                         {"attention_form", "talking-heads"},
                                                         {"output_norm", "rela"},
                                                         {"block", "hybrid-norm"},
                                                         {"mean", "0.485,0.456,0.406"},
                                                         {"std", "0.229,0.224,0.225"}};
    CHECK(config_metadata(config) == expected);
    const auto refused = [&](const std::string& key, const char* value) {
      auto metadata = config_metadata(config);
      if (value)
        metadata[key] = value;
      else
        metadata.erase(key);
      return error_of(ExitCode::data, [&] { metadata_config(metadata, "file"); });
    };
    const std::set<std::string> later = {"gate_function", "attention_form", "output_norm",
                                         "block",         "mean",           "std"};  // a file may lack them
    for (const auto& [key, value] : config_metadata(config))
      if (!later.contains(key)) CHECK(says(refused(key, nullptr), {"file", key.c_str()}));
    auto old = config_metadata(config);
    for (const std::string& key : later) old.erase(key);
    ViTConfig plain = config;
    plain.gate_function = "silu", plain.form = "plain", plain.output_norm = "none", plain.block = "pre-norm";
    plain.mean = plain.std = {0.5f, 0.5f, 0.5f};
    CHECK(metadata_config(old, "x") == plain);
    CHECK(says(refused("width", "12x"), {"width is '12x'"}));
    CHECK(says(refused("width", "99999999999"), {"width is '99999999999'"}));
    CHECK(says(refused("width", "-12"), {"width is -12"}));
    CHECK(says(refused("depth", "2000000000"), {"depth is 2000000000"}));
    CHECK(says(refused("qk_norm", "yes"), {"qk_norm is 'yes'"}));
    CHECK(says(refused("alpha", "nan"), {"alpha"}));
    CHECK(says(refused("mean", "0.5,0.5"), {"mean is '0.5,0.5'"}));
    CHECK(says(refused("mean", "0.5,nan,0.5"), {"mean", "nan"}));
    CHECK(says(refused("std", "0.5,0,0.5"), {"std", "0.5,0,0.5"}));
    CHECK(says(refused("heads", "5"), {"width 12", "5 heads"}));
    CHECK(says(refused("pool", "max"), {"pool", "max"}));
    auto both = config_metadata(learning);
    both["learn"] = "alpha,gamma";
    CHECK(says(error_of(ExitCode::data, [&] { metadata_config(both, "file"); }), {"file", "--learn", "one number"}));
    CHECK(says(refused("relucent", "2"), {"relucent 1"}));
  }

  TEST_CASE("what is written is read back bit for bit") {
    const TempDir dir;
    const auto path = dir.path() / "x.safetensors";
    for (const std::string pool : {"gap", "cls", "map"})
      for (const std::string position : {"learned", "sincos2d"})
        for (const bool options : {false, true}) {
          CAPTURE(pool);
          CAPTURE(position);
          ViTConfig config = tiny(pool);
          config.position = position, config.qk_norm = config.gate = config.head_hidden = options;
          Tensors tensors = numbered_weights(config);
          if (pool == "cls") tensors["cls_token"].data[0] = -0.0f;
          write_weights(path, config, tensors, {{"class_names", "a\nb"}, {"width", "ours wins"}});
          const Weights read = read_weights(path);
          CHECK(read.config == config);
          CHECK(same(read.tensors, tensors));
          CHECK(read.metadata.at("class_names") == "a\nb");
        }
  }

  TEST_CASE("a written file has the tensors that timm's model of this kind has") {
    const TempDir dir;
    ViTConfig config = tiny("cls");
    config.position = "sincos2d", config.qk_norm = true;
    write_weights(dir.path() / "x", config, numbered_weights(config));
    const SafeTensors file(dir.path() / "x");
    const std::vector<float> position = file.floats("pos_embed"), table = sincos2d(4, 4, 12);
    CHECK(file.at("pos_embed").shape == std::vector<int64_t>{1, 17, 12});
    CHECK(std::vector<float>(position.begin(), position.begin() + 12) == std::vector<float>(12));
    CHECK(std::vector<float>(position.begin() + 12, position.end()) == table);
    CHECK(file.floats("blocks.1.attn.k_norm.bias") == std::vector<float>(4));
  }

  TEST_CASE("timm: names and shapes tell the rest, with or without the class token's position") {
    ViTConfig wanted = tiny("cls");
    wanted.attention = "relu";
    const Tensors ours = numbered_weights(wanted);
    const Weights plain = read_timm(ours, all_fields(wanted));    // timm's no_embed_class
    CHECK(plain.config == wanted);
    CHECK(same(plain.tensors, ours));

    Tensors embedded = ours;
    auto& [shape, data] = embedded["pos_embed"];
    data.insert(data.begin(), 12, 0.25f);
    shape[1]++;
    const Weights read = read_timm(embedded, all_fields(wanted));
    for (size_t i = 0; i < 12; i++) CHECK(read.tensors.at("cls_token").data[i] == ours.at("cls_token").data[i] + 0.25f);
    CHECK(read.tensors.at("pos_embed").data == ours.at("pos_embed").data);
    CHECK(read.config == wanted);
  }

  TEST_CASE("timm: a model with LayerScale; BigVision has no names for it") {
    const TempDir dir;
    ViTConfig config = tiny("cls");
    config.learn = "layerscale";
    CHECK(read_timm(numbered_weights(config), all_fields(config)).config == config);
    CHECK(says(
        error_of(ExitCode::failed, [&] { write_bigvision(dir.path() / "x.npz", config, numbered_weights(config)); }),
        {"ls1.gamma", "BigVision", ".safetensors"}));
  }

  TEST_CASE("timm: what would be computed otherwise is refused") {
    ViTConfig config = tiny("gap");
    config.qk_norm = true;
    const auto refused = [&](const std::string& name, const NamedTensor& tensor) {
      Tensors tensors = numbered_weights(config);
      tensors[name] = tensor;
      Stated stated = all_fields(config);
      stated.fields.erase("pool");
      return error_of(ExitCode::data, [&] { read_timm(tensors, stated); });
    };
    CHECK(says(refused("fc_norm.weight", numbered({12}, 0)), {"fc_norm.weight", "mean"}));
    CHECK(says(refused("blocks.0.attn.q_norm.bias", numbered({4}, 1)), {"blocks.0.attn.q_norm.bias is not zero"}));
    CHECK(says(refused("blocks.0.ls1.gamma", numbered({12}, 1)), {"blocks.0.ls2.gamma is missing"}));
    CHECK(says(refused("blocks.0.attn.alpha", numbered({3}, 1)), {"blocks.0.attn.alpha is no parameter"}));
    CHECK(says(refused("cls_token", numbered({1, 1, 13}, 1)), {"cls_token has shape [1, 1, 13]"}));
    Tensors zero = numbered_weights(config);
    zero["blocks.0.attn.q_norm.bias"] = {{4}, std::vector<float>(4)};
    CHECK(same(read_timm(zero, all_fields(config)).tensors, numbered_weights(config)));
  }

  TEST_CASE("what does not fit the model is not written, and our own files are held to their word") {
    const TempDir dir;
    const auto path = dir.path() / "x.safetensors";
    const ViTConfig config = tiny("gap");
    Tensors tensors = numbered_weights(config);
    tensors.erase("norm.bias");
    CHECK(says(error_of(ExitCode::failed, [&] { write_weights(path, config, tensors); }),
               {"cannot write", "norm.bias is missing"}));
    write_weights(path, config, numbered_weights(config));
    auto metadata = SafeTensors(path).metadata();
    metadata["depth"] = "3";
    std::vector<StoredTensor> stored;
    const SafeTensors file(path);
    for (const auto& [name, tensor] : file.tensors()) stored.push_back(tensor);
    write_safetensors(path, stored, metadata);
    CHECK(says(error_of(ExitCode::data, [&] { read_weights(path); }), {"blocks.2.", "is missing"}));
  }
}

#include "models/vit.h"
#include "models/bigvision.h"
#include "models/weights.h"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <set>

#include "engine/safetensors.h"
#include "tests/error_of.h"
#include "tests/npz_writer.h"
#include "tests/temp_dir.h"

namespace {
using Tensors = std::map<std::string, NamedTensor>;

ViTConfig tiny(const std::string& pool) {
  ViTConfig config;
  config.image_size = 8, config.patch = 2, config.width = 12, config.depth = 2, config.heads = 3, config.mlp_width = 20;
  config.classes = 5, config.pool = pool;
  return config;
}

// A tensor whose every element tells where it belongs.
NamedTensor numbered(std::vector<int64_t> shape, double start) {
  size_t size = 1;
  for (const int64_t length : shape) size *= size_t(length);
  NamedTensor tensor{std::move(shape), std::vector<float>(size)};
  for (size_t i = 0; i < size; i++) tensor.data[i] = float(std::sin(start + 0.37 * double(i)));
  return tensor;
}

Tensors numbered_weights(const ViTConfig& config) {
  Tensors tensors;
  for (const auto& [name, shape] : weight_shapes(config)) tensors[name] = numbered(shape, double(tensors.size()));
  return tensors;
}

// The parameters of the same model as BigVision names and shapes them (D 12, heads 3 of 4, MLP 20, 4 x 4 patches of 2).
Tensors bigvision(const std::string& pool, bool qk_norm = false, bool hidden = false) {
  Tensors tensors;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    tensors[name] = numbered(std::move(shape), double(tensors.size()));
  };
  const auto norm = [&](const std::string& name) { add(name + "/scale", {12}), add(name + "/bias", {12}); };
  const auto dense = [&](const std::string& name, int64_t in, int64_t out) {
    add(name + "/kernel", {in, out}), add(name + "/bias", {out});
  };
  const auto encoder = [&](const std::string& at, const std::string& second_norm, bool qk) {
    const std::string attention = at + "MultiHeadDotProductAttention_0/";
    for (const std::string part : {"query", "key", "value"})
      add(attention + part + "/kernel", {12, 3, 4}), add(attention + part + "/bias", {3, 4});
    if (qk) add(attention + "query_ln/scale", {4}), add(attention + "key_ln/scale", {4});
    add(attention + "out/kernel", {3, 4, 12}), add(attention + "out/bias", {12});
    norm(at + second_norm);
    dense(at + "MlpBlock_0/Dense_0", 12, 20), dense(at + "MlpBlock_0/Dense_1", 20, 12);
  };
  add("embedding/kernel", {2, 2, 3, 12}), add("embedding/bias", {12}), add("pos_embedding", {1, 16, 12});
  for (const std::string block : {"Transformer/encoderblock_0/", "Transformer/encoderblock_1/"})
    norm(block + "LayerNorm_0"), encoder(block, "LayerNorm_1", qk_norm);
  norm("Transformer/encoder_norm");
  if (pool == "cls") add("cls", {1, 1, 12});
  if (pool == "map") add("MAPHead_0/probe", {1, 1, 12}), encoder("MAPHead_0/", "LayerNorm_0", false);
  if (hidden) dense("pre_logits", 12, 12);
  dense("head", 12, 5);
  return tensors;
}

Tensors with_prefix(const Tensors& tensors, const std::string& prefix) {
  Tensors result;
  for (const auto& [name, tensor] : tensors) result[prefix + name] = tensor;
  return result;
}

void rename(Tensors& tensors, const std::string& from, const std::string& to) {
  Tensors result;
  for (auto& [name, tensor] : tensors) {
    const size_t at = name.find(from);
    result[at == name.npos ? name : name.substr(0, at) + to + name.substr(at + from.size())] = std::move(tensor);
  }
  tensors = std::move(result);
}

Weights read_npz_of(const Tensors& tensors, const ViTConfig& wanted = {}) {
  const TempDir dir;
  write_npz(dir.path() / "x.npz", tensors);
  return read_weights(dir.path() / "x.npz", wanted);
}

void write_foreign(const std::filesystem::path& path, const Tensors& tensors) {
  std::vector<StoredTensor> stored;
  for (const auto& [name, tensor] : tensors)
    stored.push_back({name, "F32", tensor.shape, std::as_bytes(std::span(tensor.data))});
  write_safetensors(path, stored);
}

Weights read_timm(const Tensors& tensors, const ViTConfig& wanted) {
  const TempDir dir;
  write_foreign(dir.path() / "x.safetensors", tensors);
  return read_weights(dir.path() / "x.safetensors", wanted);
}

std::string npz_refusal(const Tensors& tensors) {
  return error_of(ExitCode::data, [&] { read_npz_of(tensors); });
}

bool same(const Tensors& a, const Tensors& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto found = b.find(name);
    if (found == b.end() || found->second.shape != tensor.shape || found->second.data.size() != tensor.data.size() ||
        std::memcmp(found->second.data.data(), tensor.data.data(), tensor.data.size() * sizeof(float)) != 0) {
      MESSAGE(name << " differs");
      return false;
    }
  }
  return true;
}
}    // namespace

TEST_SUITE("weights") {
  TEST_CASE("a config goes through metadata unchanged, field by field") {
    ViTConfig config = tiny("map");
    config.position = "sincos2d", config.head_hidden = true, config.head_bias = -6.9, config.gelu = "erf",
    config.attention = "relu";
    config.alpha = 0.1 + 0.2, config.qk_norm = true, config.gate = true;
    config.gate_function = "sigmoid", config.form = "talking-heads", config.output_norm = "rela", config.block = "hybrid-norm";
    CHECK(metadata_config(config_metadata(config), "x") == config);
    CHECK(metadata_config(config_metadata(ViTConfig()), "x") == ViTConfig());
    ViTConfig learning = config;
    learning.learn = "alpha-layer,layerscale:0.01", learning.form = "plain", learning.block = "pre-norm";
    CHECK(config_metadata(learning).at("learn") == learning.learn);
    CHECK(metadata_config(config_metadata(learning), "x") == learning);
    const std::map<std::string, std::string> expected = {
        {"relucent", "1"},    {"image_size", "8"},    {"patch", "2"},           {"width", "12"},
        {"depth", "2"},       {"heads", "3"},         {"mlp_width", "20"},      {"classes", "5"},
        {"pool", "map"},      {"gelu", "erf"},        {"position", "sincos2d"}, {"head_hidden", "true"},
        {"qk_norm", "true"},  {"gate", "true"},       {"attention", "relu"},    {"alpha", "0.30000000000000004"},
        {"head_bias", "-6.9"}, {"gate_function", "sigmoid"}, {"attention_form", "talking-heads"}, {"output_norm", "rela"},
        {"block", "hybrid-norm"}};
    CHECK(config_metadata(config) == expected);
    const auto refused = [&](const std::string& key, const char* value) {
      auto metadata = config_metadata(config);
      if (value)
        metadata[key] = value;
      else
        metadata.erase(key);
      return error_of(ExitCode::data, [&] { metadata_config(metadata, "file"); });
    };
    const std::set<std::string> later = {"gate_function", "attention_form", "output_norm", "block"};      // older files lack them
    for (const auto& [key, value] : config_metadata(config))
      if (!later.contains(key)) CHECK(says(refused(key, nullptr), {"file", key.c_str()}));
    auto old = config_metadata(config);
    for (const std::string& key : later) old.erase(key);
    ViTConfig plain = config;
    plain.gate_function = "silu", plain.form = "plain", plain.output_norm = "none", plain.block = "pre-norm";
    CHECK(metadata_config(old, "x") == plain);
    CHECK(says(refused("width", "12x"), {"width is '12x'"}));
    CHECK(says(refused("width", "99999999999"), {"width is '99999999999'"}));
    CHECK(says(refused("width", "-12"), {"width is -12"}));
    CHECK(says(refused("depth", "2000000000"), {"depth is 2000000000"}));
    CHECK(says(refused("qk_norm", "yes"), {"qk_norm is 'yes'"}));
    CHECK(says(refused("alpha", "nan"), {"alpha"}));
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
          const Weights read = read_weights(path, ViTConfig());
          CHECK(read.config == config);
          CHECK(same(read.tensors, tensors));
          CHECK(read.metadata.at("class_names") == "a\nb");
        }
  }

  TEST_CASE("what is written for BigVision is read back bit for bit") {
    const TempDir dir;
    for (const std::string pool : {"gap", "cls", "map"})
      for (const bool options : {false, true}) {
        CAPTURE(pool);
        ViTConfig config = tiny(pool);
        config.qk_norm = config.gate = config.head_hidden = options;
        const Tensors tensors = numbered_weights(config);
        write_bigvision(dir.path() / "x.npz", config, tensors);
        ViTConfig wanted;
        wanted.attention = config.attention, wanted.alpha = config.alpha, wanted.gelu = config.gelu;
        const Weights read = read_weights(dir.path() / "x.npz", wanted);
        CHECK(read.config == config);
        CHECK(same(read.tensors, tensors));
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

  TEST_CASE("BigVision: the architecture is found and every element gets its place") {
    for (const std::string pool : {"gap", "cls", "map"}) {
      CAPTURE(pool);
      const Tensors source = bigvision(pool, true, true);
      ViTConfig wanted;
      wanted.attention = "relu", wanted.alpha = 0.5, wanted.gelu = "erf";
      const Weights read = read_npz_of(source, wanted);
      ViTConfig expected = tiny(pool);
      expected.qk_norm = expected.head_hidden = true, expected.attention = "relu", expected.alpha = 0.5,
      expected.gelu = "erf";
      CHECK(read.config == expected);
      const auto at = [&](const std::string& name) { return read.tensors.at(name).data; };
      const auto from = [&](const std::string& name) { return source.at(name).data; };
      const std::string block = "Transformer/encoderblock_1/", attention = block + "MultiHeadDotProductAttention_0/";
      for (size_t out = 0; out < 12; out++)
        for (size_t in = 0; in < 12; in++) {
          CHECK(at("blocks.1.attn.qkv.weight")[out * 12 + in] == from(attention + "query/kernel")[in * 12 + out]);
          CHECK(at("blocks.1.attn.qkv.weight")[(12 + out) * 12 + in] == from(attention + "key/kernel")[in * 12 + out]);
          CHECK(at("blocks.1.attn.qkv.weight")[(24 + out) * 12 + in] ==
                from(attention + "value/kernel")[in * 12 + out]);
          CHECK(at("blocks.1.attn.proj.weight")[out * 12 + in] == from(attention + "out/kernel")[in * 12 + out]);
          CHECK(at("pre_logits.fc.weight")[out * 12 + in] == from("pre_logits/kernel")[in * 12 + out]);
          if (pool == "map")
            CHECK(at("attn_pool.kv.weight")[(12 + out) * 12 + in] ==
                  from("MAPHead_0/MultiHeadDotProductAttention_0/value/kernel")[in * 12 + out]);
        }
      for (size_t d = 0; d < 12; d++)
        for (size_t c = 0; c < 3; c++)
          for (size_t y = 0; y < 2; y++)
            for (size_t x = 0; x < 2; x++)
              CHECK(at("patch_embed.proj.weight")[((d * 3 + c) * 2 + y) * 2 + x] ==
                    from("embedding/kernel")[((y * 2 + x) * 3 + c) * 12 + d]);
      for (size_t i = 0; i < 12; i++) {
        CHECK(at("blocks.1.attn.qkv.bias")[12 + i] == from(attention + "key/bias")[i]);
        CHECK(at("blocks.0.mlp.fc2.weight")[i * 20 + 3] ==
              from("Transformer/encoderblock_0/MlpBlock_0/Dense_1/kernel")[3 * 12 + i]);
        CHECK(at("blocks.0.mlp.fc1.weight")[3 * 12 + i] ==
              from("Transformer/encoderblock_0/MlpBlock_0/Dense_0/kernel")[i * 20 + 3]);
        CHECK(at("head.weight")[3 * 12 + i] == from("head/kernel")[i * 5 + 3]);
      }
      CHECK(at("blocks.1.norm1.weight") == from(block + "LayerNorm_0/scale"));
      CHECK(at("blocks.1.norm2.bias") == from(block + "LayerNorm_1/bias"));
      CHECK(at("blocks.1.attn.q_norm.weight") == from(attention + "query_ln/scale"));
      CHECK(at("blocks.1.attn.k_norm.weight") == from(attention + "key_ln/scale"));
      CHECK(at("norm.weight") == from("Transformer/encoder_norm/scale"));
      CHECK(at("pos_embed") == from("pos_embedding"));
      if (pool == "cls") CHECK(at("cls_token") == from("cls"));
      if (pool == "map") {
        CHECK(at("attn_pool.latent") == from("MAPHead_0/probe"));
        CHECK(at("attn_pool.norm.weight") == from("MAPHead_0/LayerNorm_0/scale"));
        CHECK(at("attn_pool.q.bias") == from("MAPHead_0/MultiHeadDotProductAttention_0/query/bias"));
      }
    }
  }

  TEST_CASE("BigVision: checkpoints hold the parameters under params/ or opt/target/") {
    const Tensors plain = bigvision("gap"), expected = read_npz_of(plain).tensors;
    for (const std::string prefix : {"params/", "opt/target/"}) {
      Tensors checkpoint = with_prefix(plain, prefix);
      checkpoint["opt/0/mu/embedding/kernel"] = numbered({2}, 0);
      CHECK(same(read_npz_of(checkpoint).tensors, expected));
    }
  }

  TEST_CASE("BigVision: names of before linen, class token's position, MAP head at the top") {
    Tensors old = bigvision("cls");
    const Tensors expected = read_npz_of(old).tensors;
    const std::vector<float> row = numbered({12}, 0.5).data;
    for (size_t i = 0; i < 12; i++) old["cls"].data[i] -= row[i];
    auto& [shape, data] = old["pos_embedding"];
    data.insert(data.begin(), row.begin(), row.end());
    shape[1]++;
    rename(old, "MultiHeadDotProductAttention_0", "MultiHeadDotProductAttention_1");
    rename(old, "LayerNorm_1", "LayerNorm_2");
    rename(old, "MlpBlock_0", "MlpBlock_3");
    for (const std::string position : {"Transformer/posembed_input/pos_embedding", "Transformer/pos_embedding"}) {
      Tensors tensors = old;
      rename(tensors, "pos_embedding", position);
      Tensors read = read_npz_of(tensors).tensors;
      for (size_t i = 0; i < 12; i++)
        CHECK(read["cls_token"].data[i] == doctest::Approx(expected.at("cls_token").data[i]));
      read["cls_token"] = expected.at("cls_token");
      CHECK(same(read, expected));
    }

    Tensors inlined = bigvision("map");
    const Tensors expected_map = read_npz_of(inlined).tensors;
    rename(inlined, "MAPHead_0/", "");
    CHECK(same(read_npz_of(inlined).tensors, expected_map));
  }

  TEST_CASE("BigVision: scanned models have the depth as first axis") {
    Tensors scanned;
    const Tensors plain = bigvision("gap", true);
    for (const auto& [name, tensor] : plain) {
      const size_t at = name.find("encoderblock_");
      if (at == name.npos) {
        scanned[name] = tensor;
        continue;
      }
      NamedTensor& stack = scanned[std::string(name).erase(at + 12, 2)];
      if (stack.shape.empty()) stack.shape = tensor.shape, stack.shape.insert(stack.shape.begin(), 0);
      stack.shape[0]++;
      stack.data.insert(stack.data.end(), tensor.data.begin(), tensor.data.end());
    }
    const Weights read = read_npz_of(scanned);
    CHECK(read.config.depth == 2);
    CHECK(same(read.tensors, read_npz_of(plain).tensors));
  }

  TEST_CASE("BigVision: without a position embedding it is sincos2d, of the image size that is asked for") {
    Tensors tensors = bigvision("gap");
    tensors.erase("pos_embedding");
    ViTConfig wanted;
    wanted.image_size = 32;
    const ViTConfig config = read_npz_of(tensors, wanted).config;
    CHECK(config.position == "sincos2d");
    CHECK(config.image_size == 32);
  }

  TEST_CASE("BigVision: what is missing, unknown or of another shape is named") {
    const auto without = [](const std::string& name) {
      Tensors tensors = bigvision("gap");
      REQUIRE(tensors.erase(name) == 1);
      return npz_refusal(tensors);
    };
    const auto with = [](const std::string& name, std::vector<int64_t> shape) {
      Tensors tensors = bigvision("gap");
      tensors[name] = numbered(std::move(shape), 0);
      return npz_refusal(tensors);
    };
    CHECK(says(without("head/kernel"), {"x.npz", "head.weight is missing"}));
    CHECK(says(without("embedding/kernel"), {"patch_embed.proj.weight is missing"}));
    CHECK(says(without("Transformer/encoderblock_0/LayerNorm_1/bias"), {"blocks.0.norm2.bias is missing"}));
    CHECK(says(without("Transformer/encoderblock_1/MultiHeadDotProductAttention_0/value/bias"),
               {"blocks.1.attn.value.bias is missing"}));
    CHECK(says(with("img/head/kernel", {2, 2}), {"img/head/kernel is no parameter"}));
    CHECK(says(with("Transformer/encoderblock_0/MlpBlock_0/Dense_2/kernel", {12, 12}),
               {"Dense_2/kernel is no parameter"}));
    CHECK(says(with("Transformer/encoderblock_7/LayerNorm_0/scale", {12}), {"blocks.7.norm1.weight is no parameter"}));
    CHECK(says(with("head/kernel", {12, 6}), {"head.bias has shape [5], expected [6]"}));
    CHECK(says(with("head/kernel", {12, 5, 1}), {"head/kernel", "expected 2 axes, got shape [12, 5, 1]"}));
    CHECK(says(with("head/kernel", {0, 5}), {"head/kernel", "no elements"}));
    CHECK(says(with("pos_embedding", {1, 15, 12}), {"15 positions, expected a square"}));
    CHECK(says(with("embedding/kernel", {2, 2, 4, 12}), {"[12, 4, 2, 2], expected [12, 3, 2, 2]"}));
    CHECK(says(with("Transformer/encoderblock_1/MultiHeadDotProductAttention_0/out/kernel", {2, 6, 12}),
               {"agree in H and d"}));
    CHECK(says(with("Transformer/encoderblock_1/MultiHeadDotProductAttention_0/key/kernel", {11, 3, 4}),
               {"attn.key.weight has shape [12, 11]"}));
    CHECK(says(with("Transformer/pos_embedding", {1, 16, 12}), {"pos_embedding is there under another name"}));
    Tensors infinite = bigvision("gap");
    infinite["head/bias"].data[2] = INFINITY;
    CHECK(says(npz_refusal(infinite), {"head.bias has values that are not finite"}));
    CHECK(says(npz_refusal({}), {"x.npz"}));
  }

  TEST_CASE("timm: names and shapes tell the rest, with or without the class token's position") {
    ViTConfig wanted = tiny("cls");
    wanted.attention = "relu";
    const Tensors ours = numbered_weights(wanted);
    const Weights plain = read_timm(ours, wanted);    // timm's no_embed_class
    CHECK(plain.config == wanted);
    CHECK(same(plain.tensors, ours));

    Tensors embedded = ours;
    auto& [shape, data] = embedded["pos_embed"];
    data.insert(data.begin(), 12, 0.25f);
    shape[1]++;
    const Weights read = read_timm(embedded, wanted);
    for (size_t i = 0; i < 12; i++) CHECK(read.tensors.at("cls_token").data[i] == ours.at("cls_token").data[i] + 0.25f);
    CHECK(read.tensors.at("pos_embed").data == ours.at("pos_embed").data);
    CHECK(read.config == wanted);
  }

  TEST_CASE("timm: the number of heads") {
    ViTConfig config = tiny("gap");
    CHECK(read_timm(numbered_weights(config), config).config.heads == 3);
    CHECK(says(error_of(ExitCode::data, [&] { read_timm(numbered_weights(config), ViTConfig()); }),
               {"number of heads", "--heads"}));
    config.qk_norm = true;
    CHECK(read_timm(numbered_weights(config), ViTConfig()).config.heads == 3);
    config.qk_norm = false, config.width = 128, config.heads = 2;
    CHECK(read_timm(numbered_weights(config), ViTConfig()).config == config);
  }

  TEST_CASE("timm: a model with LayerScale; BigVision has no names for it") {
    const TempDir dir;
    ViTConfig config = tiny("cls");
    config.learn = "layerscale";
    CHECK(read_timm(numbered_weights(config), ViTConfig{.width = 12, .heads = 3}).config == config);
    CHECK(says(error_of(ExitCode::failed, [&] { write_bigvision(dir.path() / "x.npz", config, numbered_weights(config)); }), {"ls1.gamma", "BigVision", ".safetensors"}));
  }

  TEST_CASE("timm: what would be computed otherwise is refused") {
    ViTConfig config = tiny("gap");
    config.qk_norm = true;
    const auto refused = [&](const std::string& name, const NamedTensor& tensor) {
      Tensors tensors = numbered_weights(config);
      tensors[name] = tensor;
      return error_of(ExitCode::data, [&] { read_timm(tensors, config); });
    };
    CHECK(says(refused("fc_norm.weight", numbered({12}, 0)), {"fc_norm.weight", "mean"}));
    CHECK(says(refused("blocks.0.attn.q_norm.bias", numbered({4}, 1)), {"blocks.0.attn.q_norm.bias is not zero"}));
    CHECK(says(refused("blocks.0.ls1.gamma", numbered({12}, 1)), {"blocks.0.ls2.gamma is missing"}));
    CHECK(says(refused("blocks.0.attn.alpha", numbered({3}, 1)), {"blocks.0.attn.alpha is no parameter"}));
    CHECK(says(refused("cls_token", numbered({1, 1, 13}, 1)), {"cls_token has shape [1, 1, 13]"}));
    Tensors zero = numbered_weights(config);
    zero["blocks.0.attn.q_norm.bias"] = {{4}, std::vector<float>(4)};
    CHECK(same(read_timm(zero, config).tensors, numbered_weights(config)));
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
    CHECK(says(error_of(ExitCode::data, [&] { read_weights(path, config); }), {"blocks.2.", "is missing"}));
  }
}

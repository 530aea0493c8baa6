// Weights in BigVision's npz, of every age.
#include <doctest/doctest.h>

#include "models/bigvision.h"
#include "models/vit.h"
#include "tests/error_of.h"
#include "tests/npz_writer.h"
#include "tests/numbered_weights.h"
#include "tests/temp_dir.h"

namespace {
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

Weights read_npz_of(const Tensors& tensors, const Stated& stated = {}) {
  const TempDir dir;
  write_npz(dir.path() / "x.npz", tensors);
  return read_weights(dir.path() / "x.npz", stated);
}

std::string npz_refusal(const Tensors& tensors) {
  return error_of(ExitCode::data, [&] { read_npz_of(tensors); });
}
}    // namespace

TEST_SUITE("weights") {
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
        const Weights read = read_weights(dir.path() / "x.npz", all_fields(wanted));
        CHECK(read.config == config);
        CHECK(same(read.tensors, tensors));
      }
  }

  TEST_CASE("BigVision: the architecture is found and every element gets its place") {
    for (const std::string pool : {"gap", "cls", "map"}) {
      CAPTURE(pool);
      const Tensors source = bigvision(pool, true, true);
      ViTConfig wanted;
      wanted.attention = "relu", wanted.alpha = 0.5, wanted.gelu = "erf";
      const Weights read = read_npz_of(source, all_fields(wanted));
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
    const ViTConfig config = read_npz_of(tensors, all_fields(wanted)).config;
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
}

// What is said in words of models that are broken or unusual, and not of others.
#include <doctest/doctest.h>
#include <algorithm>

#include "models/words.h"
#include "tests/error_of.h"
#include "tests/inspected.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("inspect");

namespace {

bool has_word(const std::vector<std::string>& sentences, std::initializer_list<const char*> words) {
  const auto has_all = [&](const std::string& s) {
    return std::all_of(words.begin(), words.end(), [&](const char* word) { return s.find(word) != s.npos; });
  };
  return std::any_of(sentences.begin(), sentences.end(), has_all);
}

std::vector<std::string> words_of(const ViT& vit, int images = 2) {
  const MadeUpBatch batch = made_up_batch(vit.config(), images);
  return diagnoses(inspect(vit, batch.images, batch.labels, {}), vit);
}

}  // namespace

TEST_CASE("words: a head whose query weights are zero") {
  auto device = test_device(1);
  for (const char* attention : {"softmax", "relu"}) {
    const ViTConfig c = config_of(attention);
    ViT vit(*device, c);
    train_a_little(vit, made_up_batch(c, 2));
    CHECK(words_of(vit).empty());
    std::vector<float> qkv = vit.parameters().get(vit.parameters().find("blocks.1.attn.qkv.weight")),
                       bias = vit.parameters().get(vit.parameters().find("blocks.1.attn.qkv.bias"));
    std::fill(qkv.begin() + 16 * c.width, qkv.begin() + 32 * c.width, 0.0f),
        std::fill(bias.begin() + 16, bias.begin() + 32, 0.0f);
    vit.parameters().set("blocks.1.attn.qkv.weight", qkv), vit.parameters().set("blocks.1.attn.qkv.bias", bias);
    const std::vector<std::string> words = words_of(vit);
    CHECK(has_word(words, {"Scores all the same: in layer 1 head 1 each is 0", "queries are all 0",
                           "rows 16 to 31 of blocks.1.attn.qkv.weight are zero"}));
    CHECK(has_word(words, {"Dead heads: in layer 1 head 1"}) == (attention == std::string("relu")));
  }
}

TEST_CASE("words: a value that is not finite is traced to layer, op and tile") {
  auto device = test_device(1);
  ViTConfig c = config_of("relu");
  c.depth = 5;
  ViT vit(*device, c);
  train_a_little(vit, made_up_batch(c, 2));
  std::vector<float> weights = vit.parameters().get(vit.parameters().find("blocks.3.attn.qkv.weight"));
  weights[size_t(c.width + 17) * c.width] = NAN;                         // of the keys of head 1
  vit.parameters().set("blocks.3.attn.qkv.weight", weights);
  const MadeUpBatch batch = made_up_batch(c, 2);
  const Inspection in = inspect(vit, batch.images, batch.labels, {});
  CHECK(says(in.broken,
             {"parameter blocks.3.attn.qkv.weight", "layer 3", "S of image 0", "head 1", "query rows 0 to 16"}));
  CHECK(has_word(diagnoses(in, vit), {"Not finite", "blocks.3.attn.qkv.weight"}));
  CHECK(std::isfinite(in.heads[2][0].S.sum));
  CHECK(!std::isfinite(in.heads[3][1].S.sum));
}

TEST_CASE("words: relu without 1/L at L = 785") {
  if (on_cuda()) return;
  auto device = test_device(2);
  ViTConfig c{.image_size = 112,
              .patch = 4,
              .width = 16,
              .depth = 1,
              .heads = 1,
              .mlp_width = 16,
              .classes = 10,
              .pool = "cls"};
  c.attention = "relu";
  for (const double alpha : {1.0, 0.0}) {
    c.alpha = alpha;
    ViT vit(*device, c);
    vit.initialise(1);
    const std::vector<std::string> words = words_of(vit, 1);
    CHECK(has_word(words, {"Row sums", "L = 785", "with α = 1 it would be 0.", "--alpha 1"}) == (alpha == 0));
    CHECK(has_word(words, {"No gradient: in layer 0, all heads dA is 0"}));          // the head begins with zeros
  }
}

// A model changed so that its numbers are unusual in one way each, and what must be said of it.
TEST_CASE("words: what is unusual is named, and what is not is not") {
  if (on_cuda()) return;
  auto device = test_device(2);
  const auto said = [&](ViTConfig c, auto change, int images = 2) {
    ViT vit(*device, c);
    train_a_little(vit, made_up_batch(c, 2));
    change(vit);
    return words_of(vit, images);
  };
  const auto scale = [](const char* part, float factor) {
    return [=](ViT& vit) {
      for (const Parameter& p : vit.parameters().list()) {
        if (p.name.find(part) == p.name.npos) continue;
        std::vector<float> values = vit.parameters().get(p);
        for (float& x : values) x *= factor;
        vit.parameters().set(p.name, values);
      }
    };
  };
  const auto nothing = [](ViT&) {};
  const auto with = [](const char* attention, auto change) { ViTConfig c = config_of(attention); change(c); return c; };
  const ViTConfig relu = config_of("relu"), softmax = config_of("softmax"), relu6 = config_of("relu6");
  CHECK(has_word(said(softmax, scale("q_norm", 100)), {"Large scores", "the scales of q_norm and k_norm have grown"}));
  CHECK(has_word(said(softmax, scale("q_norm", 100)), {"One key alone"}));
  CHECK(has_word(said(softmax, scale("q_norm", 1e-3f)), {"All keys alike"}));
  CHECK(has_word(said(relu6, scale("q_norm", 10)), {"Saturation", "s ≥ 6"}));
  CHECK(has_word(said(config_of("sigmoid-bias"), scale("q_norm", 10)), {"Saturation", "s ≤"}));
  CHECK(has_word(said(config_of("exp"), scale("q_norm", 1e-4f)), {"All keys alike"}));
  // L^-2 is what was asked for
  CHECK(has_word(said(with("relu2", [](ViTConfig& c) { c.alpha = 2; }), nothing), {"Weak gradient"}) == false);
  CHECK(has_word(said(with("relu2", [](ViTConfig&) {}), scale("q_norm", 1e-3f)),
                 {"Weak gradient", "a hundredth of the weights' factor"}));
  // Row sums: the factor, whose it is, and what comes after
  const auto large = [](ViTConfig& c) { c.alpha = 0, c.image_size = 64; };
  CHECK(has_word(said(with("relu", large), nothing), {"Row sums", "L^-0 with L = 257", "--alpha 1"}));
  CHECK(has_word(said(with("identity", large), nothing), {"Row sums", "--alpha 1"}));  // though their mean is near 0
  CHECK(!has_word(said(with("relu", [&](ViTConfig& c) { large(c), c.output_norm = "rms"; }), nothing), {"Row sums"}));
  CHECK(has_word(said(with("relu", [&](ViTConfig& c) { large(c), c.learn = "alpha"; }), nothing),
                 {"Row sums", "learned factor"}));
  CHECK(has_word(said(with("relu", [](ViTConfig& c) { c.learn = "gamma"; }),
                      [](ViT& vit) { vit.parameters().set("blocks.1.attn.log_gamma", {5, 0, 0}); }),
                 {"Row sums: in layer 1 head 0", "learned factor"}));
  CHECK(has_word(said(with("reluformer", [](ViTConfig& c) { c.image_size = 96; }), nothing, 1),
                 {"Row sums", "With L = 577 keys reluformer sums to 1"}));
  CHECK(has_word(said(relu, scale("q_norm", 60)), {"Row sums", "The scores are large", "have grown"}));
  CHECK(has_word(said(config_of("sigmoid-bias"), [](ViT& vit) {  // all scores large, though they hardly differ
    std::vector<float> bias(3 * 48);
    std::fill(bias.begin(), bias.begin() + 96, 30.0f);
    for (int c = 0; c < 96; c += 2) bias[c] = -30;
    vit.parameters().set("blocks.1.attn.qkv.bias", bias);
  }), {"Row sums: in layer 1", "The scores are large"}));
  // Queries, and the more of them the larger the bias, that have all keys behind them
  const auto opposite = [](float size) {
    return [=](ViT& vit) {
      std::vector<float> bias(3 * 48);
      for (int c = 0; c < 48; c++) bias[c] = c % 16 < 8 ? size : -size, bias[48 + c] = -bias[c];
      vit.parameters().set("blocks.1.attn.qkv.bias", bias);
    };
  };
  CHECK(has_word(said(relu, opposite(50)), {"Dead heads: in layer 1, all heads"}));
  CHECK(has_word(said(relu, opposite(50)), {"Closed", "layer 1, all heads"}));
  CHECK(has_word(said(relu, opposite(1)), {"Dead rows: in layer 1"}));
}

TEST_CASE("words: a gradient that is not finite, on the way back alone") {
  auto device = test_device(1);
  const ViTConfig c = config_of("relu");
  ViT vit(*device, c);
  train_a_little(vit, made_up_batch(c, 2));
  std::vector<float> proj = vit.parameters().get(vit.parameters().find("blocks.2.attn.proj.weight"));
  for (float& x : proj) x *= 1e37f;  // what attention adds is still finite; its gradient is not
  std::vector<float> qkv = vit.parameters().get(vit.parameters().find("blocks.2.attn.qkv.weight"));
  std::fill(qkv.begin() + 2 * 48 * 48, qkv.end(), 0.0f);                  // no values: attention adds nothing
  vit.parameters().set("blocks.2.attn.proj.weight", proj), vit.parameters().set("blocks.2.attn.qkv.weight", qkv);
  vit.parameters().set("blocks.2.attn.qkv.bias", std::vector<float>(144));
  std::vector<float> head = vit.parameters().get(vit.parameters().find("head.weight"));
  for (float& x : head) x *= 1e3f;
  vit.parameters().set("head.weight", head);
  const MadeUpBatch batch = made_up_batch(c, 2);
  const Inspection in = inspect(vit, batch.images, batch.labels, {});
  REQUIRE(!in.broken.empty());
  CHECK(has_word(diagnoses(in, vit), {"Not finite", "Scores and weights are finite in every layer"}));
}

TEST_SUITE_END();

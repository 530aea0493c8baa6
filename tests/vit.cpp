// The ViT: parameters, initialisation, first losses, and that training works and repeats its bits.
#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <set>
#include "engine/attention/functions.h"
#include "engine/ops/label_ranks.h"
#include "models/presets.h"
#include "models/train_step.h"
#include "tests/difference.h"
#include "tests/error_of.h"
#include "tests/synthetic.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("vit");

namespace {

size_t count(const ViTConfig& config) {
  size_t n = 0;
  for (const Parameter& p : ViT::parameter_list(config)) n += p.shape.size();
  return n;
}

struct Statistics {
  double mean = 0, deviation = 0, largest = 0;
  explicit Statistics(const std::vector<float>& values) {
    for (float x : values) mean += x / values.size(), largest = std::max(largest, std::abs(double(x)));
    for (float x : values) deviation += (x - mean) * (x - mean) / values.size();
    deviation = std::sqrt(deviation);
  }
};

}  // namespace

TEST_CASE("variants by name") {
  const struct { const char* name; int width, depth, mlp_width, heads;
  } variants[] = {{"mu", 32, 1, 128, 2},          {"Ti", 192, 12, 768, 3},   {"S", 384, 12, 1536, 6},
                  {"M", 512, 12, 2048, 8},        {"B", 768, 12, 3072, 12},  {"L", 1024, 24, 4096, 16},
                  {"So400m", 1152, 27, 4304, 16}, {"H", 1280, 32, 5120, 16}, {"g", 1408, 40, 6144, 16},
                  {"g-opt", 1536, 40, 6144, 16},  {"G", 1664, 48, 8192, 16}, {"G-opt", 1536, 48, 8192, 16},
                  {"e", 1792, 56, 15360, 16}};
  for (const auto& v : variants) {
    ViTConfig config;
    set_variant(config, std::string(v.name) + "/14");
    CHECK(config ==
          ViTConfig{.patch = 14, .width = v.width, .depth = v.depth, .heads = v.heads, .mlp_width = v.mlp_width});
  }
  ViTConfig config;
  for (const char* name : {"", "S", "S/", "/16", "S/0", "S/-1", "S/16x", "SS/16", "X/16", "S/99999999999"})
    CHECK(says(error_of(ExitCode::usage, [&] { set_variant(config, name); }), {"--model", name, "S/16", "So400m"}));
}

TEST_CASE("numbers of parameters of BigVision's configs") {
  const struct { const char* model; size_t i1k, i21k, s16_i1k;
  } expected[] = {{"Ti/16", 5754280, 9739731, 5716456},     {"S/32", 23026408, 30902739, 23007208},
                  {"S/16", 22198120, 30074451, 22122472},   {"S/8", 22202728, 30079059, 21901288},
                  {"B/32", 88814056, 104250963, 88775656},  {"B/16", 87157480, 102594387, 87006184},
                  {"L/16", 305375208, 325688659, 305173480}};
  for (const auto& e : expected) {
    ViTConfig i1k{.pool = "cls", .head_hidden = true}, i21k{.classes = 21843},
        s16_i1k{.position = "sincos2d", .head_hidden = true};
    for (ViTConfig* config : {&i1k, &i21k, &s16_i1k}) set_variant(*config, e.model);
    CHECK(count(i1k) == e.i1k);
    CHECK(count(i21k) == e.i21k);
    CHECK(count(s16_i1k) == e.s16_i1k);
    i1k.qk_norm = true;
    CHECK(count(i1k) == e.i1k + i1k.depth * 2 * i1k.head_width());
    i1k.gate = true;
    CHECK(count(i1k) == e.i1k + i1k.depth * (2 * i1k.head_width() + (i1k.width + 1) * i1k.width));
  }
}

TEST_CASE("weight decay acts on kernels") {
  ViTConfig config = small_vit("relu");
  config.pool = "map";
  for (const Parameter& p : ViT::parameter_list(config)) {
    const bool kernel = p.name.ends_with(".weight") && p.name.find("norm") == std::string::npos;
    CHECK_MESSAGE(p.decayed == kernel, p.name);
  }
}

TEST_CASE("a config that makes no sense is refused") {
  const struct { ViTConfig config; const char* words;
  } cases[] = {{{.image_size = 8}, "patch"},
               {{.width = 385}, "385"},
               {{.depth = 0}, "depth"},
               {{.classes = -1}, "classes"},
               {{.pool = "max"}, "'max'"},
               {{.position = "none"}, "'none'"},
               {{.width = 390, .position = "sincos2d"}, "multiple of 4"},
               {{.gelu = "fast"}, "'fast'"},
               {{.attention = "cosine"}, "'cosine'"},
               {{.alpha = NAN}, "alpha"}};
  for (const auto& c : cases) CHECK(says(error_of(ExitCode::usage, [&] { check_config(c.config); }), {c.words}));
}

TEST_CASE("what makes no sense to learn is refused with the reason") {
  const struct { const char *attention, *learn; std::initializer_list<const char*> words;
  } cases[] = {{"softmax", "alpha", {"softmax", "no factor"}},
               {"softmax1", "gamma-layer", {"gamma-layer", "no factor"}},
               {"relu", "alpha,gamma", {"one number"}},
               {"relu", "gamma-layer,alpha", {"one number"}},
               {"softmax", "bias", {"changes nothing"}},
               {"entmax15", "bias-layer", {"changes nothing"}},
               {"softmax-sink", "bias", {"its learned sink"}},
               {"nap", "temperature", {"changes nothing"}},
               {"relu-norm", "temperature", {"changes nothing"}},
               {"ssmax", "temperature", {"its learned ssmax_scale"}},
               {"relu", "alpha,alpha-layer", {"'alpha-layer'", "same number"}},
               {"relu", "beta", {"'beta'", "layerscale"}},
               {"relu", "alpha-row", {"'alpha-row'"}},
               {"relu", "layerscale:x", {"'layerscale:x'"}},
               {"relu", "layerscales", {"'layerscales'"}},
               {"relu", "layerscale:", {"'layerscale:'"}},
               {"relu", "layerscale=0.1", {"'layerscale=0.1'"}},
               {"relu", "layerscale-1", {"'layerscale-1'"}},
               {"relu2", "gamma,temperature", {"one number"}},
               {"identity", "temperature-layer,alpha", {"one number"}},
               {"relu", "alpha,,bias", {"''"}}};
  for (const auto& c : cases) {
    const std::string message =
        error_of(ExitCode::usage, [&] { check_config({.attention = c.attention, .learn = c.learn}); });
    CHECK_MESSAGE(says(message, {"--learn"}), c.attention, " ", c.learn, ": ", message);
    CHECK_MESSAGE(says(message, c.words), message);
  }
}

TEST_CASE("a temperature beside a factor makes sense with a bias, or where h is not homogeneous") {
  for (const auto& [attention, learn] :
       {std::pair{"relu", "gamma,temperature,bias"}, {"gelu", "gamma,temperature"}, {"relu", "temperature"}})
    CHECK(error_of(ExitCode::usage, [&] { check_config({.attention = attention, .learn = learn}); }) == "no error");
  ViTConfig normalised{.attention = "relu", .learn = "gamma"};
  normalised.output_norm = "rms";
  CHECK(says(error_of(ExitCode::usage, [&] { check_config(normalised); }), {"--learn gamma", "--output-norm rms"}));
}

TEST_CASE("every number that heads learn moves: sink, ssmax scale, gamma") {
  for (const auto& [attention, learn, name] : {std::tuple{"softmax-sink", "", "attn.sink"},
                                               {"ssmax", "", "attn.ssmax_scale"},
                                               {"relu", "gamma", "attn.log_gamma"}}) {
    ViTConfig config = small_vit(attention);
    config.learn = learn;
    auto device = test_device(2);
    ViT vit(*device, config);
    vit.initialise(1);
    vit.parameters().set("head.weight", random_values(480, 2));
    Adam adam(vit.parameters(), {.lr = 1e-2});
    TrainStep step(vit, adam, {.loss = "softmax"});
    const Parameter& number = vit.parameters().find(std::string("blocks.1.") + name);
    const std::vector<float> before = vit.parameters().get(number);
    const MadeUpBatch batch = made_up_batch(config, 4);
    for (int t = 0; t < 3; t++) step(batch.images, batch.labels, 1);
    const std::vector<float> after = vit.parameters().get(number);
    for (size_t h = 0; h < before.size(); h++) CHECK_MESSAGE(after[h] != before[h], name);
  }
}

TEST_CASE("what is learned starts so that nothing changes, but by LayerScale") {
  auto device = test_device(1);
  ViTConfig config = small_vit("relu");
  config.alpha = 0.75;
  const MadeUpBatch batch = made_up_batch(config, 2);
  auto start = [&](const char* attention, const char* learn) {
    config.attention = attention, config.learn = learn;
    ViT vit(*device, config);
    vit.initialise(3);
    vit.parameters().set("head.weight", random_values(480, 2));
    Tape tape(*device, false);
    return std::pair{tape.download(vit.forward(tape, tape.input("images", {2, 32, 32, 3}, batch.images))),
                     vit.parameters().list()};
  };
  const std::vector<float> plain = start("relu", "").first, softmax = start("softmax", "").first;
  CHECK(largest_error(start("relu", "alpha,bias,temperature").first, plain) <= 1e-5);
  CHECK(largest_error(start("relu", "gamma-layer,bias-layer,temperature-layer").first, plain) <= 1e-5);
  CHECK(largest_error(start("ssmax", "").first, softmax) <= 1e-5);
  CHECK(largest_error(start("relu", "layerscale").first, plain) > 1e-2);
  CHECK(largest_error(start("relu", "layerscale:1").first, plain) <= 1e-5);
  CHECK(start("softmax-sink", "").first != softmax);

  config.attention = "relu", config.learn = "alpha,bias-layer,temperature,layerscale:0.01";
  ViT vit(*device, config);
  vit.initialise(3);
  auto values = [&](const char* name) { return vit.parameters().get(vit.parameters().find(name)); };
  CHECK(values("blocks.1.attn.alpha") == std::vector<float>(3, 0.75f));
  CHECK(values("blocks.1.attn.score_bias") == std::vector<float>(1, 0));
  CHECK(values("blocks.0.attn.log_temperature") == std::vector<float>(3, 0));
  CHECK(values("blocks.0.ls2.gamma") == std::vector<float>(48, 0.01f));
  for (const Parameter& p : vit.parameters().list()) CHECK((p.shape.rank() > 1 || !p.decayed));
}

TEST_CASE("what is learned moves, with the same bits for any number of threads and with rematerialisation") {
  ViTConfig config = small_vit("sigmoid");
  config.learn = "alpha,bias-layer,temperature,layerscale:0.1";
  const MadeUpBatch batch = made_up_batch(config, 4);
  std::vector<std::vector<float>> first;
  for (int threads : on_cuda() ? std::vector{1} : std::vector{1, 2, 3})
    for (const bool rematerialise : {false, true}) {
      auto device = test_device(threads);
      ViT vit(*device, config);
      vit.initialise(1);
      vit.parameters().set("head.weight", random_values(480, 2));
      Adam adam(vit.parameters(), {.lr = 1e-2});
      TrainStep step(vit, adam, {.loss = "softmax", .rematerialise = rematerialise});
      for (int t = 0; t < 3; t++) step(batch.images, batch.labels, 1);
      std::vector<std::vector<float>> values;
      for (const Parameter& p : vit.parameters().list()) values.push_back(vit.parameters().get(p));
      if (first.empty()) first = values;
      CHECK(values == first);
      for (const char* name :
           {"blocks.0.attn.alpha", "blocks.1.attn.score_bias", "blocks.1.attn.log_temperature", "blocks.0.ls1.gamma"})
        for (float x : vit.parameters().get(vit.parameters().find(name)))
          CHECK(x != doctest::Approx(std::string(name).ends_with("alpha")   ? 1
                                     : std::string(name).ends_with("gamma") ? 0.1
                                                                            : 0)
                         .epsilon(1e-4));
    }
}

TEST_CASE("position embedding sincos2d: x first, then y") {
  const std::vector<float> table = sincos2d(2, 3, 8);
  REQUIRE(table.size() == 2 * 3 * 8);
  const float expected[2][8] = {{0.841471f, 0.0001f, 0.540302f, 1, 0, 0, 1, 1},
                                {0, 0, 1, 1, 0.841471f, 0.0001f, 0.540302f, 1}};
  for (int c = 0; c < 8; c++) {
    CHECK(table[1 * 8 + c] == doctest::Approx(expected[0][c]).epsilon(1e-6));        // y 0, x 1
    CHECK(table[3 * 8 + c] == doctest::Approx(expected[1][c]).epsilon(1e-6));        // y 1, x 0
  }
}

TEST_CASE("initialisation of S/16") {
  auto device = test_device(2);
  ViT vit(*device, {.depth = 2, .pool = "cls", .head_hidden = true, .head_bias = -6.9, .qk_norm = true, .gate = true});
  vit.initialise(1);
  std::set<std::vector<float>> seen;
  for (const Parameter& p : vit.parameters().list()) {
    const std::vector<float> values = vit.parameters().get(p);
    const Statistics s(values);
    INFO(p.name, ": mean ", s.mean, " deviation ", s.deviation, " largest ", s.largest);
    auto constant = [&](double value) { CHECK(values == std::vector<float>(values.size(), float(value))); };
    auto distribution = [&](double deviation, double largest) {
      CHECK(seen.insert(values).second);
      CHECK(std::abs(s.mean) < 5 * deviation / std::sqrt(values.size()));
      CHECK(s.deviation == doctest::Approx(deviation).epsilon(5 / std::sqrt(2.0 * values.size())));
      CHECK(s.largest <= 1.0001 * largest);
      if (values.size() > 100000) CHECK(s.largest >= 0.98 * largest);
    };
    auto uniform = [&](double largest) { distribution(largest / std::sqrt(3), largest); };
    const bool weight = p.name.ends_with(".weight");
    if (p.name == "head.weight" || p.name == "cls_token") constant(0);
    else if (p.name == "head.bias") constant(-6.9);
    else if (weight && p.name.find("norm") != std::string::npos) constant(1);
    else if (p.name == "pos_embed") distribution(1 / std::sqrt(384), 6 / std::sqrt(384));
    else if (p.name == "patch_embed.proj.weight") distribution(0.03608, 0.08204);
    else if (p.name == "pre_logits.fc.weight") distribution(1 / std::sqrt(384), 2.27369 / std::sqrt(384));
    else if (weight && p.name.find(".attn.") != std::string::npos) uniform(0.08839);
    else if (weight) uniform(0.05590);
    else if (p.name.find(".mlp.") != std::string::npos) distribution(1e-6, 6e-6);
    else constant(0);
  }
}

TEST_CASE("the initial values of a parameter depend on the seed and its name alone") {
  auto device = test_device(1);
  ViTConfig config = small_vit("relu");
  ViT one(*device, config), other(*device, config);
  config.depth = 1, config.attention = "softmax", config.gate = false, config.pool = "map";
  ViT different(*device, config);
  one.initialise(5), other.initialise(6), different.initialise(5);
  auto values = [](ViT& vit, const char* name) { return vit.parameters().get(vit.parameters().find(name)); };
  for (const char* name :
       {"patch_embed.proj.weight", "pos_embed", "blocks.0.attn.qkv.weight", "blocks.0.mlp.fc2.bias"}) {
    CHECK(values(one, name) == values(different, name));
    CHECK(values(one, name) != values(other, name));
  }
  const Statistics latent(values(different, "attn_pool.latent"));
  CHECK(latent.largest <= std::sqrt(6.0 / 49));
  CHECK(latent.deviation == doctest::Approx(std::sqrt(2.0 / 49)).epsilon(0.4));
}

TEST_CASE("first losses with the head at zero") {
  auto device = test_device(2);
  const struct { const char* loss; int classes; double bias, expected; } cases[] = {
      {"sigmoid", 1000, -6.9, 7.907278}, {"sigmoid", 21843, -10, 10.991648}, {"softmax", 1000, 0, 6.907755}};
  for (const auto& c : cases) {
    ViTConfig config = small_vit("relu");
    config.depth = 1, config.classes = c.classes, config.head_bias = c.bias;
    const MadeUpBatch batch = made_up_batch(config, 2);
    ViT vit(*device, config);
    vit.initialise(1);
    Adam adam(vit.parameters(), {});
    // 21843 terms in float
    CHECK(TrainStep(vit, adam, {.loss = c.loss})(batch.images, batch.labels, 0).loss ==
          doctest::Approx(c.expected).epsilon(2e-5));
  }
  Tape tape(*device);
  Tensor z = tape.input("logits", {2, 2}, std::vector<float>(4));
  CHECK(says(error_of(ExitCode::usage, [&] { loss_op(tape, "hinge", z, z); }),
             {"--loss", "'hinge'", "softmax", "sigmoid"}));
}

TEST_CASE(
    "where the label stands: equal logits in the order of classes, the best of several labels, NaN last, no label at "
    "the end") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  struct Row { std::vector<float> logits, labels; int rank, among_first_and_last; };
  const Row rows[] = {
      {{1, 3, 2}, {0, 1, 1}, 0, 0},          {{5, 4, 5}, {0, 0, 1}, 1, 1},      {{5, 4, 5}, {1, 0, 0}, 0, 0},
      {{-1, -3, -2}, {0.6f, 0.4f, 0}, 3, 3}, {{1, NAN, 2}, {0, 0, 1}, 1, 0},    {{1, NAN, 2}, {0, 1, 0}, 3, 3},
      {{NAN, NAN, 2}, {1, 0, 1}, 2, 1},      {{inf, 7, -inf}, {0, 1, 0}, 1, 1}, {{3, 2, 1}, {0, 0, 1}, 2, 1}};
  auto device = test_device(2);
  Tape tape(*device);
  std::vector<float> logits, labels;
  for (const Row& r : rows)
    logits.insert(logits.end(), r.logits.begin(), r.logits.end()),
        labels.insert(labels.end(), r.labels.begin(), r.labels.end());
  const int B = int(std::size(rows));
  Tensor z = tape.input("logits", {B, 3}, logits), y = tape.input("labels", {B, 3}, labels),
         allowed = tape.input("classes", {3}, std::vector<float>{1, 0, 1});
  const std::vector<int> ranks = label_ranks(tape, z, tape.value(y)),
                         among = label_ranks(tape, z, tape.value(y), tape.value(allowed));
  for (int b = 0; b < B; b++) {
    CAPTURE(b);
    CHECK(ranks[b] == rows[b].rank);
    CHECK(among[b] == rows[b].among_first_and_last);
  }
}

TEST_CASE("bytes are to the model what their values are, mixed and in micro-batches too") {
  const ViTConfig config = small_vit("relu");
  const MadeUpBatch batch = made_up_batch(config, 6);
  std::vector<uint8_t> bytes(batch.images.size());
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = uint8_t(i * 2654435761u >> 24);
  for (const auto& [mean, std] : {std::pair<Channels, Channels>{config.mean, config.std},
                                  {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}}}) {
    std::vector<float> values(bytes.size());
    for (size_t i = 0; i < bytes.size(); i++) values[i] = (float(bytes[i]) / 255 - mean[i % 3]) / std[i % 3];
    auto train = [&](const HostImages& images, double mix, int micro_batch) {
      auto device = test_device(2);
      ViT vit(*device, config);
      vit.initialise(1);
      Adam adam(vit.parameters(), {});
      TrainStep step(vit, adam, {.loss = "softmax", .micro_batch = micro_batch});
      std::vector<double> results;
      for (int t = 0; t < 2; t++) {
        const StepResult r = step(images, batch.labels, 1, mix);
        results.insert(results.end(), {r.loss, r.gradient_norm, double(r.correct)});
      }
      return results;
    };
    for (const auto& [mix, micro_batch] : {std::pair{1.0, 0}, {0.7, 0}, {1.0, 4}, {0.7, 4}}) {
      CAPTURE(mix);
      CAPTURE(micro_batch);
      CHECK(train({bytes, mean, std}, mix, micro_batch) == train(values, mix, micro_batch));
    }
    auto device = test_device(2);
    Tape tape(*device);
    CHECK(tape.download(images_leaf(tape, {6, 32, 32, 3}, {bytes, mean, std})) == values);
    CHECK(says(error_of(ExitCode::failed, [&] { images_leaf(tape, {5, 32, 32, 3}, {bytes, mean, std}); }),
               {"18432", "[5, 32, 32, 3]"}));
  }
}

TEST_CASE("three steps give the same bits for any number of threads") {
  for (const char* attention : {"softmax", "relu"}) {
    const ViTConfig config = small_vit(attention);
    const MadeUpBatch batch = made_up_batch(config, 8);
    std::vector<double> losses[3];
    std::vector<std::vector<float>> values[3];
    for (int threads : {1, 2, 3}) {
      auto device = test_device(threads);
      ViT vit(*device, config);
      vit.initialise(1);
      Adam adam(vit.parameters(), {.lr = 1e-2});
      TrainStep step(vit, adam, {.loss = "sigmoid"});
      for (int t = 0; t < 3; t++) {
        const StepResult result = step(batch.images, batch.labels, 1);
        losses[threads - 1].push_back(result.loss);
        losses[threads - 1].push_back(result.gradient_norm);
      }
      for (const Parameter& p : vit.parameters().list()) values[threads - 1].push_back(vit.parameters().get(p));
    }
    for (int i : {1, 2}) {
      CHECK(losses[i] == losses[0]);
      CHECK(values[i] == values[0]);
    }
  }
}

TEST_CASE("ten steps on one batch reduce the loss and learn it") {
  auto device = test_device(2);
  for (const auto& f : on_cuda() ? PaperFunctions::all() : AttentionFunctions::all()) {  // emulated, they take minutes
    ViTConfig config = small_vit(f.name);
    config.depth = 1, config.pool = f.name == "relu" ? "map" : "gap";
    const MadeUpBatch batch = made_up_batch(config, 8);
    ViT vit(*device, config);
    vit.initialise(1);
    Adam adam(vit.parameters(), {.lr = 3e-3, .weight_decay = 0});
    TrainStep step(vit, adam, {.loss = "softmax"});
    const StepResult first = step(batch.images, batch.labels, 1);
    StepResult last = first;
    for (int t = 0; t < 10; t++) last = step(batch.images, batch.labels, 1);
    INFO(f.name, ": ", first.loss, " then ", last.loss, ", ", last.correct, " correct");
    CHECK(last.loss < 0.85 * first.loss);
    CHECK(last.correct == 8);
  }
}

TEST_CASE("errors") {
  auto device = test_device(1);
  const ViTConfig config = small_vit("relu");
  ViT vit(*device, config);
  Tape tape(*device);
  std::vector<float> images(2 * 28 * 28 * 3);
  CHECK(says(error_of(ExitCode::data, [&] { vit.forward(tape, tape.input("images", {2, 28, 28, 3}, images)); }),
             {"[2, 28, 28, 3]", "[2, 32, 32, 3]"}));
  CHECK(says(error_of(ExitCode::failed, [&] { vit.parameters().find("blocks.9.norm1.weight"); }),
             {"blocks.9.norm1.weight"}));
  CHECK(says(error_of(ExitCode::data, [&] { vit.parameters().set("head.bias", {1, 2}); }),
             {"head.bias", "2 values", "[10]"}));
  AttentionProbe* probes[1] = {};
  Tensor x = tape.input("images", {1, 32, 32, 3}, std::vector<float>(32 * 32 * 3));
  CHECK(says(error_of(ExitCode::failed, [&] { vit.forward(tape, x, probes); }), {"1 attention probes", "2 blocks"}));
}

TEST_SUITE_END();

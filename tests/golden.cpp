// Logits, losses and gradients against numbers that BigVision's own models/vit.py gave: mu/16 with 5 classes, every
// value a sine, read through a file with BigVision's names.
#include <doctest/doctest.h>
#include <cmath>
#include "engine/npy.h"
#include "engine/ops/loss.h"
#include "models/presets.h"
#include "models/train_step.h"
#include "models/weights.h"
#include "tests/error_of.h"
#include "tests/temp_dir.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("golden");

namespace {

std::vector<float> sines(size_t n, double scale, double step, double first) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; i++) values[i] = float(scale * std::sin(step * double(i) + first));
  return values;
}

std::map<std::string, std::vector<int64_t>> bigvision_shapes(const ViTConfig& c) {
  const int64_t D = c.width, M = c.mlp_width, H = c.heads, d = c.head_width(), P = c.patch, N = c.grid() * c.grid();
  std::map<std::string, std::vector<int64_t>> shapes;
  auto dense = [&](const std::string& name, std::vector<int64_t> kernel, std::vector<int64_t> bias) {
    shapes[name + "/kernel"] = kernel;
    shapes[name + "/bias"] = bias;
  };
  auto norm = [&](const std::string& name) { shapes[name + "/scale"] = shapes[name + "/bias"] = {D}; };
  dense("embedding", {P, P, 3, D}, {D});
  if (c.position == "learned") shapes["pos_embedding"] = {1, N, D};
  if (c.pool == "cls") shapes["cls"] = {1, 1, D};
  const std::string block = "Transformer/encoderblock_0/", attention = block + "MultiHeadDotProductAttention_0/";
  norm(block + "LayerNorm_0"), norm(block + "LayerNorm_1");
  for (const char* part : {"query", "key", "value"}) dense(attention + part, {D, H, d}, {H, d});
  dense(attention + "out", {H, d, D}, {D});
  if (c.qk_norm) shapes[attention + "query_ln/scale"] = shapes[attention + "key_ln/scale"] = {d};
  dense(block + "MlpBlock_0/Dense_0", {D, M}, {M}), dense(block + "MlpBlock_0/Dense_1", {M, D}, {D});
  norm("Transformer/encoder_norm");
  if (c.head_hidden) dense("pre_logits", {D, D}, {D});
  dense("head", {D, c.classes}, {c.classes});
  return shapes;
}

// The k-th of the sorted names has values sin(0.37 i + k) / 2, or 1 + half of that for scales.
void fill(ViT& vit) {
  std::map<std::string, Array> arrays;
  for (const auto& [name, shape] : bigvision_shapes(vit.config())) {
    size_t n = 1;
    for (int64_t length : shape) n *= size_t(length);
    std::vector<float> values = sines(n, name.ends_with("scale") ? 0.25 : 0.5, 0.37, double(arrays.size()));
    if (name.ends_with("scale")) for (float& v : values) v += 1;
    const auto bytes = std::as_bytes(std::span(values));
    arrays[name] = {shape, "F32", {bytes.begin(), bytes.end()}, name};
  }
  TempDir dir;
  write_npz(dir.path() / "golden.npz", arrays);
  const Weights weights = read_weights(dir.path() / "golden.npz", all_fields(vit.config()));
  REQUIRE(weights.config == vit.config());
  for (const auto& [name, tensor] : weights.tensors) vit.parameters().set(name, tensor.data);
}

ViTConfig mu16(ViTConfig config) {
  set_variant(config, "mu/16");
  config.image_size = 64, config.classes = 5;
  return config;
}

Tensor logits(const ViT& vit, Tape& tape) {
  return vit.forward(tape, tape.input("images", {2, 64, 64, 3}, sines(2 * 64 * 64 * 3, 1, 0.01, 0)));
}

double norm(std::span<const float> values) {
  double sum = 0;
  for (float x : values) sum += double(x) * x;
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE("logits") {
  const struct { ViTConfig config; float logits[10];
  } rows[] = {
      {{}, {-.113985, .178638, .447082, .655017, .774297, -.081638, .287690, .618081, .864817, .994504}},
      {{.pool = "cls", .head_hidden = true},
       {.488638, .116843, -.270765, -.621727, -.888541, .489290, .115934, -.273114, -.625197, -.892663}},
      {{.position = "sincos2d", .head_hidden = true},
       {.487567, .495012, .435460, .316970, .155579, -.107496, .153502, .393724, .580658, .689002}},
      {{.gelu = "erf"}, {-.113996, .178634, .447086, .655028, .774315, -.081646, .287688, .618084, .864826, .994517}},
      {{.attention = "relu"},
       {-.053036, .181426, .391333, .548274, .631010, -.055627, .318264, .649080, .892046, 1.014277}},
      {{.attention = "relu6"},
       {-.054579, .178895, .388155, .544881, .627860, -.056224, .317645, .648523, .891627, 1.014053}},
      {{.qk_norm = true},
       {.087097, .000027, -.087046, -.162337, -.215658, .243405, .149568, .035488, -.083395, -.190991}},
      {{.pool = "cls", .head_hidden = true, .qk_norm = true},
       {-.287293, -.353536, -.371929, -.339983, -.262022, -.242473, -.322403, -.358696, -.346442, -.287298}},
      {{.attention = "relu", .qk_norm = true},
       {-.005917, -.091749, -.165164, -.216224, -.238020, .372744, .268763, .128407, -.029329, -.183095}},
      {{.attention = "relu6", .qk_norm = true},
       {-.005917, -.091749, -.165164, -.216224, -.238020, .372744, .268763, .128407, -.029329, -.183095}},
      {{.pool = "cls", .head_hidden = true, .attention = "relu", .qk_norm = true},
       {-.501507, -.571926, -.564937, -.481486, -.332869, -.241236, -.321668, -.358563, -.346928, -.288339}},
      {{.attention = "identity", .qk_norm = true},
       {.093707, .004703, -.084938, -.163083, -.219155, .242566, .150026, .037181, -.080696, -.187652}},
      {{.attention = "sigmoid", .qk_norm = true},
       {.365767, .269201, .136200, -.015235, -.164608, .292766, .193969, .068920, -.065457, -.190975}},
      {{.attention = "relu", .alpha = 0, .qk_norm = true},
       {-.849092, -.999480, -1.014592, -.892385, -.649397, -.621201, -.797008, -.864943, -.815812, -.656265}},
      {{.attention = "relu", .alpha = 2, .qk_norm = true},
       {.587482, .473115, .294713, .076423, -.152210, .346381, .245212, .110854, -.038507, -.182656}}};
  auto device = test_device(2);
  double largest = 0;
  for (const auto& row : rows) {
    ViT vit(*device, mu16(row.config));
    fill(vit);
    Tape tape(*device, false);
    const std::vector<float> got = tape.download(logits(vit, tape));
    for (int i = 0; i < 10; i++) {
      INFO("row ", &row - rows, " logit ", i);
      CHECK(std::abs(got[i] - row.logits[i]) <= 1e-5);
      largest = std::max(largest, double(std::abs(got[i] - row.logits[i])));
    }
  }
  MESSAGE("at most " << largest << " off");
}

TEST_CASE("losses and gradients") {
  struct Expected { double softmax, softmax_norm, sigmoid, sigmoid_norm, query_kernel, key_bias, query_scale; };
  const struct { ViTConfig config; Expected expected;
  } rows[] = {
      {{}, {1.610815, 8.738443, 4.312105, 24.784163, .177621, 0, 0}},
      {{.qk_norm = true}, {1.637772, 20.467737, 3.464834, 83.230392, .00358038, .00256521, .00135385}},
      {{.attention = "relu", .qk_norm = true}, {1.665698, 28.247084, 3.511370, 82.339584, .3147, .0481243, .0769363}},
      {{.attention = "gelu", .qk_norm = true}, {1.649878, 27.604559, 3.549178, 78.940002, .285588, .0433688, .0660044}},
      {{.attention = "sigmoid", .qk_norm = true},
       {1.613065, 17.214657, 3.612723, 48.338081, .0426453, .00702852, .00787634}}};
  auto device = test_device(2);
  const std::vector<float> labels{0, 1, 0, 0, 0, 0, 0, 0, 1, 0};
  for (const auto& [config, expected] : rows) {
    ViT vit(*device, mu16(config));
    fill(vit);
    Parameters& parameters = vit.parameters();
    for (const bool softmax : {false, true}) {
      INFO(config.attention, " ", softmax);
      parameters.forget_gradients();
      Tape tape(*device);
      Tensor loss = mean(tape, loss_op(tape, softmax ? "softmax" : "sigmoid", logits(vit, tape),
                                       tape.input("labels", {2, 5}, labels)));
      tape.backward(loss);
      CHECK(tape.download(loss)[0] == doctest::Approx(softmax ? expected.softmax : expected.sigmoid).epsilon(2e-6));
      const double global = GlobalNorm(parameters)();
      CHECK(global == doctest::Approx(softmax ? expected.softmax_norm : expected.sigmoid_norm).epsilon(1e-4));
    }
    auto gradient = [&](const std::string& name) {
      return parameters.gradient(parameters.find("blocks.0.attn." + name));
    };
    const std::vector<float> kernel = gradient("qkv.weight"), bias = gradient("qkv.bias");
    CHECK(norm({kernel.data(), 32 * 32}) == doctest::Approx(expected.query_kernel).epsilon(1e-3));
    // 0 in theory for softmax without qk-norm
    CHECK(std::abs(norm({bias.data() + 32, 32}) - expected.key_bias) <= 1e-6 + 1e-3 * expected.key_bias);
    if (config.qk_norm) CHECK(norm(gradient("q_norm.weight")) == doctest::Approx(expected.query_scale).epsilon(1e-3));
  }
}

TEST_SUITE_END();

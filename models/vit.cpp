#include "models/vit.h"
#include <fmt/format.h>
#include <algorithm>
#include "engine/attention/attention.h"
#include "engine/error.h"
#include "engine/ops/activations.h"
#include "engine/ops/layernorm.h"
#include "engine/ops/layerscale.h"
#include "engine/ops/mlp.h"
#include "engine/ops/patches.h"
#include "engine/ops/remat.h"
#include "engine/ops/tokens.h"
#include "models/fields.h"
#include "models/learned.h"
#include "models/require.h"

void check_config(const ViTConfig& c) {
  each_option([&](const auto& option) {
    const auto& value = c.*option.member;
    if constexpr (std::is_same_v<decltype(value), const int&>)
      require(value > 0, fmt::format("{} is {}, expected at least 1", words_of(option.name), value));
    if constexpr (std::is_same_v<decltype(value), const std::string&>)
      require(option.values.empty() || std::ranges::count(option.values, value) > 0,
              fmt::format("{} is '{}', expected one of {}", words_of(option.name), value,
                          fmt::join(option.values, ", ")));
  });
  require(c.width % c.heads == 0, fmt::format("width {} is not a multiple of {} heads", c.width, c.heads));
  require(c.patch <= c.image_size, fmt::format("patch {} is larger than the image size {}", c.patch, c.image_size));
  for (const auto& [what, channels, least] : {std::tuple{"mean", &c.mean, -HUGE_VALF}, {"std", &c.std, 0.0f}})
    for (const float x : *channels)
      require(std::isfinite(x) && x > least, fmt::format("{} is {}, expected three {}numbers", what,
                                                         channels_text(*channels), least < 0 ? "" : "positive "));
  require(c.position != "sincos2d" || (c.width % 4 == 0 && c.width > 4),
          fmt::format("position sincos2d needs a width that is a multiple of 4 and more than 4, got {}", c.width));
  // below 0 where eval takes a model to a smaller L
  require(std::isfinite(c.alpha), fmt::format("alpha is {}, expected a number", c.alpha));
  check_attention(c);
}

double forward_flops(const ViTConfig& c) {
  const double N = c.grid() * c.grid(), L = c.tokens(), D = c.width, M = c.mlp_width;
  double blocks = 0;
  for (int i = 0; i < c.depth; i++)
    blocks += attention_multiply_adds(c, i) + (c.block == "gau" ? 0 : 2 * c.outputs(i) * D * M);
  const double pool = c.pool == "map" ? 2 * D * D + 2 * L * D * D + 2 * L * D + 2 * D * M : 0;
  return 2 * (N * 3 * c.patch * c.patch * D + blocks + pool + (c.head_hidden ? D * D : 0) + D * c.classes);
}

size_t parameter_count(const ViTConfig& c) {
  size_t n = 0;
  for (const Parameter& p : ViT::parameter_list(c)) n += p.shape.size();
  return n;
}

double kept_bytes(const ViTConfig& c, bool rematerialise, bool rounded) {
  const double L = c.tokens(), D = c.width, M = c.mlp_width, of_products = rounded ? 0.5 : 1,
               patches = 3.0 * c.patch * c.patch * c.grid() * c.grid();
  const bool layerscale = c.learn.find("layerscale") != c.learn.npos;
  const double attention = L * attention_kept(c, rounded),
               mlp = 2 * layerscale * D + (c.block == "gau" ? 0 : D + of_products * M);
  const double working = L * (2 * D + of_products * M);                   // of a step of the backward pass
  const double blocks = rematerialise ? c.depth * L * D + attention + L * mlp  // their inputs, and one of them
                                      : c.depth * attention + ((c.depth - 1) * L + c.outputs(c.depth - 1)) * mlp;
  return 4 * (of_products * patches + 2 * L * D + blocks + working);
}

std::vector<float> sincos2d(int height, int width, int D) {
  std::vector<float> table;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int part = 0; part < 4; part++)
        for (int k = 0; k < D / 4; k++) {
          const double angle = (part < 2 ? x : y) * std::pow(10000.0, -double(k) / (D / 4 - 1));
          table.push_back(float(part % 2 ? std::cos(angle) : std::sin(angle)));
        }
  return table;
}

std::vector<Parameter> ViT::parameter_list(const ViTConfig& c) {
  using namespace initial;
  const int D = c.width, P = c.patch, N = c.grid() * c.grid();
  std::vector<Parameter> list;
  const ParameterAdder add{list};
  const auto mlp = [&](const std::string& name) {
    add.linear(name + ".fc1", c.mlp_width, D, xavier(D, c.mlp_width), normal(1e-6));
    add.linear(name + ".fc2", D, c.mlp_width, xavier(c.mlp_width, D), normal(1e-6));
  };

  add("patch_embed.proj.weight", {D, 3, P, P}, lecun(3.0 * P * P));
  add("patch_embed.proj.bias", {D});
  if (c.position == "learned")
    add("pos_embed", {1, N, D}, [root = std::sqrt(double(D))](Random& r, size_t) { return r.normal() / root; });
  if (c.pool == "cls") add("cls_token", {1, 1, D});
  for (int i = 0; i < c.depth; i++) {
    const std::string block = fmt::format("blocks.{}.", i);
    add.layernorm(block + "norm1", D);
    attention_parameters(c, block + "attn.", add);
    if (c.block == "gau") continue;
    add.layernorm(block + "norm2", D);
    mlp(block + "mlp");
    for (const LearnedParameter& p : learned_parameters(c)) add(block + p.name, {p.size}, constant(p.initial));
  }
  add.layernorm("norm", D);
  if (c.pool == "map") {
    add("attn_pool.latent", {1, 1, D}, xavier(1, D));
    add.linear("attn_pool.q", D, D, xavier(D, D));
    add.linear("attn_pool.kv", 2 * D, D, xavier(D, D));
    add.linear("attn_pool.proj", D, D, xavier(D, D));
    add.layernorm("attn_pool.norm", D);
    mlp("attn_pool.mlp");
  }
  if (c.head_hidden) add.linear("pre_logits.fc", D, D, lecun(D));
  add.linear("head", c.classes, D, constant(0), constant(c.head_bias));
  return list;
}

ViT::ViT(Device& device, const ViTConfig& config)
    : config_((check_config(config), config)),
      parameters_(device, parameter_list(config_)),
      constants_(device, config_) {
  if (config_.position != "sincos2d") return;
  const std::vector<float> table = sincos2d(config_.grid(), config_.grid(), config_.width);
  const std::vector<real> values(table.begin(), table.end());
  sincos_ = static_cast<real*>(device.allocate(values.size() * sizeof(real)));
  device.upload(sincos_, values.data(), values.size() * sizeof(real));
}

ViT::~ViT() {
  if (sincos_) parameters_.device().release(sincos_);
}

Tensor ViT::forward(Tape& t, Tensor images, std::span<AttentionProbe* const> probes, Features* features,
                    BackwardOptions backward) const {
  const ViTConfig& c = config_;
  const Shape expected{images.shape[0], c.image_size, c.image_size, 3};
  if (images.shape != expected)
    fail(ExitCode::data, "images are {}, expected {} for this model", images.shape.text(), expected.text());
  if (!probes.empty() && int(probes.size()) != c.depth)
    fail(ExitCode::failed, "{} attention probes for {} blocks", probes.size(), c.depth);

  const Pass pass{t, parameters_};
  Tensor x = embed(pass, images);
  for (int i = 0; i < c.depth; i++) {
    AttentionProbe* probe = probes.empty() ? nullptr : probes[i];
    if (backward.rematerialise && t.recording())
      x = rematerialised(
          t, x, [this, i, probe](Tape& part, Tensor input) { return block({part, parameters_}, i, input, probe); });
    else
      x = block(pass, i, x, probe);
    t.keep_only(x, images);
  }
  x = pass.layernorm(x, "norm");  // before pooling
  if (c.pool == "gap") x = mean_tokens(t, x);
  if (c.pool == "map") x = attention_pool(pass, x);
  if (c.head_hidden) x = tanh_op(t, pass.linear(x, "pre_logits.fc"));
  if (features) features->pre_logits = x;
  return pass.linear(x, "head");
}

// images -> tokens [B, L, D]
Tensor ViT::embed(const Pass& pass, Tensor images) const {
  const int N = config_.grid() * config_.grid(), D = config_.width, P = config_.patch;
  Tape& t = pass.t;
  Tensor kernel = t.reshape(pass("patch_embed.proj.weight"), {D, 3 * P * P});
  Tensor pixels = linear(t, patches(t, images, P, Kept::for_products), kernel, pass("patch_embed.proj.bias"));
  t.drop(images);
  Tensor x = add_position(t, pixels, sincos_ ? t.leaf("sincos2d", {1, N, D}, sincos_) : pass("pos_embed"));
  t.drop(pixels);
  if (config_.pool != "cls") return x;
  Tensor with_class = prepend_token(t, pass("cls_token"), x);  // has no position of its own
  t.drop(x);
  return with_class;
}

// x + attention(norm1(x)), then + mlp(norm2(·)), of all tokens or, in the last block, of those that are read; what is
// cheap to compute again is dropped
Tensor ViT::block(const Pass& pass, int i, Tensor x, AttentionProbe* probe) const {
  const std::string name = fmt::format("blocks.{}.", i);
  x = attention_layer(pass, config_, i, x, pass.layernorm(x, name + "norm1", Kept::for_products), constants_, probe);
  if (config_.block == "gau") return x;
  Tensor n = pass.layernorm(x, name + "norm2", Kept::for_products);
  return mlp(pass, name + "mlp", n, x, name + "ls2.gamma");
}

Tensor ViT::mlp(const Pass& pass, const std::string& name, Tensor normalised, Tensor residual,
                const std::string& scale) const {
  const MlpParameters p{pass(name + ".fc1.weight"), pass(name + ".fc1.bias"), pass(name + ".fc2.weight"),
                        pass(name + ".fc2.bias")};
  const Tensor lambda = pass.if_learned(scale);
  Tensor y = ::mlp(pass.t, normalised, p, lambda ? Tensor{} : residual, config_.gelu);
  pass.t.drop(normalised);
  return lambda ? layerscale(pass.t, residual, y, lambda) : y;
}

// BigVision's MAPHead: a learned query attends to the tokens (softmax, as there), then x + mlp(norm(x)) -> [B, D]
Tensor ViT::attention_pool(const Pass& pass, Tensor x) const {
  const int D = config_.width;
  Tape& t = pass.t;
  Tensor q = pass.linear(repeat(t, pass("attn_pool.latent"), x.shape[0]), "attn_pool.q");
  Tensor kv = pass.linear(x, "attn_pool.kv");
  Tensor o = attention(t, {q}, {kv}, {kv, D}, config_.heads, config_.head_width(), "softmax", 1);
  Tensor y = pass.linear(o, "attn_pool.proj");
  return first_token(t, mlp(pass, "attn_pool.mlp", pass.layernorm(y, "attn_pool.norm", Kept::for_products), y));
}

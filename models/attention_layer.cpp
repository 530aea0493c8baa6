#include "models/attention_layer.h"
#include <algorithm>
#include <cmath>
#include "engine/attention/differential.h"
#include "engine/attention/families.h"
#include "engine/attention/laser.h"
#include "engine/attention/talking_heads.h"
#include "engine/ops/activations.h"
#include "engine/ops/add.h"
#include "engine/ops/channel_gate.h"
#include "engine/ops/layernorm.h"
#include "engine/ops/layerscale.h"
#include "engine/ops/linear.h"
#include "engine/ops/scale_shift.h"
#include "engine/ops/tokens.h"
#include "engine/text.h"
#include "models/attention_list.h"
#include "models/fields.h"
#include "models/learned.h"
#include "models/require.h"

Tensor Pass::linear(Tensor x, const std::string& name, Tensor residual, Kept kept) const {
  return ::linear(t, x, (*this)(name + ".weight"), (*this)(name + ".bias"), residual, kept);
}
Tensor Pass::layernorm(Tensor x, const std::string& name, Kept kept) const { return ::layernorm(t, x, (*this)(name + ".weight"), (*this)(name + ".bias"), kept); }
Tensor Pass::branch(Tensor x, const std::string& name, Tensor residual, const std::string& scale) const {
  const Tensor lambda = if_learned(scale);
  return lambda ? layerscale(t, residual, linear(x, name), lambda) : linear(x, name, residual);
}

AttentionConstants::AttentionConstants(Device& device, const ViTConfig& c) : device_(device) {
  LinearFamilies::visit(c.attention, c.alpha, c.tokens(), [&](const auto& family) {
    std::vector<real> values;
    for (int layer = 0; layer < c.depth; layer++)
      for (double x : family.constants(c.tokens(), c.head_width(), layer)) values.push_back(real(x));
    if (values.empty()) return;
    shape_ = family.constants_shape(c.tokens(), c.head_width());
    values_ = static_cast<real*>(device.allocate(values.size() * sizeof(real)));
    device.upload(values_, values.data(), values.size() * sizeof(real));
  });
}
AttentionConstants::~AttentionConstants() {
  if (values_) device_.release(values_);
}
Tensor AttentionConstants::leaf(Tape& tape, int layer) const {
  return values_ ? tape.leaf("constants", shape_, values_ + layer * shape_.size()) : Tensor{};
}

namespace {

Tensor differential(const Pass& pass, const ViTConfig& c, const std::string& name, int layer, HeadView q, HeadView k, HeadView v, AttentionProbe* probe) {
  Tape& t = pass.t;
  Tensor lambda = differential_lambda(t, pass(name + "lambda_q1"), pass(name + "lambda_k1"), pass(name + "lambda_q2"), pass(name + "lambda_k2"), first_lambda(layer));
  Tensor o = differential_attention(t, q, k, v, c.heads, c.head_width(), c.attention, c.alpha, lambda, probe);
  return rmsnorm(t, o, 0, c.heads / 2, 2 * c.head_width(), pass(name + "norm.weight"), 1e-5, 1 - first_lambda(layer));
}

// q, k, v -> the heads' output [B,L,D]; kept: for_products where products alone will read it
Tensor heads_output(const Pass& pass, const ViTConfig& c, const std::string& name, int layer, HeadView q, HeadView k, HeadView v, const AttentionConstants& constants,
                    AttentionProbe* probe, Kept kept) {
  Tape& t = pass.t;
  const int H = c.heads, d = c.head_width();
  if (is_linear(c.attention)) {
    if (probe) fail(ExitCode::usage, "attention {} has no L x L scores or weights that a probe could be shown; pass none", c.attention);
    Tensor o;
    LinearFamilies::visit(c.attention, c.alpha, c.tokens(), [&](const auto& family) { o = family(t, {q, k, v, H, d, constants.leaf(t, layer)}); });
    return o;
  }
  if (c.form == "differential") return differential(pass, c, name, layer, q, k, v, probe);
  if (c.form == "laser") return laser_attention(t, q, k, v, H, d, c.attention, c.alpha, probe);
  if (c.form == "talking-heads") return talking_heads_attention(t, q, k, v, H, d, c.attention, c.alpha, pass(name + "mix_scores"), pass(name + "mix_weights"), probe);
  const Learned<Tensor> learned{pass.if_learned(name + "alpha"), pass.if_learned(name + "log_gamma"), pass.if_learned(name + "score_bias"), pass.if_learned(name + "log_temperature"),
                                pass.if_learned(name + AttentionFunctions::find(c.attention)->number)};
  return attention(t, q, k, v, H, d, c.attention, c.alpha, probe, learned, 0, kept);
}

// Gated attention unit (Hua et al. 2022, 2202.10447, section 3.2) without its relative position bias: one head of the width of a head, whose
// values and gate are 2D wide: x + (A silu(n Wv) ⊙ silu(n Wu)) Wo. It stands for attention and MLP.
Tensor gated_unit(const Pass& pass, const ViTConfig& c, const std::string& name, Tensor x, Tensor n, AttentionProbe* probe) {
  Tape& t = pass.t;
  Tensor u = pass.linear(n, name + "u"), v = silu(t, pass.linear(n, name + "v")), z = silu(t, pass.linear(n, name + "z"));
  t.drop(n);
  auto part = [&](const std::string& which) {
    Tensor y = scale_shift(t, z, pass(name + which + "_scale"), pass(name + which + "_shift"));
    return c.qk_norm ? headnorm(t, y, 0, 1, pass(name + which + "_norm.weight")) : y;
  };
  Tensor q = part("q"), k = part("k");
  Tensor o = attention(t, {q}, {k}, {v}, c.attention_heads(), c.head_width(), c.attention, c.alpha, probe, {}, c.value_width());
  t.drop(v), t.drop(z);
  return pass.linear(gate(t, o, u), name + "proj", x);
}

}  // namespace

Tensor attention_layer(const Pass& pass, const ViTConfig& c, int layer, Tensor x, Tensor n, const AttentionConstants& constants, AttentionProbe* probe) {
  const std::string name = fmt::format("blocks.{}.attn.", layer);
  Tape& t = pass.t;
  if (c.block == "gau") return gated_unit(pass, c, name, x, n, probe);

  const Kept read_by_products = is_linear(c.attention) ? Kept::full : Kept::for_products;
  Tensor qkv = pass.linear(n, name + "qkv", {}, c.form == "laser" ? Kept::full : read_by_products);    // [B, L, 3 D]
  HeadView q{qkv, 0}, k{qkv, c.width}, v{qkv, 2 * c.width};
  if (c.qk_norm) {
    q = {headnorm(t, qkv, q.offset, c.heads, pass(name + "q_norm.weight"), read_by_products)};
    k = {headnorm(t, qkv, k.offset, c.heads, pass(name + "k_norm.weight"), read_by_products)};
  }
  auto outputs = [&](Tensor tokens) { return c.outputs(layer) < c.tokens() ? first_token(t, tokens) : tokens; };      // rows are independent from here on
  const bool to_proj = c.outputs(layer) == c.tokens() && c.output_norm == "none" && !c.gate && c.block != "hybrid-norm";
  Tensor o =
      outputs(heads_output(pass, c, name, layer, q, k, v, constants, probe, to_proj ? Kept::for_products : Kept::full));
  if (c.output_norm == "rms") o = rmsnorm(t, o, 0, c.heads, c.head_width(), pass(name + "norm.weight"));
  if (c.output_norm == "rela") o = channel_gate(t, rmsnorm(t, o, 0, 1, c.width, pass(name + "norm.weight")), o, pass(name + "norm.gate"));
  if (c.gate) {
    Tensor g = outputs(pass.linear(n, name + "gate"));
    o = gate(t, o, g, c.gate_function);
  }
  t.drop(n);
  x = outputs(x);
  if (c.block == "hybrid-norm") return add(t, pass.layernorm(pass.linear(o, name + "proj"), name + "post_norm"), x);
  t.keep_for_products(o);
  return pass.branch(o, name + "proj", x, fmt::format("blocks.{}.ls1.gamma", layer));
}

void ParameterAdder::operator()(const std::string& name, Shape shape, const Initial& initial) const {
  list.push_back({name, shape, name.ends_with(".weight") && shape.rank() > 1, initial});
}
void ParameterAdder::linear(const std::string& name, int out, int in, const Initial& weight,
                            const Initial& bias) const {
  (*this)(name + ".weight", {out, in}, weight), (*this)(name + ".bias", {out}, bias);
}
void ParameterAdder::layernorm(const std::string& name, int width) const {
  (*this)(name + ".weight", {width}, initial::constant(1)), (*this)(name + ".bias", {width});
}

void attention_parameters(const ViTConfig& c, const std::string& prefix, const ParameterAdder& add) {
  using namespace initial;
  const int D = c.width, d = c.head_width();
  const auto scale = [&](const std::string& name, int width) { add(prefix + name + ".weight", {width}, constant(1)); };
  const auto qk_norm = [&] {
    if (c.qk_norm) scale("q_norm", d), scale("k_norm", d);
  };
  if (c.block == "gau") {
    const auto linear = [&](const char* name, int out, int in) { add.linear(prefix + name, out, in, xavier(in, out)); };
    linear("u", 2 * D, D), linear("v", 2 * D, D), linear("z", d, D);
    const Initial scales = normal(0.02 * std::pow(d, 0.25));    // its 0.02, with our 1/√d in the scores
    for (const char* name : {"q_", "k_"}) add(prefix + name + "scale", {d}, scales), add(prefix + name + "shift", {d});
    qk_norm();
    return linear("proj", D, 2 * D);
  }
  // q, k and v lie side by side: each is D -> D
  const auto linear = [&](const char* name, int out) { add.linear(prefix + name, out, D, xavier(D, D)); };
  linear("qkv", 3 * D);
  qk_norm();
  if (c.form == "differential") {
    for (const char* name : {"lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"}) add(prefix + name, {d}, normal(0.1));
    scale("norm", 2 * d);
  }
  if (c.form == "talking-heads")
    for (const char* name : {"mix_scores", "mix_weights"}) add(prefix + name, {c.heads, c.heads}, identity(c.heads));
  if (c.output_norm == "rms") scale("norm", d);
  if (c.output_norm == "rela") scale("norm", D), add(prefix + "norm.gate", {D}, normal(1 / std::sqrt(D)));
  if (c.gate) linear("gate", D);
  linear("proj", D);
  if (c.block == "hybrid-norm") add.layernorm(prefix + "post_norm", D);
}

double first_lambda(int layer) { return 0.8 - 0.6 * std::exp(-0.3 * layer); }

std::string attention_options(const ViTConfig& c) {
  std::string text = c.qk_norm ? ", qk-norm" : "";
  if (c.gate) text += ", gate";
  for (const Variant& variant : variants(c)) text += variant.text;
  return c.learn.empty() ? text : text + ", learned " + c.learn;
}

void check_attention(const ViTConfig& c) {
  const bool linear = is_linear(c.attention);
  if (!linear && !AttentionFunctions::visit(c.attention, c.alpha, c.tokens(), [](const auto&) {}))
    fail(ExitCode::usage, "{}", unknown_attention(c.attention));

  const std::vector<LearnedParameter> learned = learned_parameters(c);
  const bool numbers = std::any_of(learned.begin(), learned.end(), [](const LearnedParameter& p) { return p.name.starts_with("attn."); });
  const bool layerscale = std::any_of(learned.begin(), learned.end(), [](const LearnedParameter& p) { return p.name.starts_with("ls"); });
  if (c.block == "gau") {
    require(!linear, fmt::format("--block gau needs the L x L weights, which {} never makes; take a function that has them", c.attention));
    require(c.form == "plain" && c.output_norm == "none" && !c.gate && c.gate_function == "silu", "--block gau has one head and a gate of its own; leave --attention-form, --output-norm, --gate and --gate-function out");
    require(c.pool != "cls", "--block gau cannot start with --pool cls: the class token starts at 0, and its gate passes nothing of what is 0; take gap or map");
    require(learned.empty(), "--block gau has no place for learned numbers; leave --learn out, and take a function without one");
  }
  require(c.form == "plain" || !numbers, fmt::format("--attention-form {} has no place for numbers that heads learn; leave all but layerscale out of --learn, and take a function without one", c.form));
  require(!linear || !numbers, fmt::format("--learn {} is of the L x L weights, which {} never makes; layerscale alone goes with it", c.learn, c.attention));
  require(c.block != "hybrid-norm" || !layerscale, "--block hybrid-norm and --learn layerscale are two ways to the same end; take one of them");
  require(c.gate || c.gate_function == "silu", "--gate-function is of a gate, but there is none; give --gate too");
  require(c.form == "plain" || !linear, fmt::format("--attention-form {} works on the L x L weights, which {} never makes; take a function that has them", c.form, c.attention));
  require(c.form != "laser" || AttentionFunctions::find(c.attention)->always_positive,
          fmt::format("--attention-form laser takes the logarithm of a weighted sum, but {} has weights below 0, or rows of zeros alone; take one such as softmax", c.attention));
  if (c.form == "differential") {
    require(c.heads % 2 == 0, fmt::format("--attention-form differential makes one head of two maps, but there are {} of them; give an even --heads", c.heads));
    require(c.output_norm == "none", "--attention-form differential has an output norm of its own; leave --output-norm out");
  }
}

double attention_multiply_adds(const ViTConfig& c, int layer) {
  const double L = c.tokens(), D = c.width, H = c.heads, d = c.head_width();
  if (c.block == "gau") return L * D * (2 * 2 * D + d) + L * L * (d + 2 * D) + L * 2 * D * D;
  double weights = 2 * L * L * D + (c.form == "talking-heads" ? 2 * H * H * L * L : 0);
  LinearFamilies::visit(c.attention, c.alpha, c.tokens(), [&](const auto& family) { weights = H * family.multiply_adds(L, d); });
  return ((c.gate ? 4 : 3) * L + c.outputs(layer)) * D * D + weights;
}

double attention_kept(const ViTConfig& c, bool rounded) {
  const double D = c.width, d = c.head_width();
  if (c.block == "gau") return 9 * D + 4 * d;
  const int norms = c.output_norm == "none" ? c.form == "differential" : c.output_norm == "rms" ? 1 : 2;
  const double of_products = rounded ? 0.5 : 1;
  const double qkv = c.form == "laser" || is_linear(c.attention) ? 3 : 3 * of_products, normalised = c.qk_norm ? 2 * of_products : 0;
  return D * (1 + qkv + normalised + of_products + 2 * c.gate + norms + (c.form == "laser") + 2 * (c.block == "hybrid-norm"));
}

std::string only_here(const ViTConfig& c) {
  const std::vector<Variant> list = variants(c);
  return list.empty() ? "" : flag_of(list[0].field) + " " + list[0].value;
}

#include "models/attention/layer.h"
#include <algorithm>
#include <cmath>
#include "engine/attention/families.h"
#include "engine/ops/activations.h"
#include "engine/ops/add.h"
#include "engine/ops/channel_gate.h"
#include "engine/ops/layernorm.h"
#include "engine/ops/layerscale.h"
#include "engine/ops/linear.h"
#include "engine/ops/tokens.h"
#include "engine/text.h"
#include "models/attention/form_inputs.h"
#include "models/attention/gated_unit.h"
#include "models/attention/list.h"
#include "models/fields.h"
#include "models/learned.h"
#include "models/require.h"

Tensor Pass::linear(Tensor x, const std::string& name, Tensor residual, Kept kept) const {
  return ::linear(t, x, (*this)(name + ".weight"), (*this)(name + ".bias"), residual, kept);
}
Tensor Pass::layernorm(Tensor x, const std::string& name, Kept kept) const {
  return ::layernorm(t, x, (*this)(name + ".weight"), (*this)(name + ".bias"), kept);
}
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

// q, k, v -> the heads' output [B,L,D]
Tensor heads_output(const FormInputs& in, const AttentionConstants& constants) {
  const ViTConfig& c = in.c;
  if (!is_linear(c.attention)) return form_of(c).output(in);
  if (in.probe)
    fail(ExitCode::usage, "attention {} has no L x L scores or weights that a probe could be shown; pass none",
         c.attention);
  Tensor o;
  LinearFamilies::visit(c.attention, c.alpha, c.tokens(), [&](const auto& family) {
    o = family(in.pass.t, {in.q, in.k, in.v, c.heads, c.head_width(), constants.leaf(in.pass.t, in.layer)});
  });
  return o;
}

}  // namespace

Tensor attention_layer(const Pass& pass, const ViTConfig& c, int layer, Tensor x, Tensor n,
                       const AttentionConstants& constants, AttentionProbe* probe) {
  const std::string name = fmt::format("blocks.{}.attn.", layer);
  Tape& t = pass.t;
  if (c.block == "gau") return gated_unit(pass, c, name, x, n, probe);

  const Kept read_by_products = is_linear(c.attention) ? Kept::full : Kept::for_products;
  Tensor qkv = pass.linear(n, name + "qkv", {}, form_of(c).reads_full_values() ? Kept::full : read_by_products);
  HeadView q{qkv, 0}, k{qkv, c.width}, v{qkv, 2 * c.width};    // of [B,L,3 D]
  if (c.qk_norm) {
    q = {headnorm(t, qkv, q.offset, c.heads, pass(name + "q_norm.weight"), read_by_products)};
    k = {headnorm(t, qkv, k.offset, c.heads, pass(name + "k_norm.weight"), read_by_products)};
  }
  // rows are independent from here on
  const auto outputs = [&](Tensor tokens) {
    return c.outputs(layer) < c.tokens() ? first_token(t, tokens) : tokens;
  };
  const bool to_proj = c.outputs(layer) == c.tokens() && c.output_norm == "none" && !c.gate && c.block != "hybrid-norm";
  Tensor o = outputs(heads_output(
      {pass, c, layer, name, q, k, v, probe, to_proj ? Kept::for_products : Kept::full}, constants));
  const auto norm = [&](int heads) { return rmsnorm(t, o, 0, heads, c.width / heads, pass(name + "norm.weight")); };
  if (c.output_norm == "rms") o = norm(c.heads);
  if (c.output_norm == "rela") o = channel_gate(t, norm(1), o, pass(name + "norm.gate"));
  if (c.gate) o = gate(t, o, outputs(pass.linear(n, name + "gate")), c.gate_function);
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

void ParameterAdder::qk_norm(const std::string& prefix, const ViTConfig& c) const {
  if (!c.qk_norm) return;
  for (const char* name : {"q_norm.weight", "k_norm.weight"})
    (*this)(prefix + name, {c.head_width()}, initial::constant(1));
}

void attention_parameters(const ViTConfig& c, const std::string& prefix, const ParameterAdder& add) {
  using namespace initial;
  if (c.block == "gau") return gated_unit_parameters(c, prefix, add);
  const int D = c.width;
  // q, k and v lie side by side: each is D -> D
  const auto linear = [&](const char* name, int out) { add.linear(prefix + name, out, D, xavier(D, D)); };
  linear("qkv", 3 * D);
  add.qk_norm(prefix, c);
  form_of(c).parameters(c, prefix, add);
  if (c.output_norm == "rms") add(prefix + "norm.weight", {c.head_width()}, constant(1));
  if (c.output_norm == "rela") {
    add(prefix + "norm.weight", {D}, constant(1));
    add(prefix + "norm.gate", {D}, normal(1 / std::sqrt(D)));
  }
  if (c.gate) linear("gate", D);
  linear("proj", D);
  if (c.block == "hybrid-norm") add.layernorm(prefix + "post_norm", D);
}

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
  const auto learns = [&](std::string_view beginning) {
    return std::ranges::any_of(learned, [&](const LearnedParameter& p) { return p.name.starts_with(beginning); });
  };
  const bool numbers = learns("attn."), layerscale = learns("ls");
  const AttentionForm& form = form_of(c);
  if (c.block == "gau") check_gated_unit(c);
  require(form.is_plain() || !numbers,
          fmt::format("--attention-form {} has no place for numbers that heads learn; leave all but layerscale out of "
                      "--learn, and take a function without one",
                      c.form));
  require(!linear || !numbers,
          fmt::format("--learn {} is of the L x L weights, which {} never makes; layerscale alone goes with it",
                      c.learn, c.attention));
  require(c.block != "hybrid-norm" || !layerscale,
          "--block hybrid-norm and --learn layerscale are two ways to the same end; take one of them");
  require(c.gate || c.gate_function == "silu", "--gate-function is of a gate, but there is none; give --gate too");
  require(form.is_plain() || !linear,
          fmt::format("--attention-form {} works on the L x L weights, which {} never makes; take a function that has "
                      "them",
                      c.form, c.attention));
  form.check(c);
}

double attention_multiply_adds(const ViTConfig& c, int layer) {
  const double L = c.tokens(), D = c.width;
  if (c.block == "gau") return gated_unit_multiply_adds(c);
  double weights = 2 * L * L * D + form_of(c).multiply_adds(c);
  LinearFamilies::visit(c.attention, c.alpha, c.tokens(), [&](const auto& family) {
    weights = c.heads * family.multiply_adds(L, c.head_width());
  });
  return ((c.gate ? 4 : 3) * L + c.outputs(layer)) * D * D + weights;
}

double attention_kept(const ViTConfig& c, bool rounded) {
  if (c.block == "gau") return gated_unit_saved(c);
  const AttentionForm& form = form_of(c);
  const int norms = c.output_norm == "none" ? 0 : c.output_norm == "rms" ? 1 : 2;
  const double of_products = rounded ? 0.5 : 1, normalised = c.qk_norm ? 2 * of_products : 0;
  const double qkv = form.reads_full_values() || is_linear(c.attention) ? 3 : 3 * of_products;
  return c.width * (1 + qkv + normalised + of_products + 2 * c.gate + norms + form.saved() +
                    2 * (c.block == "hybrid-norm"));
}

std::string only_here(const ViTConfig& c) {
  const std::vector<Variant> list = variants(c);
  return list.empty() ? "" : flag_of(list[0].field) + " " + list[0].value;
}

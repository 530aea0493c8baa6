#include "models/attention/gated_unit.h"

#include <cmath>

#include "engine/attention/attention.h"
#include "engine/ops/activations.h"
#include "engine/ops/layernorm.h"
#include "engine/ops/scale_shift.h"
#include "models/attention/form.h"
#include "models/attention/list.h"
#include "models/require.h"

Tensor gated_unit(const Pass& pass, const ViTConfig& c, const std::string& prefix, Tensor x, Tensor n,
                  AttentionProbe* probe) {
  Tape& t = pass.t;
  Tensor u = pass.linear(n, prefix + "u");
  Tensor v = silu(t, pass.linear(n, prefix + "v")), z = silu(t, pass.linear(n, prefix + "z"));
  t.drop(n);
  auto part = [&](const std::string& which) {
    Tensor y = scale_shift(t, z, pass(prefix + which + "_scale"), pass(prefix + which + "_shift"));
    return c.qk_norm ? headnorm(t, y, 0, 1, pass(prefix + which + "_norm.weight")) : y;
  };
  Tensor q = part("q"), k = part("k");
  Tensor o = attention(t, {q}, {k}, {v}, c.attention_heads(), c.head_width(), c.attention, c.alpha, probe, {},
                       c.value_width());
  t.drop(v), t.drop(z);
  return pass.linear(gate(t, o, u), prefix + "proj", x);
}

void gated_unit_parameters(const ViTConfig& c, const std::string& prefix, const ParameterAdder& add) {
  const int D = c.width, d = c.head_width();
  const auto linear = [&](const char* name, int out, int in) {
    add.linear(prefix + name, out, in, initial::xavier(in, out));
  };
  linear("u", 2 * D, D), linear("v", 2 * D, D), linear("z", d, D);
  const Initial scales = initial::normal(0.02 * std::pow(d, 0.25));    // its 0.02, with our 1/√d in the scores
  for (const char* name : {"q_", "k_"}) add(prefix + name + "scale", {d}, scales), add(prefix + name + "shift", {d});
  add.qk_norm(prefix, c);
  linear("proj", D, 2 * D);
}

void check_gated_unit(const ViTConfig& c) {
  require(!is_linear(c.attention),
          fmt::format("--block gau needs the L x L weights, which {} never makes; take a function that has them",
                      c.attention));
  require(form_of(c).is_plain() && c.output_norm == "none" && !c.gate && c.gate_function == "silu",
          "--block gau has one head and a gate of its own; leave --attention-form, --output-norm, --gate and "
          "--gate-function out");
  require(c.pool != "cls",
          "--block gau cannot start with --pool cls: the class token starts at 0, and its gate passes nothing of what "
          "is 0; take gap or map");
  require(learned_parameters(c).empty(),
          "--block gau has no place for learned numbers; leave --learn out, and take a function without one");
}

double gated_unit_multiply_adds(const ViTConfig& c) {
  const double L = c.tokens(), D = c.width, d = c.head_width();
  return L * D * (2 * 2 * D + d) + L * L * (d + 2 * D) + L * 2 * D * D;
}

double gated_unit_saved(const ViTConfig& c) { return 9 * c.width + 4 * c.head_width(); }

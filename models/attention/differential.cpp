// Two maps make a head: o = (A₁ - λ A₂) v, then RMSNorm of each head times 1 - λ₀ (Ye et al. 2024, 2410.05258).
#include <cmath>
#include <numeric>

#include "engine/attention/differential.h"
#include "engine/ops/rmsnorm.h"
#include "models/attention/form_inputs.h"
#include "models/require.h"

namespace {
class Differential final : public AttentionForm {
 public:
  std::string_view name() const override { return "differential"; }
  std::string_view help() const override { return "two maps a head, subtracted"; }
  Tensor output(const FormInputs& in) const override {
    Tape& t = in.pass.t;
    const int d = in.c.head_width();
    const double first = first_lambda(in.layer);
    const Tensor lambda = differential_lambda(t, in.parameter("lambda_q1"), in.parameter("lambda_k1"),
                                              in.parameter("lambda_q2"), in.parameter("lambda_k2"), first);
    const Tensor o = differential_attention(t, in.q, in.k, in.v, in.c.heads, d, in.c.attention, in.c.alpha, lambda,
                                            in.probe);
    return rmsnorm(t, o, 0, in.c.heads / 2, 2 * d, in.parameter("norm.weight"), 1e-5, 1 - first);
  }
  void parameters(const ViTConfig& c, const std::string& prefix, const ParameterAdder& add) const override {
    for (const char* name : {"lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"})
      add(prefix + name, {c.head_width()}, initial::normal(0.1));
    add(prefix + "norm.weight", {2 * c.head_width()}, initial::constant(1));
  }
  void check(const ViTConfig& c) const override {
    require(c.heads % 2 == 0,
            fmt::format("--attention-form differential makes one head of two maps, but there are {} of them; give an "
                        "even --heads",
                        c.heads));
    require(c.output_norm == "none",
            "--attention-form differential has an output norm of its own; leave --output-norm out");
  }
  std::vector<LearnedNumber> numbers(int layer, const ParameterValues& parameter) const override {
    const auto product = [&](const char* q, const char* k) {
      const std::vector<double> a = parameter(q), b = parameter(k);
      return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
    };
    const double one = std::exp(product("attn.lambda_q1", "attn.lambda_k1")),
                 two = std::exp(product("attn.lambda_q2", "attn.lambda_k2"));
    return {{"lambda", {one - two + first_lambda(layer)}}};
  }
  std::string_view note() const override {
    return "A head here is one of two maps: maps 2h and 2h + 1 make head h, of which the second is subtracted; each is "
           "shown with half of the head's values.";
  }
  int saved() const override { return 1; }                       // o before its norm
  bool normalises_output() const override { return true; }
};
}  // namespace

const AttentionForm& differential_form() {
  static const Differential form;
  return form;
}

// Heads are mixed before and after the function (Shazeer et al. 2020, 2003.02436).
#include "engine/attention/talking_heads.h"
#include "models/attention/form_inputs.h"

namespace {
class TalkingHeads final : public AttentionForm {
 public:
  std::string_view name() const override { return "talking-heads"; }
  std::string_view help() const override { return "heads mixed before and after the function"; }
  Tensor output(const FormInputs& in) const override {
    return talking_heads_attention(in.pass.t, in.q, in.k, in.v, in.c.heads, in.c.head_width(), in.c.attention,
                                   in.c.alpha, in.parameter("mix_scores"), in.parameter("mix_weights"), in.probe);
  }
  void parameters(const ViTConfig& c, const std::string& prefix, const ParameterAdder& add) const override {
    for (const char* name : {"mix_scores", "mix_weights"})
      add(prefix + name, {c.heads, c.heads}, initial::identity(c.heads));
  }
  std::string_view note() const override {
    return "S and A are what enters and leaves the function: scores that are mixed over the heads, weights that are "
           "not "
           "mixed yet.";
  }
  double multiply_adds(const ViTConfig& c) const override {
    const double H = c.heads, L = c.tokens();
    return 2 * H * H * L * L;
  }
};
}  // namespace

const AttentionForm& talking_heads_form() {
  static const TalkingHeads form;
  return form;
}

// o = A v, of which heads may learn numbers.
#include "engine/attention/functions.h"
#include "models/attention/form_inputs.h"

namespace {
class Plain final : public AttentionForm {
 public:
  std::string_view name() const override { return "plain"; }
  bool is_plain() const override { return true; }
  Tensor output(const FormInputs& in) const override {
    const auto number = [&](std::string_view name) { return in.pass.if_learned(in.prefix + std::string(name)); };
    const Learned<Tensor> learned{number("alpha"), number("log_gamma"), number("score_bias"), number("log_temperature"),
                                  number(AttentionFunctions::find(in.c.attention)->number)};
    return attention(in.pass.t, in.q, in.k, in.v, in.c.heads, in.c.head_width(), in.c.attention, in.c.alpha, in.probe,
                     learned, 0, in.kept);
  }
};
}  // namespace

const AttentionForm& plain_form() {
  static const Plain form;
  return form;
}

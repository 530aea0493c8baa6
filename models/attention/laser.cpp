// o = log(A exp(v)) (Duvvuri & Dhillon 2024, 2411.03493).
#include "engine/attention/laser.h"
#include "models/attention/form_inputs.h"
#include "models/require.h"

namespace {
class Laser final : public AttentionForm {
 public:
  std::string_view name() const override { return "laser"; }
  std::string_view help() const override { return "log of weighted exponentials"; }
  Tensor output(const FormInputs& in) const override {
    return laser_attention(in.pass.t, in.q, in.k, in.v, in.c.heads, in.c.head_width(), in.c.attention, in.c.alpha,
                           in.probe);
  }
  void check(const ViTConfig& c) const override {
    require(AttentionFunctions::find(c.attention)->always_positive,
            fmt::format("--attention-form laser takes the logarithm of a weighted sum, but {} has weights below 0, or "
                        "rows of zeros alone; take one such as softmax",
                        c.attention));
  }
  std::string_view note() const override { return "v and dO are those of exp(v), which is what A weighs."; }
  int saved() const override { return 1; }                       // o before its logarithm
  bool reads_full_values() const override { return true; }
};
}  // namespace

const AttentionForm& laser_form() {
  static const Laser form;
  return form;
}

#include "models/words.h"
#include <algorithm>
#include <fmt/format.h>
#include <map>

namespace {

// From where on a number is said to be unusual.
constexpr double many_dead_rows = 0.1, large_row_sum = 10, flat = 0.2, one_key = 0.9, all_keys = 0.98, closed = 0.05, weak_gradient = 0.01, large_score = 50;

struct Head { int layer, head; };

std::string list_of(const std::vector<int>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i;
    while (end + 1 < numbers.size() && numbers[end + 1] == numbers[end] + 1) end++;
    text += (text.empty() ? "" : ", ") + (end > i ? fmt::format("{} to {}", numbers[i], numbers[end]) : std::to_string(numbers[i]));
    i = end + 1;
  }
  return text;
}

// "layer 2 head 1; layers 4 to 5, all heads"
std::string places(const std::vector<Head>& heads, int heads_a_layer) {
  std::map<int, std::vector<int>> by_layer;
  for (const Head& h : heads) by_layer[h.layer].push_back(h.head);
  std::vector<int> whole;
  std::string parts;
  for (const auto& [layer, some] : by_layer) {
    if (int(some.size()) == heads_a_layer) whole.push_back(layer);
    else parts += fmt::format("{}layer {} head{} {}", parts.empty() ? "" : "; ", layer, some.size() > 1 ? "s" : "", list_of(some));
  }
  if (whole.empty()) return parts;
  return fmt::format("layer{} {}, all heads{}{}", whole.size() > 1 ? "s" : "", list_of(whole), parts.empty() ? "" : "; ", parts);
}

bool all_zero(const Moments& m) { return m.count > 0 && m.min == 0 && m.max == 0; }

class Diagnosis {
 public:
  Diagnosis(const Inspection& in, const ViT& vit) : in_(in), c_(in.config), L_(in.config.tokens()), vit_(vit) {}

  std::vector<std::string> run() {
    if (!in_.broken.empty()) say("Not finite: " + in_.broken + ". Numbers of later layers are not numbers either.");
    without_weights();
    zero_scores();
    dead();
    row_sums();
    focus();
    slopes();
    parameters();
    return words_;
  }

 private:
  void say(const std::string& text) { words_.push_back(text); }

  // Calls text(statistics of all heads for which `holds`, where they are), if there are any.
  template <class Holds, class Text> void where(Holds holds, Text text) {
    std::vector<Head> found;
    HeadStatistics together;
    for (int i = 0; i < c_.depth; i++)
      for (int h = 0; h < c_.heads; h++)
        if (const HeadStatistics& s = in_.heads[i][h]; s.rows > 0 && std::isfinite(s.dS.squares + s.A.squares) && holds(s)) found.push_back({i, h}), together.merge(s);
    if (!found.empty()) say(text(together, places(found, c_.heads)));
  }

  void without_weights() {
    std::vector<int> layers;
    for (int i = 0; i < c_.depth; i++) if (!in_.has_weights(i)) layers.push_back(i);
    if (!layers.empty())
      say(fmt::format("Layer{} {}: {} never forms weights from query to key, so there is nothing of S, A, dA, dS to count or draw.", layers.size() > 1 ? "s" : "", list_of(layers), c_.attention));
  }

  void zero_scores() {
    for (int i = 0; i < c_.depth; i++)
      for (int h = 0; h < c_.heads; h++) {
        const HeadStatistics& s = in_.heads[i][h];
        if (!all_zero(s.S)) continue;
        std::string cause;
        for (const auto& [name, values, part] : {std::tuple{"queries", s.q, 0}, {"keys", s.k, 1}}) {
          if (!all_zero(values)) continue;
          const int first = part * c_.width + h * c_.head_width(), last = first + c_.head_width() - 1;
          cause += fmt::format(" Its {} are all 0", name);
          if (rows_are_zero(fmt::format("blocks.{}.attn.qkv.weight", i), first, last)) cause += fmt::format(": rows {} to {} of blocks.{}.attn.qkv.weight are zero", first, last, i);
          cause += ".";
        }
        say(fmt::format("Layer {} head {}: all scores are 0.{} It weighs every key alike, whatever the picture{}.", i, h, cause, all_zero(s.A) ? ", with 0" : ""));
      }
  }

  bool rows_are_zero(const std::string& name, int first, int last) const {
    const Parameters& p = vit_.parameters();
    if (!p.has(name) || p.find(name).shape.rank() != 2 || p.find(name).shape[0] <= last) return false;
    const std::vector<float> values = p.get(p.find(name));
    const long width = p.find(name).shape[1];
    return std::all_of(values.begin() + first * width, values.begin() + (last + 1) * width, [](float x) { return x == 0; });
  }

  void dead() {
    where([](const HeadStatistics& s) { return all_zero(s.A); }, [](const HeadStatistics&, const std::string& at) {
      return fmt::format("Dead heads: in {} every weight of every image is 0. They add nothing, and where the slope is 0, too, they get no gradient to come back.", at);
    });
    where([](const HeadStatistics& s) { return !all_zero(s.A) && s.dead_share() > many_dead_rows; }, [](const HeadStatistics& s, const std::string& at) {
      return fmt::format("Dead rows: in {} {:.1f} % of the queries have no key with a weight other than 0 and take nothing from attention.", at, 100 * s.dead_share());
    });
  }

  void row_sums() {
    where([](const HeadStatistics& s) { return std::abs(s.row_sum.mean()) > large_row_sum; }, [&](const HeadStatistics& s, const std::string& at) {
      const double sum = s.row_sum.mean(), with_one = sum * std::pow(L_, c_.alpha - 1);
      const std::string cause = c_.alpha < 1 ? fmt::format(" The weights have L^-{} with L = {} keys, so the sum grows with L: with α = 1 it would be {:.3g}; train with --alpha 1.", c_.alpha, L_, with_one)
                                             : fmt::format(" L^-{} is there, so the scores are large (their standard deviation is {:.3g}): --qk-norm bounds them.", c_.alpha, s.S.std());
      return fmt::format("Row sums: in {} Σ_j A_ij is {:.4g} on average, where softmax has 1; the output of attention drowns what it is added to.{}", at, sum, cause);
    });
    where([](const HeadStatistics& s) { return std::max(std::abs(s.S.min), std::abs(s.S.max)) > large_score; }, [](const HeadStatistics& s, const std::string& at) {
      return fmt::format("Large scores: in {} they reach from {:.3g} to {:.3g}; --qk-norm bounds them by √d times its scales.", at, s.S.min, s.S.max);
    });
  }

  void focus() {
    where([](const HeadStatistics& s) { return s.top.mean() > one_key; }, [](const HeadStatistics& s, const std::string& at) {
      return fmt::format("One key alone: in {} a query gives {:.1f} % of its weight to a single key on average (effective number of keys {:.2f}).", at, 100 * s.top.mean(), s.keys.mean());
    });
    where([&](const HeadStatistics& s) { return L_ > 1 && !all_zero(s.S) && s.keys.mean() > all_keys * L_; }, [&](const HeadStatistics& s, const std::string& at) {
      return fmt::format("All keys alike: in {} the effective number of keys is {:.1f} of {}: the weights hardly depend on the scores, whose standard deviation is {:.2g}.", at, s.keys.mean(), L_, s.S.std());
    });
  }

  void slopes() {
    where([](const HeadStatistics& s) { return all_zero(s.dA); }, [](const HeadStatistics&, const std::string& at) {
      return fmt::format("No gradient: in {} dA is 0 everywhere: what comes after passes none back, as a head at its initial zeros does not.", at);
    });
    where([](const HeadStatistics& s) { return s.saturated_share() > flat; }, [&](const HeadStatistics& s, const std::string& at) {
      const Saturation f = saturation_of(c_.attention);
      const std::string range = std::isinf(f.low) ? fmt::format("s ≥ {:.3g}", f.high) : fmt::format("|s| ≥ {:.3g}", f.high);
      return fmt::format("Saturation: in {} {:.1f} % of the scores lie where {} is flat ({}) and can learn next to nothing.", at, 100 * s.saturated_share(), c_.attention, range);
    });
    where([](const HeadStatistics& s) { return s.asked > 0 && s.duty() < closed; }, [](const HeadStatistics& s, const std::string& at) {
      return fmt::format("Closed: in {} the slope is 0 at {:.1f} % of the scores that ask for a change.", at, 100 * (1 - s.duty()));
    });
    where([&](const HeadStatistics& s) { return s.asked > 0 && s.duty() >= closed && s.gradient_ratio() * L_ < weak_gradient; }, [&](const HeadStatistics& s, const std::string& at) {
      return fmt::format("Weak gradient: in {} ‖dS‖/‖dA‖ is {:.2g}, less than a hundredth of 1/L = {:.2g}: queries and keys hardly learn.", at, s.gradient_ratio(), 1.0 / L_);
    });
  }

  void parameters() {
    std::string names;
    size_t count = 0;
    for (const ParameterStatistics& p : in_.parameters)
      if (p.gradient_norm == 0 && count++ < 6) names += (names.empty() ? "" : ", ") + p.name;
    if (count > 0) say(fmt::format("No gradient reaches {} of the {} parameters: {}{}.", count, in_.parameters.size(), names, count > 6 ? ", ..." : ""));
  }

  const Inspection& in_;
  const ViTConfig& c_;
  const int L_;
  const ViT& vit_;
  std::vector<std::string> words_;
};

}  // namespace

std::vector<std::string> diagnoses(const Inspection& inspection, const ViT& vit) { return Diagnosis(inspection, vit).run(); }

std::string what_diagnoses_look_for() {
  return fmt::format("Looked for: values that are not finite; scores that are all 0; dead heads, and more than {:.0f} % dead rows; row sums above {}; scores beyond ±{}; one key with over {:.0f} % of a row, or over {:.0f} % of all keys in use; "
                     "over {:.0f} % of the scores where the function is flat, or slopes of 0 at over {:.0f} %; ‖dS‖/‖dA‖ below {}/L; parameters without gradient.", 100 * many_dead_rows, large_row_sum, large_score, 100 * one_key,
                     100 * all_keys, 100 * flat, 100 * (1 - closed), weak_gradient);
}

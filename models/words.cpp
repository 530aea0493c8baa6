#include "models/words.h"
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <numeric>
#include "engine/attention/functions.h"
#include "engine/attention/host_team.h"
#include "engine/random.h"
#include "models/attention/form.h"
#include "models/attention/list.h"

namespace {

// From where on a number is said to be unusual.
constexpr double many_dead_rows = 0.1, large_row_sum = 10, flat = 0.2, one_key = 0.9, all_keys = 0.98, closed = 0.05,
                 weak_gradient = 0.01, large_score = 50;

struct Head { int layer, head; };

std::string list_of(const std::vector<int>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i;
    while (end + 1 < numbers.size() && numbers[end + 1] == numbers[end] + 1) end++;
    text += (text.empty() ? "" : ", ") +
            (end > i ? fmt::format("{} to {}", numbers[i], numbers[end]) : std::to_string(numbers[i]));
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
    else
      parts += fmt::format("{}layer {} head{} {}", parts.empty() ? "" : "; ", layer, some.size() > 1 ? "s" : "",
                           list_of(some));
  }
  if (whole.empty()) return parts;
  return fmt::format("layer{} {}, all heads{}{}", whole.size() > 1 ? "s" : "", list_of(whole),
                     parts.empty() ? "" : "; ", parts);
}

bool all_equal(const Moments& m) { return m.count > 0 && m.min == m.max; }
bool all_zero(const Moments& m) { return all_equal(m) && m.min == 0; }

class Diagnosis {
 public:
  Diagnosis(const Inspection& in, const ViT& vit) : in_(in), c_(in.config), L_(in.config.tokens()), vit_(vit) {}

  std::vector<std::string> run() {
    if (!in_.broken.empty()) {
      const bool forward = std::any_of(in_.probes.begin(), in_.probes.end(),
                                       [](const auto& probe) { return probe->broken_forward().has_value(); });
      say("Not finite: " + in_.broken +
          (forward ? ". Numbers of later layers are not numbers either."
                   : ". Scores and weights are finite in every layer, gradients of the layers before are not."));
    }
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

  // Calls text(statistics of all heads for which holds(statistics, head), where they are, and these heads), if there
  // are any.
  template <class Holds, class Text> void where(Holds holds, Text text) {
    std::vector<Head> found;
    HeadStatistics together;
    for (int i = 0; i < c_.depth; i++)
      for (int h = 0; h < c_.attention_heads(); h++)
        if (const HeadStatistics& s = in_.heads[i][h];
            s.rows > 0 && std::isfinite(s.dS.squares + s.A.squares) && holds(s, Head{i, h}))
          found.push_back({i, h}), together.merge(s);
    if (!found.empty()) say(text(together, places(found, c_.attention_heads()), found));
  }

  // What a head's weights are multiplied by: γ L^-α, as learned; 1/L where a function has no such factor of its own.
  double factor(const Head& head) const {
    if (!has_alpha(c_.attention)) return 1.0 / L_;
    double alpha = c_.alpha, gamma = 1;
    for (const LearnedNumber& number : in_.learned[head.layer]) {
      if (number.name == "alpha") alpha = number.values[head.head % number.values.size()];
      if (number.name == "gamma") gamma = number.values[head.head % number.values.size()];
    }
    return gamma * std::pow(L_, -alpha);
  }
  // Σ_j φ(s)_j of a row of L scores from N(0, 1), as at initialisation; 1 where φ has a number of the head.
  double row_sum_of_usual_scores() const {
    std::vector<real> s(L_), a(L_);
    Random random(0, purpose::synthetic, 0);
    for (real& x : s) x = real(random.normal());
    double sum = 1;
    AttentionFunctions::visit(c_.attention, c_.alpha, L_, [&](auto f) {
      if constexpr (decltype(f)::number.empty())
        f.forward(HostTeam{}, a.data(), s.data(), L_), sum = std::accumulate(a.begin(), a.end(), 0.0);
    });
    return std::abs(sum);
  }
  bool learns_factor() const {
    return std::any_of(in_.learned[0].begin(), in_.learned[0].end(),
                       [](const LearnedNumber& number) { return number.name == "alpha" || number.name == "gamma"; });
  }
  std::string bounding() const {
    return c_.qk_norm ? "the scales of q_norm and k_norm have grown" : "--qk-norm bounds them by √d times its scales";
  }

  void without_weights() {
    std::vector<int> layers;
    for (int i = 0; i < c_.depth; i++) if (!in_.has_weights(i)) layers.push_back(i);
    if (!layers.empty())
      say(fmt::format(
          "Layer{} {}: {} never forms weights from query to key, so there is nothing of S, A, dA, dS to count or draw.",
          layers.size() > 1 ? "s" : "", list_of(layers), c_.attention));
  }

  void zero_scores() {
    where([](const HeadStatistics& s, Head) { return all_equal(s.S); },
          [&](const HeadStatistics& s, const std::string& at, const std::vector<Head>& heads) {
            std::string cause;
            for (const auto& [name, values, part] : {std::tuple{"queries", s.q, 0}, {"keys", s.k, 1}}) {
              if (!all_zero(values)) continue;
              cause += fmt::format(" The {} are all 0", name);
              const auto [layer, head] = heads[0];
              const int first = part * c_.width + head * c_.head_width(), last = first + c_.head_width() - 1;
              if (rows_are_zero(fmt::format("blocks.{}.attn.qkv.weight", layer), first, last))
                cause += fmt::format(": rows {} to {} of blocks.{}.attn.qkv.weight are zero", first, last, layer);
              cause += ".";
            }
            return fmt::format(
                "Scores all the same: in {} each is {:.3g}, so that every key weighs alike, whatever the picture{}.{}",
                at, s.S.max, all_zero(s.A) ? ", with 0" : "", cause);
          });
  }

  bool rows_are_zero(const std::string& name, int first, int last) const {
    const Parameters& p = vit_.parameters();
    if (!p.has(name) || p.find(name).shape.rank() != 2 || p.find(name).shape[0] <= last) return false;
    const std::vector<float> values = p.get(p.find(name));
    const long width = p.find(name).shape[1];
    return std::all_of(values.begin() + first * width, values.begin() + (last + 1) * width,
                       [](float x) { return x == 0; });
  }

  void dead() {
    where([](const HeadStatistics& s, Head) { return all_zero(s.A); },
          [](const HeadStatistics&, const std::string& at, auto&) {
            return fmt::format(
                "Dead heads: in {} every weight of every image is 0. They add nothing, and where the slope is 0, too, "
                "they get no gradient to come back.",
                at);
          });
    where([](const HeadStatistics& s, Head) { return !all_zero(s.A) && s.dead_share() > many_dead_rows; },
          [](const HeadStatistics& s, const std::string& at, auto&) {
            return fmt::format(
                "Dead rows: in {} {:.1f} % of the queries have no key with a weight other than 0 and take nothing from "
                "attention.",
                at, 100 * s.dead_share());
          });
  }

  void row_sums() {
    const bool normalised_after =
        c_.output_norm != "none" || form_of(c_).normalises_output() || c_.block == "hybrid-norm";
    // signs of an odd function cancel in the mean
    const auto size = [](const HeadStatistics& s) { return std::sqrt(s.row_sum.squares / s.row_sum.count); };
    where([&](const HeadStatistics& s, Head) { return !normalised_after && size(s) > large_row_sum; },
          [&](const HeadStatistics& s, const std::string& at, const std::vector<Head>& heads) {
            double factors = 0;
            for (const Head& head : heads) factors += factor(head) / double(heads.size());
            std::string cause;
            if (learns_factor())
              cause = fmt::format("Their learned factor γ L^-α is {:.3g} on average, and 1/L is {:.3g}.", factors,
                                  1.0 / L_);
            else if (has_alpha(c_.attention) && c_.alpha < 1)
              cause = fmt::format(
                  "The weights have L^-{} with L = {} keys, so the sum grows with L: with α = 1 it would be {:.3g}; "
                  "train with --alpha 1.",
                  c_.alpha, L_, size(s) * std::pow(L_, c_.alpha - 1));
            else if (const double usual = row_sum_of_usual_scores(); usual > large_row_sum)
              cause = fmt::format("With L = {} keys {} sums to {:.3g} for scores of N(0, 1) already.", L_, c_.attention,
                                  usual);
            else
              cause = fmt::format("The scores are large ({:.3g} ± {:.3g}): {}.", s.S.mean(), s.S.std(), bounding());
            return fmt::format(
                "Row sums: in {} Σ_j A_ij is {:.4g} in size (root mean square), where softmax has 1; the output of "
                "attention drowns what it is added to. {}",
                at, size(s), cause);
          });
    where([](const HeadStatistics& s, Head) { return std::max(std::abs(s.S.min), std::abs(s.S.max)) > large_score; },
          [&](const HeadStatistics& s, const std::string& at, auto&) {
            return fmt::format("Large scores: in {} they reach from {:.3g} to {:.3g}; {}.", at, s.S.min, s.S.max,
                               bounding());
          });
  }

  void focus() {
    where([](const HeadStatistics& s, Head) { return s.top.mean() > one_key; },
          [](const HeadStatistics& s, const std::string& at, auto&) {
            return fmt::format(
                "One key alone: in {} a query gives {:.1f} % of its weight to a single key on average (effective "
                "number of keys {:.2f}).",
                at, 100 * s.top.mean(), s.keys.mean());
          });
    where([&](const HeadStatistics& s, Head) { return L_ > 1 && !all_equal(s.S) && s.keys.mean() > all_keys * L_; },
          [&](const HeadStatistics& s, const std::string& at, auto&) {
            return fmt::format(
                "All keys alike: in {} the effective number of keys is {:.1f} of {}: the weights hardly depend on the "
                "scores, whose standard deviation is {:.2g}.",
                at, s.keys.mean(), L_, s.S.std());
          });
  }

  void slopes() {
    where([](const HeadStatistics& s, Head) { return all_zero(s.dA); },
          [](const HeadStatistics&, const std::string& at, auto&) {
            return fmt::format(
                "No gradient: in {} dA is 0 everywhere: what comes after passes none back, as a head at its initial "
                "zeros does not.",
                at);
          });
    where([](const HeadStatistics& s, Head) { return s.saturated_share() > flat; },
          [&](const HeadStatistics& s, const std::string& at, auto&) {
            const Saturation f = saturation_of(c_.attention, L_);
            const std::string range = std::isinf(f.low) ? fmt::format("s ≥ {:.3g}", f.high)
                                                        : fmt::format("s ≤ {:.3g} or s ≥ {:.3g}", f.low, f.high);
            return fmt::format(
                "Saturation: in {} {:.1f} % of the scores lie where {} is flat ({}) and can learn next to nothing.", at,
                100 * s.saturated_share(), c_.attention, range);
          });
    where([](const HeadStatistics& s, Head) { return s.asked > 0 && s.duty() < closed; },
          [](const HeadStatistics& s, const std::string& at, auto&) {
            return fmt::format("Closed: in {} the slope is 0 at {:.1f} % of the scores that ask for a change.", at,
                               100 * (1 - s.duty()));
          });
    where(
        [&](const HeadStatistics& s, Head head) {
          return s.asked > 0 && s.duty() >= closed && s.gradient_ratio() < weak_gradient * factor(head);
        },
        [&](const HeadStatistics& s, const std::string& at, const std::vector<Head>& heads) {
          return fmt::format(
              "Weak gradient: in {} ‖dS‖/‖dA‖ is {:.2g}, less than a hundredth of the weights' factor, {:.2g}: little "
              "of what the weights are asked for reaches queries and keys.",
              at, s.gradient_ratio(), factor(heads[0]));
        });
  }

  void parameters() {
    std::string names;
    size_t count = 0;
    for (const ParameterStatistics& p : in_.parameters)
      if (p.gradient_norm == 0 && count++ < 6) names += (names.empty() ? "" : ", ") + p.name;
    if (count > 0)
      say(fmt::format("No gradient reaches {} of the {} parameters: {}{}.", count, in_.parameters.size(), names,
                      count > 6 ? ", ..." : ""));
  }

  const Inspection& in_;
  const ViTConfig& c_;
  const int L_;
  const ViT& vit_;
  std::vector<std::string> words_;
};

}  // namespace

std::vector<std::string> diagnoses(const Inspection& inspection, const ViT& vit) {
  return Diagnosis(inspection, vit).run();
}

std::string what_diagnoses_look_for() {
  return fmt::format(
      "Looked for: values that are not finite; scores that are all the same; dead heads, and more than {:.0f} % dead "
      "rows; row sums above {}; scores beyond ±{}; one key with over {:.0f} % of a row, or over {:.0f} % of all keys "
      "in use; "
      "over {:.0f} % of the scores where the function is flat, or slopes of 0 at over {:.0f} %; ‖dS‖/‖dA‖ below {} of "
      "the weights' factor; parameters without gradient.",
      100 * many_dead_rows, large_row_sum, large_score, 100 * one_key, 100 * all_keys, 100 * flat, 100 * (1 - closed),
      weak_gradient);
}

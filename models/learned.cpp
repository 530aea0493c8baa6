#include "models/learned.h"
#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include "engine/attention/functions.h"
#include "engine/error.h"
#include "engine/text.h"
#include "models/attention/form.h"

namespace {

double layerscale_start(const std::string& item) {
  const std::string text = item.substr(std::min(item.size(), sizeof "layerscale:" - 1));
  double value = 1e-4;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (item != "layerscale" && (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)))
    fail(ExitCode::usage, "--learn: '{}', expected layerscale or layerscale:X with a number X", item);
  return value;
}

const std::vector<std::string> names = {"alpha",       "gamma",       "bias",       "temperature",
                                        "alpha-layer", "gamma-layer", "bias-layer", "temperature-layer",
                                        "layerscale"};

}  // namespace

std::string known_learned(const std::string& text) {
  std::string list;
  for (const std::string& item : text.empty() ? std::vector<std::string>() : split(text, ",")) {
    const size_t colon = std::min(item.find(':'), item.size());
    const std::string name = same_name(item.substr(0, colon), names);
    if (name.empty()) fail(ExitCode::usage, "--learn: {}", unknown_name(item.substr(0, colon), names));
    list += (list.empty() ? "" : ",") + name + item.substr(colon);
  }
  return list;
}

std::vector<LearnedParameter> learned_parameters(const ViTConfig& c) {
  const auto f = AttentionFunctions::find(c.attention);
  std::vector<LearnedParameter> list;
  auto add = [&](const std::string& item, const std::string& name, int size, double initial) {
    for (const auto& known : list)
      if (known.name == name)
        fail(ExitCode::usage, "--learn: '{}' is the same number as one before it in '{}'; give one of them", item,
             c.learn);
    list.push_back({name, size, initial});
  };
  auto refuse = [&](bool refused, const std::string& item, const std::string& reason) {
    if (refused)
      fail(ExitCode::usage, "--learn {} makes no sense with --attention {}: {}; leave it out", item, c.attention,
           reason);
  };
  for (const std::string& item : c.learn.empty() ? std::vector<std::string>() : split(c.learn, ",")) {
    const std::string what = item.substr(0, item.find('-'));
    const int size = item.ends_with("-layer") ? 1 : c.heads;
    if (what == "alpha" || what == "gamma")
      refuse(f && !f->scaled_by_length, item, "its weights have no factor gamma L^-alpha");
    if (what == "bias")
      refuse(f && !f->shift_matters, item,
             f->number.empty() ? "the same number added to all scores of a row changes nothing"
                               : "that is what its learned " + f->number + " does");
    if (what == "temperature")
      refuse(f && !f->scale_matters, item,
             f->number.empty() ? "a factor of all scores of a row changes nothing"
                               : "that is what its learned " + f->number + " does");
    if (item == "alpha" || item == "alpha-layer") add(item, "attn.alpha", size, c.alpha);
    else if (item == "gamma" || item == "gamma-layer") add(item, "attn.log_gamma", size, 0);
    else if (item == "bias" || item == "bias-layer") add(item, "attn.score_bias", size, 0);
    else if (item == "temperature" || item == "temperature-layer") add(item, "attn.log_temperature", size, 0);
    else if (item == "layerscale" || item.starts_with("layerscale:"))
      add(item, "ls1.gamma", c.width, layerscale_start(item)), add(item, "ls2.gamma", c.width, layerscale_start(item));
    else fail(ExitCode::usage, "--learn: {}", unknown_name(item, names));
  }
  auto learned = [&](const char* name) {
    return std::any_of(list.begin(), list.end(), [&](const auto& p) { return p.name == name; });
  };
  refuse(learned("attn.alpha") && learned("attn.log_gamma"), c.learn,
         "in gamma L^-alpha both are one number as long as L does not change");
  const bool factor = learned("attn.alpha") || learned("attn.log_gamma");
  refuse(f && f->homogeneous && factor && learned("attn.log_temperature") && !learned("attn.score_bias"), c.learn,
         "a temperature is a factor of its weights too, so that alpha or gamma and it are one number");
  refuse(factor && c.output_norm == "rms", c.learn, "--output-norm rms takes every factor of the weights off again");
  AttentionFunctions::visit(c.attention, c.alpha, c.tokens(), [&](const auto& function) {
    if constexpr (requires { function.initial_number(); })
      add(c.attention, "attn." + std::string(function.number), c.heads, function.initial_number());
  });
  return list;
}

std::vector<LearnedNumber> learned_numbers(const Parameters& parameters, const ViTConfig& c, int layer) {
  const std::string block = fmt::format("blocks.{}.", layer);
  auto values = [&](const std::string& name) {
    const std::vector<float> list = parameters.get(parameters.find(block + name));
    return std::vector<double>(list.begin(), list.end());
  };
  std::vector<LearnedNumber> numbers;
  for (const LearnedParameter& p : learned_parameters(c)) {
    std::vector<double> list = values(p.name);
    if (p.name.starts_with("ls")) {
      const double sum =
          std::accumulate(list.begin(), list.end(), 0.0, [](double so_far, double x) { return so_far + std::abs(x); });
      numbers.push_back(
          {p.name.starts_with("ls1") ? "layerscale_attention" : "layerscale_mlp", {sum / double(list.size())}});
      continue;
    }
    std::string name = p.name.substr(sizeof "attn." - 1);
    if (name.starts_with("log_")) {
      name.erase(0, sizeof "log_" - 1);
      for (double& x : list) x = std::exp(x);
    }
    numbers.push_back({name == "score_bias" ? "bias" : name, list});
  }
  for (LearnedNumber& number : form_of(c).numbers(layer, values)) numbers.push_back(std::move(number));
  return numbers;
}

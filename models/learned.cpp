#include "models/learned.h"
#include <algorithm>
#include <charconv>
#include <sstream>
#include "engine/attention/functions.h"
#include "engine/error.h"

namespace {

double layerscale_start(const std::string& item) {
  const std::string text = item.substr(std::min(item.size(), sizeof "layerscale:" - 1));
  double value = 1e-4;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (item != "layerscale" && (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)))
    fail(ExitCode::usage, "--learn: '{}', expected layerscale or layerscale:X with a number X", item);
  return value;
}

}  // namespace

std::vector<LearnedParameter> learned_parameters(const ViTConfig& c) {
  const auto f = AttentionFunctions::find(c.attention);
  std::vector<LearnedParameter> list;
  auto add = [&](const std::string& item, const std::string& name, int size, double initial) {
    for (const auto& known : list) if (known.name == name) fail(ExitCode::usage, "--learn: '{}' is there twice", item);
    list.push_back({name, size, initial});
  };
  auto refuse = [&](bool refused, const std::string& item, const std::string& reason) {
    if (refused) fail(ExitCode::usage, "--learn {} makes no sense with --attention {}: {}", item, c.attention, reason);
  };
  std::istringstream items(c.learn);
  for (std::string item; std::getline(items, item, ',');) {
    const std::string what = item.substr(0, item.find('-'));
    const int size = item.ends_with("-layer") ? 1 : c.heads;
    if (what == "alpha" || what == "gamma") refuse(f && !f->scaled_by_length, item, "its weights have no factor gamma L^-alpha");
    if (what == "bias") refuse(f && !f->shift_matters, item, f->number.empty() ? "the same number added to all scores of a row changes nothing" : "that is what its learned " + f->number + " does");
    if (what == "temperature") refuse(f && !f->scale_matters, item, f->number.empty() ? "a factor of all scores of a row changes nothing" : "that is what its learned " + f->number + " does");
    if (item == "alpha" || item == "alpha-layer") add(item, "attn.alpha", size, c.alpha);
    else if (item == "gamma" || item == "gamma-layer") add(item, "attn.log_gamma", size, 0);
    else if (item == "bias" || item == "bias-layer") add(item, "attn.score_bias", size, 0);
    else if (item == "temperature" || item == "temperature-layer") add(item, "attn.log_temperature", size, 0);
    else if (item.starts_with("layerscale")) add(item, "ls1.gamma", c.width, layerscale_start(item)), add(item, "ls2.gamma", c.width, layerscale_start(item));
    else fail(ExitCode::usage, "--learn: '{}' is unknown, expected a list of alpha, gamma, bias, temperature, each also with -layer for one number a block, and layerscale", item);
  }
  auto learned = [&](const char* name) { return std::any_of(list.begin(), list.end(), [&](const auto& p) { return p.name == name; }); };
  refuse(learned("attn.alpha") && learned("attn.log_gamma"), c.learn, "in gamma L^-alpha both are one number as long as L does not change; learn one of them");
  AttentionFunctions::visit(c.attention, c.alpha, c.tokens(), [&](const auto& function) {
    if constexpr (requires { function.initial_number(); }) add(c.attention, "attn." + std::string(function.number), c.heads, function.initial_number());
  });
  return list;
}

// The options of a model, a row each: from this table come the flags with their help and checks, the metadata of
// weights and states, the identity of a run, and how reports tell of a model. A default is that of the member.
// defines: Option, model_options, each_option
#pragma once
#include <fmt/format.h>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "engine/ops/smooth.h"
#include "models/attention/form.h"
#include "models/config.h"

template <class Value>
struct Option {
  const char* name;                        // "mlp_width": of metadata; its flag is --mlp-width
  Value ViTConfig::*member;
  std::string help = "";                   // none: the flag is of each program by itself
  std::vector<std::string> values = {};    // all that a string may be
  uint64_t most = 0;                       // of a whole number, which is at least 1
  bool of_variant = false;                 // --model says it, too, and what no flag says follows from that
  bool of_foreign = false;                 // a foreign weights file does not say it
  bool later = false;                      // not in the first files: left out where it has its default
  const char* variant = nullptr;           // of attention, beside BigVision's: how it is told of
  Value usual() const { return ViTConfig().*member; }
};

inline constexpr const char* channels_help =
    "of red, green and blue, with commas: a pixel x of 0 ... 1 is (x - mean) / std to the model; or imagenet, or half";

inline std::string activations_and_sources() {
  std::string text;
  for (const std::string& name : MlpActivations::names())
    MlpActivations::visit(name, [&]<class H>() {
      text += fmt::format("{}{} ({})", text.empty() ? "" : " or ", name, H::source);
    });
  return text;
}

inline const auto& model_options() {
  using C = ViTConfig;
  static const std::tuple options{
      Option<int>{.name = "image_size", .member = &C::image_size, .help = "height and width the model sees",
                  .most = 16384, .of_foreign = true},
      Option<std::string>{.name = "gelu", .member = &C::gelu,
                          .help = "form of GELU in the MLP: " + activations_and_sources(),
                          .values = MlpActivations::names(), .of_foreign = true},
      Option<Channels>{.name = "mean", .member = &C::mean, .help = channels_help, .of_foreign = true, .later = true},
      Option<Channels>{.name = "std", .member = &C::std, .help = channels_help, .of_foreign = true, .later = true},
      Option<std::string>{.name = "pool", .member = &C::pool,
                          .help = "gap (mean of tokens), cls (class token) or map (attention pooling)",
                          .values = {"gap", "cls", "map"}, .of_foreign = true},
      Option<std::string>{.name = "gate_function", .member = &C::gate_function,
                          .help = "of --gate: silu, or sigmoid as Qwen has it", .values = GateFunctions::names(),
                          .of_foreign = true, .later = true, .variant = " {}"},
      Option<int>{.name = "width", .member = &C::width, .help = "channels D (default 384)", .most = 65536,
                  .of_variant = true, .of_foreign = true},
      Option<int>{.name = "heads", .member = &C::heads, .help = "attention heads (default width / 64)", .most = 65536,
                  .of_variant = true, .of_foreign = true},
      Option<int>{.name = "depth", .member = &C::depth, .help = "blocks (default 12)", .most = 10000,
                  .of_variant = true},
      Option<int>{.name = "mlp_width", .member = &C::mlp_width,
                  .help = "hidden channels of the MLP (default 4 width)", .most = 1048576, .of_variant = true},
      Option<int>{.name = "patch", .member = &C::patch, .help = "pixels a side of a patch (default 16)", .most = 16384,
                  .of_variant = true},
      Option<bool>{.name = "qk_norm", .member = &C::qk_norm, .help = "LayerNorm over each head of q and k"},
      Option<bool>{.name = "gate", .member = &C::gate, .help = "multiply the heads' output by silu(x Wg + b)"},
      Option<std::string>{.name = "learn", .member = &C::learn,
                          .help = "further parameters to learn, a list: alpha or gamma of "
                                  "gamma L^-alpha h(temperature s + bias), temperature, bias, one a head "
                                  "(alpha-layer, ...: one a block); layerscale[:X], x + lambda branch(x) with lambda "
                                  "starting at X = 1e-4",
                          .later = true},
      Option<std::string>{.name = "attention_form", .member = &C::form,
                          .help = attention_forms_help(), .values = attention_form_names(), .later = true,
                          .variant = ", {}"},
      Option<std::string>{.name = "output_norm", .member = &C::output_norm,
                          .help = "RMSNorm of the heads' output: none, rms (each head), rela (all heads together, "
                                  "with a gate: ReLA)",
                          .values = {"none", "rms", "rela"}, .later = true, .variant = ", output norm {}"},
      Option<std::string>{.name = "block", .member = &C::block,
                          .help = "pre-norm; hybrid-norm (x + norm(attention(norm(x)))); gau (one gated attention "
                                  "unit in place of attention and MLP)",
                          .values = {"pre-norm", "hybrid-norm", "gau"}, .later = true, .variant = ", {}"},
      Option<std::string>{.name = "position", .member = &C::position, .help = "position embedding",
                          .values = {"learned", "sincos2d"}},
      Option<bool>{.name = "head_hidden", .member = &C::head_hidden,
                   .help = "a hidden layer with tanh before the head (BigVision's rep_size)"},
      Option<double>{.name = "head_bias", .member = &C::head_bias,
                     .help = "initial bias of the head (-6.9 for ImageNet-1k with sigmoid loss)"},
      Option<std::string>{.name = "attention", .member = &C::attention},
      Option<double>{.name = "alpha", .member = &C::alpha},
      Option<int>{.name = "classes", .member = &C::classes}};
  return options;
}

// calls visit(option) for every row
template <class Visit>
void each_option(Visit visit) {
  std::apply([&](const auto&... option) { (visit(option), ...); }, model_options());
}

#include "models/model_flags.h"
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include "engine/attention/families.h"
#include "models/presets.h"

std::string attention_table() {
  std::string table = "Attention functions (s = q.k/sqrt(d), L keys):\n";
  for (const auto& f : AttentionFunctions::all()) table += fmt::format("  {:<15} {:<55} {}\n", f.name, f.formula, f.source);
  table += "Linear families, without L x L weights (S = sum k'_j v_j, z = sum k'_j):\n";
  for (const auto& f : LinearFamilies::all()) table += fmt::format("  {:<15} {:<55} {}\n", f.name, f.formula, f.source);
  return table;
}

void ModelFlags::add(CLI::App& app, bool foreign) {
  const std::string group = "Model";
  app.add_option("--image-size", config_.image_size, "height and width the model sees")->check(CLI::PositiveNumber)->capture_default_str()->group(group);
  app.add_option("--gelu", config_.gelu, "form of GELU in the MLP: tanh (BigVision) or erf (timm)")->check(CLI::IsMember({"tanh", "erf"}))->capture_default_str()->group(group);
  app.add_option("--width", width_, "channels D (default 384)")->check(CLI::PositiveNumber)->group(group);
  app.add_option("--heads", heads_, "attention heads (default width / 64)")->check(CLI::PositiveNumber)->group(group);
  app.footer(attention_table());
  if (foreign) return;
  app.add_option("--model", model_, "VARIANT/PATCH, such as S/16 (train: several with commas train one after another); variants: " + variant_names())->capture_default_str()->group(group);
  app.add_option("--depth", depth_, "blocks (default 12)")->check(CLI::PositiveNumber)->group(group);
  app.add_option("--mlp-width", mlp_width_, "hidden channels of the MLP (default 4 width)")->check(CLI::PositiveNumber)->group(group);
  app.add_option("--patch", patch_, "pixels a side of a patch (default 16)")->check(CLI::PositiveNumber)->group(group);
  app.add_flag("--qk-norm,!--no-qk-norm", config_.qk_norm, "LayerNorm over each head of q and k")->group(group);
  app.add_flag("--gate,!--no-gate", config_.gate, "multiply the heads' output by silu(x Wg + b)")->group(group);
  app.add_option("--learn", config_.learn, "further parameters to learn, a list: alpha or gamma of gamma L^-alpha h(temperature s + bias), temperature, bias, one a head (alpha-layer, ...: one a block); layerscale[:X], "
                                           "x + lambda branch(x) with lambda starting at X = 1e-4")->group(group);
  app.add_option("--gate-function", config_.gate_function, "of --gate: silu, or sigmoid as Qwen has it")->check(CLI::IsMember({"silu", "sigmoid"}))->capture_default_str()->group(group);
  app.add_option("--attention-form", config_.form, "plain; differential (two maps a head, subtracted); laser (log of weighted exponentials); talking-heads (heads mixed before and after the function)")
      ->check(CLI::IsMember({"plain", "differential", "laser", "talking-heads"}))->capture_default_str()->group(group);
  app.add_option("--output-norm", config_.output_norm, "RMSNorm of the heads' output: none, rms (each head), rela (all heads together, with a gate: ReLA)")
      ->check(CLI::IsMember({"none", "rms", "rela"}))->capture_default_str()->group(group);
  app.add_option("--block", config_.block, "pre-norm; hybrid-norm (x + norm(attention(norm(x)))); gau (one gated attention unit in place of attention and MLP)")
      ->check(CLI::IsMember({"pre-norm", "hybrid-norm", "gau"}))->capture_default_str()->group(group);
  app.add_option("--pool", config_.pool, "gap (mean of tokens), cls (class token) or map (attention pooling)")->check(CLI::IsMember({"gap", "cls", "map"}))->capture_default_str()->group(group);
  app.add_option("--position", config_.position, "position embedding")->check(CLI::IsMember({"learned", "sincos2d"}))->capture_default_str()->group(group);
  app.add_flag("--head-hidden,!--no-head-hidden", config_.head_hidden, "a hidden layer with tanh before the head (BigVision's rep_size)")->group(group);
  app.add_option("--head-bias", config_.head_bias, "initial bias of the head (-6.9 for ImageNet-1k with sigmoid loss)")->capture_default_str()->group(group);
}

ViTConfig ModelFlags::config() const {
  ViTConfig c = config_;
  if (!model_.empty()) set_variant(c, model_);
  if (width_) {
    c.width = *width_;
    c.heads = std::max(1, c.width / 64);
    c.mlp_width = 4 * c.width;
  }
  c.depth = depth_.value_or(c.depth);
  c.heads = heads_.value_or(c.heads);
  c.mlp_width = mlp_width_.value_or(c.mlp_width);
  c.patch = patch_.value_or(c.patch);
  return c;
}

void DeviceFlags::add(CLI::App& app, const std::string& group) {
  app.add_option("--device", options_.device, "where to compute: cpu, or cuda for the first GPU")->check(CLI::IsMember({"cpu", "cuda"}))->capture_default_str()->group(group);
  app.add_option("--precision", precision_, "of the inputs of matrix products: f32, bf16, or (cuda) tf32; everything else is f32")->check(CLI::IsMember({"f32", "tf32", "bf16"}))->capture_default_str()->group(group);
  app.add_flag("--fused-attention,!--no-fused-attention", options_.fused_attention, "cuda with bf16: one kernel a pass where heads have 64 channels (default on)")->default_str("true")->group(group);
  app.add_option("--threads", options_.threads, "of the CPU; 0: all cores; the result is the same for any number")->check(CLI::NonNegativeNumber)->capture_default_str()->group(group);
}

std::unique_ptr<Device> DeviceFlags::open() const {
  DeviceOptions options = options_;
  options.precision = precision_ == "bf16" ? Precision::bf16 : precision_ == "tf32" ? Precision::tf32 : Precision::f32;
  auto device = make_device(options);
  fmt::print(stderr, "device  {}\n", device->description());
  return device;
}

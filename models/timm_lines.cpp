#include "models/timm_lines.h"

#include <fmt/format.h>

#include <map>
#include <string_view>
#include <vector>

#include "engine/text.h"
#include "models/attention/list.h"
#include "models/fields.h"

namespace {
// φ of scores s [B, H, L, L] in PyTorch's words, without its factor L^-alpha.
const std::map<std::string_view, std::string_view> of_scores = {
    {"relu", "torch.relu(s)"},
    {"relu2", "torch.relu(s) ** 2"},
    {"gelu", "F.gelu(s, approximate='tanh')"},
    {"softplus", "F.softplus(s)"},
    {"identity", "s"},
    {"relu6", "F.relu6(s)"},
    {"sigmoid", "torch.sigmoid(s)"},
    {"silu", "F.silu(s)"},
    {"mish", "F.mish(s)"},
    {"elu", "F.elu(s)"},
    {"elu1", "F.elu(s) + 1"},
    {"leaky", "F.leaky_relu(s)"},
    {"tanh", "torch.tanh(s)"},
    {"exp", "torch.exp(s)"},
    {"laplace", "(1 + torch.erf((2 * torch.pi) ** 0.5 * (s - 0.5 ** 0.5))) / 2"},
    {"square", "s ** 2"},
    {"cube", "s ** 3"},
    {"taylor2", "1 + s + s ** 2 / 2"},
    {"stable", "torch.where(s >= 0, s + 1, 1 / (1 - s.clamp(max=0)))"},
    {"sigmoid-bias", "torch.sigmoid(s - torch.tensor(float(L)).log())"},
    {"reluformer", "torch.relu(s) / (L / 2) ** 0.5"},
    {"softpick", "torch.relu(torch.expm1(s)) / (torch.expm1(s).abs().sum(-1, keepdim=True) + 1e-8)"},
    {"softmax1", "torch.softmax(torch.cat([s, torch.zeros_like(s[..., :1])], -1), -1)[..., :-1]"},
    {"softmax", "torch.softmax(s, -1)"}};

// Those divided by their row's sum are their numerator's.
const std::map<std::string_view, std::string_view> numerator = {{"relu-norm", "relu"},
                                                                {"elu1-norm", "elu1"},
                                                                {"sigmoid-norm", "sigmoid"},
                                                                {"stablemax", "stable"},
                                                                {"taylor-softmax", "taylor2"}};

std::string weights_of_scores(const ViTConfig& c) {
  if (const auto found = numerator.find(c.attention); found != numerator.end())
    return fmt::format("(h := {}) / (h.sum(-1, keepdim=True) + 1e-6)", of_scores.at(found->second));
  const auto found = of_scores.find(c.attention);
  if (found == of_scores.end()) return "";
  return has_alpha(c.attention) ? fmt::format("({}) / L ** {}", found->second, c.alpha) : std::string(found->second);
}

bool layerscale_alone(const ViTConfig& c) { return c.learn.empty() || c.learn.starts_with("layerscale"); }

// A string of Python's.
std::string quoted(const std::string& text) {
  std::string quoted;
  for (const char c : printable(text)) quoted += (c == '\'' || c == '\\' ? "\\" : "") + std::string(1, c);
  return "'" + quoted + "'";
}

std::string forward_lines(const ViTConfig& c) {
  const bool silu = c.gate_function == "silu";
  return fmt::format(R"(
def forward(self, x, *args, **options):    # timm's own computes softmax without a gate
    B, L, D = x.shape
    q, k, v = self.qkv(x).reshape(B, L, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
    s = self.q_norm(q) @ self.k_norm(k).transpose(-2, -1) * self.scale
    a = {}
    o = (a @ v).transpose(1, 2).reshape(B, L, D)
    return self.proj(o{})
)", weights_of_scores(c), !c.gate ? "" : silu ? " * F.silu(self.gate(x))" : " * self.gate(x).sigmoid()");
}

// Variants but the gate's function, which the lines have.
std::vector<Variant> untold_variants(const ViTConfig& c) {
  std::vector<Variant> list = variants(c);
  std::erase_if(list, [](const Variant& v) { return v.field == "gate_function"; });
  return list;
}
}    // namespace

std::string timm_cannot(const ViTConfig& c) {
  std::vector<std::string> missing;
  if (c.attention != "softmax")
    missing.push_back(fmt::format("attention {}{}, for which it computes softmax", c.attention,
                                  has_alpha(c.attention) ? fmt::format(" with alpha {}", c.alpha) : ""));
  if (c.gate) missing.push_back("the gate");
  if (c.head_hidden) missing.push_back("the hidden layer before the head");
  if (!layerscale_alone(c)) missing.push_back("what --learn " + c.learn + " learned");
  for (const Variant& v : untold_variants(c)) missing.push_back(words_of(v.field) + " " + v.value);
  std::string text;
  for (const std::string& what : missing) text += (text.empty() ? "" : "; ") + what;
  return text;
}

std::string timm_lines(const ViTConfig& c, const std::string& file) {
  const bool own_attention = c.attention != "softmax" || c.gate;
  const std::map<std::string, std::string> approximations{{"tanh", "tanh"}, {"erf", "none"}};    // of torch.nn.GELU
  if (!layerscale_alone(c) || !untold_variants(c).empty() || weights_of_scores(c).empty() ||
      !approximations.contains(c.gelu))
    return "";
  // timm rounds the MLP's width down, and half a channel more keeps it
  const std::string ratio = c.mlp_width % c.width == 0 ? fmt::format("{}", c.mlp_width / c.width)
                                                       : fmt::format("({} + 0.5) / {}", c.mlp_width, c.width);
  const std::string pool = c.pool == "cls" ? "token" : c.pool == "gap" ? "avg" : "map";
  std::string lines = fmt::format(R"(from functools import partial
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
{}
model = VisionTransformer(img_size={}, patch_size={}, embed_dim={}, depth={}, num_heads={}, mlp_ratio={},
                          num_classes={}, class_token={}, global_pool='{}', fc_norm=False,
                          qk_norm={}, init_values={},
                          act_layer=partial(torch.nn.GELU, approximate='{}'),
                          norm_layer=partial(torch.nn.LayerNorm, eps=1e-6)).eval()
)", own_attention ? forward_lines(c) : "", c.image_size, c.patch, c.width, c.depth, c.heads, ratio,
      c.classes, c.pool == "cls" ? "True" : "False", pool, c.qk_norm ? "True" : "False",
      c.learn.empty() ? "None" : "1.0", approximations.at(c.gelu));
  if (c.gate)
    lines += fmt::format("for block in model.blocks: block.attn.gate = torch.nn.Linear({0}, {0})\n", c.width);
  if (own_attention) lines += "for block in model.blocks: block.attn.forward = partial(forward, block.attn)\n";
  if (c.head_hidden)
    lines += fmt::format("model.fc_norm = torch.nn.Sequential(torch.nn.Linear({0}, {0}), torch.nn.Tanh())\n", c.width);
  const char* renamed = c.head_hidden ? ".replace('pre_logits.fc', 'fc_norm.0')" : "";
  lines += fmt::format("model.load_state_dict({{name{}: value for name, value in load_file({}).items()}})\n", renamed,
                       quoted(file));
  lines += fmt::format("# images [B, 3, {0}, {0}] of x in 0 ... 1, normalised: (x - mean) / std, mean {1}, std {2}\n",
                       c.image_size, channels_text(c.mean), channels_text(c.std));
  return lines;
}

#include "models/foreign.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "engine/dtype.h"
#include "engine/error.h"
#include "engine/json.h"
#include "engine/text.h"
#include "models/attention/list.h"
#include "models/presets.h"

namespace {
namespace fs = std::filesystem;
using Json = nlohmann::json;

// A config of which some fields are known.
struct Facts {
  ViTConfig config;
  std::set<std::string> known;
  template <class Value>
  void know(const char* field, Value ViTConfig::*member, const std::type_identity_t<Value>& value) {
    config.*member = value;
    known.insert(field);
  }
};

// The length of one axis of a tensor that must be there with so many axes.
int length(const ForeignFile& file, const std::string& name, size_t axes, size_t axis) {
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end())
    fail(ExitCode::data, "{}: {} is missing; is this a whole Vision Transformer?", file.path.string(), name);
  const auto& shape = found->second.shape;
  if (shape.size() != axes)
    fail(ExitCode::data, "{}: {} has shape {}, expected {} axes", file.path.string(), name, shape_text(shape), axes);
  return int(std::min<int64_t>(shape[axis], INT32_MAX));
}

void know_image_size(Facts& facts, const ForeignFile& file) {
  const int64_t patches = length(file, "pos_embed", 3, 1), grid = std::llround(std::sqrt(double(patches)));
  if (grid * grid != patches)
    fail(ExitCode::data, "{}: pos_embed has {} positions, expected a square{}", file.path.string(), patches,
         file.tensors.contains("cls_token") ? ", or one more than a square" : "");
  facts.know("image_size", &ViTConfig::image_size, int(std::min<int64_t>(grid * facts.config.patch, INT32_MAX)));
}

void know_shapes(Facts& facts, const ForeignFile& file) {
  using C = ViTConfig;
  const auto has = [&](const char* name) { return file.tensors.contains(name); };
  facts.know("width", &C::width, length(file, "patch_embed.proj.weight", 4, 0));
  facts.know("patch", &C::patch, length(file, "patch_embed.proj.weight", 4, 2));
  facts.know("mlp_width", &C::mlp_width, length(file, "blocks.0.mlp.fc1.weight", 2, 0));
  facts.know("classes", &C::classes, length(file, "head.weight", 2, 0));
  facts.know("depth", &C::depth, int(std::ranges::count_if(file.tensors, [](const auto& tensor) {
    return tensor.first.starts_with("blocks.") && tensor.first.ends_with(".mlp.fc1.weight");
  })));
  facts.know("head_hidden", &C::head_hidden, has("pre_logits.fc.weight"));
  facts.know("qk_norm", &C::qk_norm, has("blocks.0.attn.q_norm.weight"));
  facts.know("gate", &C::gate, has("blocks.0.attn.gate.weight"));
  facts.know("learn", &C::learn, has("blocks.0.ls1.gamma") ? "layerscale" : "");
  facts.know("position", &C::position, has("pos_embed") ? "learned" : "sincos2d");
  if (has("pos_embed")) know_image_size(facts, file);
  // beside a class token timm's head may read the mean of the other tokens, BigVision's may not
  if (has("attn_pool.latent") || !has("cls_token") || file.bigvision)
    facts.know("pool", &C::pool, has("attn_pool.latent") ? "map" : has("cls_token") ? "cls" : "gap");
  if (file.heads) facts.know("heads", &C::heads, file.heads);
  else if (facts.config.qk_norm)
    facts.know("heads", &C::heads, facts.config.width / std::max(1, length(file, "blocks.0.attn.q_norm.weight", 1, 0)));
}

// timm's description of this model and where it was found; none where there is none, or that of another width.
std::optional<std::pair<std::string, Json>> description(const ForeignFile& file, int width) {
  std::vector<std::pair<std::string, std::string>> texts;
  for (const char* key : {"config", "pretrained_cfg"})
    if (const auto found = file.metadata.find(key); found != file.metadata.end())
      texts.emplace_back(fmt::format("{}: metadata {}", file.path.string(), key), found->second);
  for (const fs::path& path : {fs::path(file.path).replace_extension(".json"), file.path.parent_path() / "config.json"})
    if (std::error_code unreadable; fs::is_regular_file(path, unreadable))
      texts.emplace_back(path.string(), text_of_file(path));
  for (const auto& [where, text] : texts) {
    const Json json = parse_json(text);
    if (!json.is_object() || !(json.contains("pretrained_cfg") || json.contains("mean"))) continue;
    if (!json.contains("num_features") || json["num_features"] == width) return std::pair{where, json};
  }
  return {};
}

void know_described(Facts& facts, const std::string& where, const Json& json) try {
  const Json usual = json.value("pretrained_cfg", json), made = json.value("model_args", Json::object());
  if (usual.contains("mean")) facts.know("mean", &ViTConfig::mean, usual["mean"].get<Channels>());
  if (usual.contains("std")) facts.know("std", &ViTConfig::std, usual["std"].get<Channels>());
  if (made.contains("num_heads") && !facts.known.contains("heads"))
    facts.know("heads", &ViTConfig::heads, made["num_heads"].get<int>());
  if (made.contains("act_layer")) {
    const std::string name = made["act_layer"];
    if (name != "gelu" && name != "gelu_tanh")
      fail(ExitCode::data, "{}: act_layer is {}, expected gelu or gelu_tanh, which this ViT has", where, name);
    facts.know("gelu", &ViTConfig::gelu, name == "gelu" ? "erf" : "tanh");
  }
  const std::string pool = made.value("global_pool", json.value("global_pool", ""));
  if (pool.empty()) return;
  const std::string ours = pool == "token" ? "cls" : pool == "avg" ? "gap" : pool;
  if (!facts.known.contains("pool") && ours == "cls") facts.know("pool", &ViTConfig::pool, ours);
  if (!facts.known.contains("pool") || facts.config.pool != ours)
    fail(ExitCode::data, "{}: global_pool is {}, which with these tensors is no model of this program: a class token "
         "is read by the head, or is not there", where, pool);
} catch (const Json::exception&) {
  fail(ExitCode::data, "{}: mean, std, model_args or global_pool are not as timm writes them; mend the file, or move "
       "it away and give --mean, --std, --gelu and --heads", where);
}

void settle_heads(Facts& facts, const ForeignFile& file, const Stated& stated) {
  if (facts.known.contains("heads") || stated.fields.contains("heads")) return;
  const ViTConfig& c = facts.config;
  const std::set<int> heads = heads_of_size(c);
  if (heads.size() != 1)
    fail(ExitCode::data, "{}: does not tell the number of heads, and ViTs of width {}, depth {} and MLP width {} have "
         "{}; give --heads N", file.path.string(), c.width, c.depth, c.mlp_width,
         heads.empty() ? "no usual one" : fmt::format("{}", fmt::join(heads, " or ")));
  facts.config.heads = *heads.begin();
}
}    // namespace

ForeignConfig foreign_config(const ForeignFile& file, const Stated& stated) {
  Facts facts;
  facts.config.gelu = file.bigvision ? "tanh" : "erf";
  facts.config.pool = "cls";
  restate(facts.config, stated);
  know_shapes(facts, file);
  if (!file.bigvision)
    if (const auto found = description(file, facts.config.width)) know_described(facts, found->first, found->second);
  settle_heads(facts, file, stated);
  const ViTConfig& c = facts.config;
  if (file.tensors.contains("cls_token") && c.pool == "gap")
    fail(ExitCode::usage, "--pool gap: {} has a class token, which takes part in attention: the mean of the other "
         "tokens beside it is no model of this program", file.path.string());

  std::vector<std::string> asked = {"attention", "gelu", "pool", "heads", "image_size", "mean", "std"};
  if (has_alpha(c.attention)) asked.push_back("alpha");
  if (c.gate) asked.push_back("gate_function");
  const auto texts = field_texts(c);
  std::string assumed;
  for (const std::string& field : asked)
    if (!facts.known.contains(field) && !stated.fields.contains(field))
      assumed += fmt::format("{}{} {}", assumed.empty() ? "" : " ", flag_of(field), texts.at(field));
  return {c, assumed};
}

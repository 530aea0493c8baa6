#include "models/weights.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <set>

#include "data/class_names.h"
#include "engine/error.h"
#include "engine/safetensors.h"
#include "models/bigvision.h"
#include "models/vit.h"

namespace {
using Tensors = std::map<std::string, NamedTensor>;
using Metadata = std::map<std::string, std::string>;
const std::string format_key = "relucent", format_version = "1";

// Fields that a file may lack, as they are left out where they have their default.
constexpr std::string_view optional_fields[] = {"learn", "gate_function", "attention_form", "output_norm", "block"};

// Every field of a config with its name, for reading and for writing; a field that is not here does not compile.
template <class Config, class Visit>
void each_field(Config& config, Visit visit) {
  auto& [image_size, patch, width, depth, heads, mlp_width, classes, pool, position, head_hidden, head_bias, gelu,
         attention, alpha, qk_norm, gate, learn, gate_function, form, output_norm, block] = config;
  visit("image_size", image_size);
  visit("patch", patch);
  visit("width", width);
  visit("depth", depth);
  visit("heads", heads);
  visit("mlp_width", mlp_width);
  visit("classes", classes);
  visit("pool", pool);
  visit("position", position);
  visit("head_hidden", head_hidden);
  visit("head_bias", head_bias);
  visit("gelu", gelu);
  visit("attention", attention);
  visit("alpha", alpha);
  visit("qk_norm", qk_norm);
  visit("gate", gate);
  visit("learn", learn);
  visit("gate_function", gate_function);
  visit("attention_form", form);
  visit("output_norm", output_norm);
  visit("block", block);
}
template <class Number>
bool parse(const std::string& text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}
bool parse(const std::string& text, bool& value) {
  value = text == "true";
  return value || text == "false";
}
bool parse(const std::string& text, std::string& value) {
  value = text;
  return true;
}

// A model that could be built. The limits keep a file's numbers within int and memory.
void check_model(const ViTConfig& config, const std::string& where) {
  each_field(config, [&](const char* name, const auto& value) {
    if constexpr (std::is_same_v<decltype(value), const int&>) {
      const int limit = &value == &config.classes ? most_classes : 1 << 15;
      if (value < 1 || value > limit) fail(ExitCode::data, "{}: {} is {}, expected 1 to {}", where, name, value, limit);
    }
  });
  try {
    check_config(config);
  } catch (const Error& error) {
    fail(ExitCode::data, "{}: {}", where, error.what());
  }
}

bool zero(const NamedTensor& tensor) {
  return std::all_of(tensor.data.begin(), tensor.data.end(), [](float x) { return x == 0; });
}

// The length of one axis of a tensor that must be there with so many axes.
int length(const Tensors& tensors, const std::string& name, size_t axes, size_t axis, const std::string& file) {
  const auto found = tensors.find(name);
  if (found == tensors.end())
    fail(ExitCode::data, "{}: {} is missing; is this a whole Vision Transformer?", file, name);
  const auto& shape = found->second.shape;
  if (shape.size() != axes)
    fail(ExitCode::data, "{}: {} has shape {}, expected {} axes", file, name, shape_text(shape), axes);
  return int(std::min<int64_t>(shape[axis], INT32_MAX));
}

// Tensors of a timm-named file; what timm has and our ViT has not is taken away where that changes nothing.
Tensors read_timm_names(const SafeTensors& file, const std::string& path) {
  Tensors tensors;
  for (const auto& [name, stored] : file.tensors()) {
    NamedTensor tensor{stored.shape, file.floats(name)};
    if (name.starts_with("fc_norm."))
      fail(ExitCode::data, "{}: {}: timm's mean over tokens, then LayerNorm, is not this ViT's LayerNorm, then mean; "
           "such weights would give other results", path, name);
    if (name.ends_with(".attn.q_norm.bias") || name.ends_with(".attn.k_norm.bias")) {
      if (!zero(tensor)) fail(ExitCode::data, "{}: {} is not zero: the qk-LayerNorm here has a scale only", path, name);
    } else {
      tensors.emplace(name, std::move(tensor));
    }
  }
  return tensors;
}

// Files that embed the class token's position too: its row is part of the token, added once and for all.
void fold_token_position(Tensors& tensors) {
  const auto position = tensors.find("pos_embed"), token = tensors.find("cls_token");
  if (position == tensors.end() || token == tensors.end()) return;
  auto& [shape, data] = position->second;
  if (shape.size() != 3 || shape[1] < 2 || data.empty()) return;
  const int64_t grid = std::llround(std::sqrt(double(shape[1] - 1)));
  if (grid * grid != shape[1] - 1 || token->second.data.size() != size_t(shape[2])) return;
  for (size_t i = 0; i < size_t(shape[2]); i++)
    if (data[i] != 0) token->second.data[i] += data[i];    // adding zero would turn a -0 into a 0
  data.erase(data.begin(), data.begin() + shape[2]);
  shape[1]--;
}

// What names and shapes say, on top of what is wanted. `heads`: 0 where the file cannot tell.
ViTConfig detect_config(const Tensors& tensors, ViTConfig config, int heads, const std::string& file) {
  const auto has = [&](const std::string& name) { return tensors.contains(name); };
  const auto axis = [&](const std::string& name, size_t axes, size_t which) {
    return length(tensors, name, axes, which, file);
  };
  const int wanted_width = config.width;
  config.width = axis("patch_embed.proj.weight", 4, 0);
  config.patch = axis("patch_embed.proj.weight", 4, 2);
  config.mlp_width = axis("blocks.0.mlp.fc1.weight", 2, 0);
  config.classes = axis("head.weight", 2, 0);
  config.depth = int(std::count_if(tensors.begin(), tensors.end(), [](const auto& tensor) {
    return tensor.first.starts_with("blocks.") && tensor.first.ends_with(".mlp.fc1.weight");
  }));
  config.pool = has("attn_pool.latent") ? "map" : has("cls_token") ? "cls" : "gap";
  config.head_hidden = has("pre_logits.fc.weight");
  config.qk_norm = has("blocks.0.attn.q_norm.weight");
  config.gate = has("blocks.0.attn.gate.weight");
  config.learn = has("blocks.0.ls1.gamma") ? "layerscale" : "";
  config.position = has("pos_embed") ? "learned" : "sincos2d";
  if (has("pos_embed")) {
    const int64_t patches = axis("pos_embed", 3, 1), grid = std::llround(std::sqrt(double(patches)));
    if (grid * grid != patches)
      fail(ExitCode::data, "{}: pos_embed has {} positions, expected a square{}", file, patches,
           has("cls_token") ? ", or one more than a square" : "");
    config.image_size = int(std::min<int64_t>(grid * config.patch, INT32_MAX));
  }

  if (heads == 0 && config.qk_norm)
    heads = config.width / std::max(1, axis("blocks.0.attn.q_norm.weight", 1, 0));
  if (heads == 0 && config.width != wanted_width) {
    if (config.width % 64 != 0)
      fail(ExitCode::data, "{}: cannot tell the number of heads of width {}; give --width {} --heads N", file,
           config.width, config.width);
    heads = config.width / 64;
  }
  if (heads != 0) config.heads = heads;
  return config;
}

// Exactly the tensors of the model, in shape and size.
void check_tensors(const ViTConfig& config, const Tensors& tensors, const std::string& where, ExitCode code) {
  std::set<std::string> unknown;
  for (const auto& [name, tensor] : tensors) unknown.insert(name);
  for (const auto& [name, expected] : weight_shapes(config)) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) fail(code, "{}: {} is missing", where, name);
    const auto& [shape, data] = found->second;
    if (shape != expected || data.size() * sizeof(float) != byte_count("F32", shape))
      fail(code, "{}: {} has shape {}, expected {}", where, name, shape_text(shape), shape_text(expected));
    unknown.erase(name);
  }
  if (!unknown.empty())
    fail(code, "{}: {} is no parameter of this model{}", where, *unknown.begin(),
         unknown.size() == 1 ? "" : fmt::format(", nor are {} others", unknown.size() - 1));
}

void check_finite(const Tensors& tensors, const std::string& file) {
  for (const auto& [name, tensor] : tensors)
    if (!std::all_of(tensor.data.begin(), tensor.data.end(), [](float x) { return std::isfinite(x); }))
      fail(ExitCode::data, "{}: {} has values that are not finite", file, name);
}

bool is_zip(const std::filesystem::path& path) {
  const MappedFile file(path);
  return file.bytes().size() > 4 && std::memcmp(file.bytes().data(), "PK\3\4", 4) == 0;
}
}  // namespace

Metadata config_metadata(const ViTConfig& config) {
  Metadata metadata = {{format_key, format_version}}, defaults;
  const ViTConfig plain;
  each_field(plain, [&](const char* name, const auto& value) { defaults[name] = fmt::format("{}", value); });
  each_field(config, [&](const char* name, const auto& value) {
    const std::string text = fmt::format("{}", value);
    if (!std::ranges::count(optional_fields, name) || text != defaults[name]) metadata[name] = text;
  });
  return metadata;
}

ViTConfig metadata_config(const Metadata& metadata, const std::string& where) {
  ViTConfig config;
  const auto version = metadata.find(format_key);
  if (version == metadata.end() || version->second != format_version)
    fail(ExitCode::data, "{}: expected weights of format {} {}", where, format_key, format_version);
  each_field(config, [&](const char* name, auto& value) {
    const auto found = metadata.find(name);
    if (found == metadata.end() && std::ranges::count(optional_fields, name)) return;
    if (found == metadata.end()) fail(ExitCode::data, "{}: metadata {} is missing", where, name);
    if (!parse(found->second, value)) fail(ExitCode::data, "{}: metadata {} is '{}'", where, name, found->second);
  });
  check_model(config, where);
  return config;
}

std::map<std::string, std::vector<int64_t>> weight_shapes(const ViTConfig& config) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const Parameter& parameter : ViT::parameter_list(config))
    for (int i = 0; i < parameter.shape.rank(); i++) shapes[parameter.name].push_back(parameter.shape[i]);
  return shapes;
}

Weights read_weights(const std::filesystem::path& path, const ViTConfig& wanted, bool any_values) {
  const std::string file = path.string();
  Weights weights;
  int heads = 0;
  if (is_zip(path)) {
    BigVisionWeights read = read_bigvision(path);
    weights.tensors = std::move(read.tensors);
    heads = read.heads;
  } else {
    const SafeTensors read(path);
    weights.tensors = read_timm_names(read, file);
    weights.metadata = read.metadata();
  }
  fold_token_position(weights.tensors);
  if (weights.metadata.contains(format_key)) {
    weights.config = metadata_config(weights.metadata, file);
    if (weights.config.position == "sincos2d") weights.tensors.erase("pos_embed");    // there for timm alone
  } else {
    weights.config = detect_config(weights.tensors, wanted, heads, file);
    check_model(weights.config, file);
  }
  check_tensors(weights.config, weights.tensors, file, ExitCode::data);
  if (!any_values) check_finite(weights.tensors, file);
  return weights;
}

void write_weights(const std::filesystem::path& path, const ViTConfig& config, const Tensors& tensors,
                   const Metadata& extra_metadata) {
  check_tensors(config, tensors, "cannot write " + path.string(), ExitCode::failed);
  Tensors added;    // what timm has and our ViT has not
  if (config.position == "sincos2d")
    added["pos_embed"] = {{1, config.grid() * config.grid(), config.width},
                          sincos2d(config.grid(), config.grid(), config.width)};
  if (config.pool == "cls") {
    if (config.position == "learned") added["pos_embed"] = tensors.at("pos_embed");
    auto& [shape, data] = added["pos_embed"];
    data.insert(data.begin(), size_t(config.width), 0.0f);
    shape[1]++;
  }
  for (int i = 0; config.qk_norm && i < config.depth; i++)
    for (const char* norm : {"q_norm", "k_norm"})
      added[fmt::format("blocks.{}.attn.{}.bias", i, norm)] = {{config.head_width()},
                                                               std::vector<float>(size_t(config.head_width()))};

  std::vector<StoredTensor> stored;
  const auto store = [&](const std::string& name, const NamedTensor& tensor) {
    stored.push_back({name, "F32", tensor.shape, std::as_bytes(std::span(tensor.data))});
  };
  for (const auto& [name, tensor] : added) store(name, tensor);
  for (const auto& [name, tensor] : tensors)
    if (!added.contains(name)) store(name, tensor);
  Metadata metadata = config_metadata(config);
  metadata.insert(extra_metadata.begin(), extra_metadata.end());
  write_safetensors(path, std::move(stored), std::move(metadata));
}

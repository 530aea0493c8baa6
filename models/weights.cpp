#include "models/weights.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/error.h"
#include "engine/safetensors.h"
#include "models/bigvision.h"
#include "models/foreign.h"
#include "models/vit.h"
#include "models/weights_file.h"

namespace {
using Tensors = std::map<std::string, NamedTensor>;
using Metadata = std::map<std::string, std::string>;

bool zero(const NamedTensor& tensor) {
  return std::all_of(tensor.data.begin(), tensor.data.end(), [](float x) { return x == 0; });
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
}  // namespace

std::map<std::string, std::vector<int64_t>> weight_shapes(const ViTConfig& config) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const Parameter& parameter : ViT::parameter_list(config))
    for (int i = 0; i < parameter.shape.rank(); i++) shapes[parameter.name].push_back(parameter.shape[i]);
  return shapes;
}

Weights read_weights(const std::filesystem::path& named, const Stated& stated, bool any_values) {
  Weights weights;
  const std::filesystem::path path = weights_file(named, weights.notes);
  const std::string file = path.string();
  const bool bigvision = is_zip(path);
  int heads = 0;
  if (bigvision) {
    BigVisionWeights read = read_bigvision(path);
    weights.tensors = std::move(read.tensors);
    heads = read.heads;
  } else {
    const SafeTensors read(path);
    if (read.metadata().contains(state_key))
      fail(ExitCode::data, "{} is a training state, for --resume; its weights are in {}", file,
           (path.parent_path() / "last.safetensors").string());
    weights.tensors = read_timm_names(read, file);
    weights.metadata = read.metadata();
  }
  fold_token_position(weights.tensors);
  if (weights.metadata.contains(format_key)) {
    weights.config = metadata_config(weights.metadata, file);
    if (weights.config.position == "sincos2d") weights.tensors.erase("pos_embed");    // there for timm alone
  } else {
    const auto [config, assumed] = foreign_config({path, weights.tensors, weights.metadata, bigvision, heads}, stated);
    weights.config = config;
    if (!assumed.empty())
      weights.notes.push_back(fmt::format("{} does not say these, which are assumed: {}", file, assumed));
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

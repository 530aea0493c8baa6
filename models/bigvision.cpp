#include "models/bigvision.h"

#include <algorithm>
#include <set>

#include "engine/error.h"
#include "engine/npy.h"

namespace {
using Names = std::map<std::string, std::string>;

const Names whole_names = {
    {"cls", "cls_token"}, {"pos_embedding", "pos_embed"}, {"MAPHead_0/probe", "attn_pool.latent"}};
const Names model_modules = {{"embedding", "patch_embed.proj"},
                             {"Transformer/encoder_norm", "norm"},
                             {"pre_logits", "pre_logits.fc"},
                             {"head", "head"}};
const Names block_modules = {{"LayerNorm_0", "norm1"},
                             {"MultiHeadDotProductAttention_0/query", "attn.query"},
                             {"MultiHeadDotProductAttention_0/key", "attn.key"},
                             {"MultiHeadDotProductAttention_0/value", "attn.value"},
                             {"MultiHeadDotProductAttention_0/query_ln", "attn.q_norm"},
                             {"MultiHeadDotProductAttention_0/key_ln", "attn.k_norm"},
                             {"MultiHeadDotProductAttention_0/gate", "attn.gate"},
                             {"MultiHeadDotProductAttention_0/out", "attn.proj"},
                             {"LayerNorm_1", "norm2"},
                             {"MlpBlock_0/Dense_0", "mlp.fc1"},
                             {"MlpBlock_0/Dense_1", "mlp.fc2"}};
const Names map_modules = {{"MultiHeadDotProductAttention_0/query", "q"},
                           {"MultiHeadDotProductAttention_0/key", "key"},
                           {"MultiHeadDotProductAttention_0/value", "value"},
                           {"MultiHeadDotProductAttention_0/out", "proj"},
                           {"LayerNorm_0", "norm"},
                           {"MlpBlock_0/Dense_0", "mlp.fc1"},
                           {"MlpBlock_0/Dense_1", "mlp.fc2"}};
const std::string block_prefix = "Transformer/encoderblock_", scan_prefix = "Transformer/encoderblock/",
                  map_prefix = "MAPHead_0/";

// Where the parameters are, as BigVision's own loader looks for them.
std::string parameter_prefix(const std::vector<std::string>& names) {
  for (const std::string prefix : {"params/", "opt/target/"})
    if (std::any_of(names.begin(), names.end(), [&](auto& name) { return name.starts_with(prefix); })) return prefix;
  return "";
}

// Calls visit(kind, number, end) for each numbered module in a path: "a/LayerNorm_2/scale" -> "a/LayerNorm_", 2, 13.
// Blocks count for themselves: a missing one must be missed, not closed up.
void each_module(const std::string& path, const std::function<void(const std::string&, int, size_t)>& visit) {
  for (size_t end = path.find('/'); end != path.npos; end = path.find('/', end + 1)) {
    const size_t digits = path.find_last_not_of("0123456789", end - 1) + 1;
    if (digits == end || end - digits > 6 || digits == 0 || path[digits - 1] != '_') continue;
    if (const std::string kind = path.substr(0, digits); kind != block_prefix)
      visit(kind, std::stoi(path.substr(digits, end - digits)), end);
  }
}

// Before flax's linen, modules were numbered over all of a parent's children (LayerNorm_0, MlpBlock_3); since, by kind.
Names renumbered(const std::map<std::string, Array>& arrays) {
  std::map<std::string, std::set<int>> numbers;
  for (const auto& [name, array] : arrays)
    each_module(name, [&](const std::string& kind, int number, size_t) { numbers[kind].insert(number); });
  Names renamed;
  for (const auto& [name, array] : arrays) {
    std::string& result = renamed[name];
    size_t done = 0;
    each_module(name, [&](const std::string& kind, int number, size_t end) {
      const auto& used = numbers[kind];
      result += kind.substr(done) + std::to_string(std::distance(used.begin(), used.find(number)));
      done = end;
    });
    result += name.substr(done);
  }
  return renamed;
}

// The name that today's code gives to a parameter of older code.
std::string modern(const std::string& name) {
  if (name == "Transformer/posembed_input/pos_embedding" || name == "Transformer/pos_embedding") return "pos_embedding";
  for (const std::string inlined : {"probe", "MlpBlock_0/", "MultiHeadDotProductAttention_0/", "LayerNorm_0/"})
    if (name.starts_with(inlined)) return map_prefix + name;
  return name;
}

// timm's name, "" for a parameter that this ViT does not have. Queries, keys and values are still apart.
std::string timm_name(const std::string& name) {
  if (const auto found = whole_names.find(name); found != whole_names.end()) return found->second;
  const size_t slash = std::min(name.rfind('/'), name.size() - 1);
  const std::string leaf = name.substr(slash + 1);
  const std::string suffix = leaf == "kernel" || leaf == "scale" ? ".weight" : leaf == "bias" ? ".bias" : "";
  std::string prefix, module = name.substr(0, slash);
  const Names* modules = &model_modules;
  if (module.starts_with(block_prefix)) {
    const size_t end = std::min(module.find('/', block_prefix.size()), module.size() - 1);
    prefix = "blocks." + module.substr(block_prefix.size(), end - block_prefix.size()) + ".";
    module = module.substr(end + 1);
    modules = &block_modules;
  } else if (module.starts_with(map_prefix)) {
    prefix = "attn_pool.";
    module = module.substr(map_prefix.size());
    modules = &map_modules;
  }
  const auto found = modules->find(module);
  return found == modules->end() || suffix.empty() ? "" : prefix + found->second + suffix;
}

// Which axis of BigVision's array is the heads', with their channels behind it; -1 where there is none.
int head_axis(const std::string& name) {
  const bool kernel = name.ends_with("/kernel"), output = name.find("Attention_0/out/") != name.npos;
  if (name.find("Attention_0/") == name.npos || !(kernel || (name.ends_with("/bias") && !output))) return -1;
  return kernel && !output ? 1 : 0;
}

// [a, b, c] -> [c, b, a]
std::vector<float> axes_reversed(const std::vector<float>& data, size_t a, size_t b, size_t c) {
  std::vector<float> reversed;
  reversed.reserve(data.size());
  for (size_t k = 0; k < c; k++)
    for (size_t j = 0; j < b; j++)
      for (size_t i = 0; i < a; i++) reversed.push_back(data[(i * b + j) * c + k]);
  return reversed;
}

// timm's layout. Seen as [a, b, c] every kernel only has its axes reversed: dense [1, in, out], convolution
// [P * P, 3, D], and of attention's [D, H, d] and [H, d, D] the two axes of the heads are one.
NamedTensor timm_layout(const std::string& name, const Array& array,
                        std::set<std::pair<int64_t, int64_t>>& head_shapes) {
  std::vector<int64_t> shape = array.shape;
  std::vector<float> data = array.floats();
  if (whole_names.contains(name)) return {shape, data};

  const bool kernel = name.ends_with("/kernel"), convolution = name == "embedding/kernel";
  const int axis = head_axis(name);
  const size_t rank = (convolution ? 4 : kernel ? 2 : 1) + (axis >= 0 ? 1 : 0);
  if (shape.size() != rank)
    fail(ExitCode::data, "{}: expected {} axes, got shape {}", array.where, rank, shape_text(shape));
  if (axis >= 0) {
    head_shapes.emplace(shape[axis], shape[axis + 1]);
    shape[axis] *= shape[axis + 1];
    shape.erase(shape.begin() + axis + 1);
  }
  if (!kernel) return {shape, data};

  const size_t a = convolution ? size_t(shape[0] * shape[1]) : 1, c = size_t(shape.back()), b = data.size() / a / c;
  if (convolution) shape = {shape[3], shape[2], shape[0], shape[1]};
  else std::swap(shape[0], shape[1]);
  return {shape, axes_reversed(data, a, b, c)};
}

// BigVision's name of one of ours, with queries, keys and values apart.
std::string bigvision_name(const std::string& timm) {
  for (const auto& [name, ours] : whole_names)
    if (ours == timm) return name;
  std::string prefix, module = timm;
  const Names* modules = &model_modules;
  if (timm.starts_with("blocks.")) {
    const size_t end = timm.find('.', 7);
    prefix = block_prefix + timm.substr(7, end - 7) + "/", module = timm.substr(end + 1), modules = &block_modules;
  } else if (timm.starts_with("attn_pool.")) {
    prefix = map_prefix, module = timm.substr(10), modules = &map_modules;
  }
  const size_t dot = module.rfind('.');
  for (const auto& [name, ours] : *modules)
    if (ours == module.substr(0, dot)) {
      const bool norm = name.find("LayerNorm_") != name.npos || name.ends_with("_norm") || name.ends_with("_ln");
      return prefix + name + (module.ends_with(".bias") ? "/bias" : norm ? "/scale" : "/kernel");
    }
  fail(ExitCode::failed, "{} has no name in BigVision; export to a .safetensors file", timm);
}

// The inverse of timm_layout, in float32.
Array bigvision_layout(const std::string& name, const NamedTensor& tensor, int64_t heads) {
  std::vector<int64_t> shape = tensor.shape;
  std::vector<float> data = tensor.data;
  if (name.ends_with("/kernel")) {
    data = axes_reversed(data, size_t(shape[0]), size_t(shape[1]), shape.size() == 4 ? size_t(shape[2] * shape[3]) : 1);
    if (shape.size() == 4) shape = {shape[2], shape[3], shape[1], shape[0]};
    else std::swap(shape[0], shape[1]);
  }
  if (const int axis = head_axis(name); axis >= 0) {
    shape.insert(shape.begin() + axis, heads);
    shape[axis + 1] /= heads;
  }
  const auto bytes = std::as_bytes(std::span(data));
  return {shape, "F32", {bytes.begin(), bytes.end()}, name};
}

// Scanned models keep each parameter of all blocks in one array with the depth in front.
void unstack(std::map<std::string, Array>& arrays) {
  for (auto next = arrays.begin(); next != arrays.end();) {
    if (!next->first.starts_with(scan_prefix)) { ++next; continue; }
    const auto stack = arrays.extract(next++);
    const auto& [shape, dtype, data, where] = stack.mapped();
    if (shape.empty()) fail(ExitCode::data, "{}: expected the depth as first axis, got a scalar", where);
    const size_t size = data.size() / size_t(shape[0]);
    for (size_t layer = 0; layer < size_t(shape[0]); layer++) {
      const std::string name = block_prefix + std::to_string(layer) + "/" + stack.key().substr(scan_prefix.size());
      const auto begin = data.begin() + long(layer * size);
      arrays[name] = {{shape.begin() + 1, shape.end()}, dtype, {begin, begin + long(size)}, where};
    }
  }
}

// Puts the rows of query, key and value (key and value in the MAP head) one below the other, as timm multiplies them.
void join_rows(std::map<std::string, NamedTensor>& tensors, const std::string& prefix,
               const std::vector<std::string>& parts, const std::string& joined, const std::string& file) {
  for (const std::string leaf : {".weight", ".bias"}) {
    NamedTensor whole;
    for (const std::string& part : parts) {
      const auto node = tensors.extract(prefix + part + leaf);
      if (node.empty()) fail(ExitCode::data, "{}: {}{}{} is missing", file, prefix, part, leaf);
      const NamedTensor& rows = node.mapped();
      if (whole.shape.empty()) whole.shape = rows.shape, whole.shape[0] = 0;
      if (!std::equal(rows.shape.begin() + 1, rows.shape.end(), whole.shape.begin() + 1, whole.shape.end()))
        fail(ExitCode::data, "{}: {}{}{} has shape {}, unlike {}", file, prefix, part, leaf, shape_text(rows.shape),
             parts[0]);
      whole.shape[0] += rows.shape[0];
      whole.data.insert(whole.data.end(), rows.data.begin(), rows.data.end());
    }
    tensors[prefix + joined + leaf] = std::move(whole);
  }
}
}  // namespace

BigVisionWeights read_bigvision(const std::filesystem::path& path) {
  const std::string file = path.string();
  std::map<std::string, Array> read = read_npz(path, parameter_prefix(npz_names(path)));
  std::map<std::string, Array> arrays;
  for (const auto& [name, new_name] : renumbered(read)) {
    Array& array = read.at(name);
    if (array.data.empty()) fail(ExitCode::data, "{}: shape {} has no elements", array.where, shape_text(array.shape));
    if (!arrays.try_emplace(modern(new_name), std::move(array)).second)
      fail(ExitCode::data, "{}: {} is there under another name too", file, name);
  }
  unstack(arrays);

  BigVisionWeights weights{};
  std::set<std::pair<int64_t, int64_t>> head_shapes;
  for (auto& [name, array] : arrays) {
    const std::string timm = timm_name(name);
    if (timm.empty()) fail(ExitCode::data, "{}: {} is no parameter of a BigVision ViT", array.where, name);
    if (!weights.tensors.emplace(timm, timm_layout(name, array, head_shapes)).second)
      fail(ExitCode::data, "{}: a second array for {}", array.where, timm);
    array.data = {};    // two copies of a large model are enough
  }
  if (head_shapes.size() != 1)
    fail(ExitCode::data, "{}: expected attention kernels [D, H, d] that agree in H and d, got {} kinds", file,
         head_shapes.size());
  weights.heads = int(head_shapes.begin()->first);

  std::set<std::string> attentions;
  for (const auto& [name, tensor] : weights.tensors)
    if (const size_t end = name.find("key."); end != name.npos) attentions.insert(name.substr(0, end));
  for (const std::string& prefix : attentions) {
    if (prefix == "attn_pool.") join_rows(weights.tensors, prefix, {"key", "value"}, "kv", file);
    else join_rows(weights.tensors, prefix, {"query", "key", "value"}, "qkv", file);
  }
  return weights;
}

void write_bigvision(const std::filesystem::path& path, const ViTConfig& config,
                     const std::map<std::string, NamedTensor>& tensors) {
  std::map<std::string, Array> arrays;
  const auto add = [&](const std::string& timm, const NamedTensor& tensor) {
    const std::string name = bigvision_name(timm);
    arrays["params/" + name] = bigvision_layout(name, tensor, config.heads);
  };
  for (const auto& [name, tensor] : tensors) {
    const bool qkv = name.find("attn.qkv.") != name.npos, kv = name.find("attn_pool.kv.") != name.npos;
    if (!qkv && !kv) {
      add(name, tensor);
      continue;
    }
    const std::vector<std::string> parts =
        qkv ? std::vector<std::string>{"query", "key", "value"} : std::vector<std::string>{"key", "value"};
    const size_t joined = name.rfind(qkv ? "qkv" : "kv"), values = tensor.data.size() / parts.size();
    for (size_t part = 0; part < parts.size(); part++) {
      NamedTensor rows{tensor.shape,
                       {tensor.data.begin() + long(part * values), tensor.data.begin() + long((part + 1) * values)}};
      rows.shape[0] /= int64_t(parts.size());
      add(name.substr(0, joined) + parts[part] + name.substr(name.rfind('.')), rows);
    }
  }
  write_npz(path, arrays);
}

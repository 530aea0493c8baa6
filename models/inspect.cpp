#include "models/inspect.h"
#include <algorithm>
#include <fmt/ranges.h>
#include "engine/error.h"
#include "engine/npy.h"
#include "engine/ops/loss.h"
#include "models/attention/list.h"
#include "models/diagnose.h"
#include "models/train_step.h"

namespace {

constexpr double most_activations = 4e9;          // bytes between forward and backward

const std::vector<std::string> maps{"S", "A", "dA", "dS"}, operands{"q", "k", "v", "dO", "dq", "dk", "dv"};

bool is_in(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<int> layers_of(const ViTConfig& c, const InspectOptions& o) {
  std::vector<int> all(c.depth);
  for (int i = 0; i < c.depth; i++) all[i] = i;
  return o.layers.empty() ? all : o.layers;
}

std::string text_of(int layer, const Place& p) {
  return fmt::format("attention shows it first in layer {}: {} of image {}, head {}, query rows {} to {}", layer, p.map,
                     p.image, p.head, p.first_row, p.first_row + p.rows - 1);
}

// The first layer on the way to the loss, else the first on the way back.
std::string broken_tile(const std::vector<std::unique_ptr<AttentionStatistics>>& probes) {
  for (size_t i = 0; i < probes.size(); i++)
    if (const auto& place = probes[i]->broken_forward()) return text_of(int(i), *place);
  for (size_t i = probes.size(); i-- > 0;)
    if (const auto& place = probes[i]->broken_backward()) return text_of(int(i), *place);
  return "scores, weights and their gradients are finite in every layer";
}

}  // namespace

double map_values(const ViTConfig& c, const InspectOptions& o, int pictures) {
  return double(pictures) * double(layers_of(c, o).size()) * c.attention_heads() * c.tokens() * c.tokens();
}

void check_arrays(const ViTConfig& c, const InspectOptions& o, int images) {
  for (const int layer : o.layers)
    if (layer < 0 || layer >= c.depth)
      fail(ExitCode::usage, "--layers: {} is none of the model's {} layers, which count from 0", layer, c.depth);
  double values = map_values(c, o, std::min(o.pictures, images));
  for (const std::string& name : o.arrays) {
    if (!is_in(maps, name) && !is_in(operands, name))
      fail(ExitCode::usage, "--npy: '{}' is unknown, expected some of {}, {}", name, fmt::join(maps, ", "),
           fmt::join(operands, ", "));
    values += double(images) * double(layers_of(c, o).size()) * c.attention_heads() * c.tokens() *
              AttentionStatistics::kept_width(c, name);
  }
  constexpr double most = 8e9;
  if (const double bytes = values * sizeof(float); bytes > most)
    fail(ExitCode::usage,
         "arrays and maps of {} images would take {:.1f} GB, expected at most {:.0f}: give fewer --images, --pictures, "
         "--layers or arrays",
         images, bytes / 1e9, most / 1e9);
}

Inspection inspect(const ViT& vit, const HostImages& images, std::span<const float> labels,
                   const InspectOptions& options) {
  const ViTConfig& c = vit.config();
  const size_t image = size_t(c.image_size) * c.image_size * 3;
  const int N = int(images.size() / image);
  check_arrays(c, options, N);
  Inspection result;
  result.config = c, result.images = N;
  std::vector<AttentionProbe*> probes;
  for (int i = 0; i < c.depth; i++) {
    result.probes.push_back(std::make_unique<AttentionStatistics>(c, N));
    if (!is_linear(c.attention)) probes.push_back(result.probes[i].get());
  }
  for (const int i : layers_of(c, options)) {
    if (options.pictures > 0) result.probes[i]->keep("A", std::min(N, options.pictures));
    for (const std::string& name : options.arrays) result.probes[i]->keep(name, N);
  }

  vit.parameters().forget_gradients();
  Tape tape(vit.parameters().device());
  std::string broken_op;
  const int most = std::max(1, int(most_activations / kept_bytes(c, false, false))),
            batch = std::min(options.batch, most);
  for (int first = 0; first < N; first += batch) {
    const int n = std::min(batch, N - first);
    for (auto& probe : result.probes) probe->first_image = first;
    tape.clear();
    Tensor x = images_leaf(tape, {n, c.image_size, c.image_size, 3}, images.part(first * image, n * image));
    Tensor y = tape.input("labels", {n, c.classes}, labels.subspan(size_t(first) * c.classes, size_t(n) * c.classes));
    Tensor logits = vit.forward(tape, x, probes);
    Tensor loss = mean(tape, loss_op(tape, options.loss, logits, y), N);
    tape.backward(loss);
    result.loss += tape.download(loss)[0];
    const bool finite = std::isfinite(result.loss) && std::isfinite(GlobalNorm(vit.parameters())());
    if (!finite && broken_op.empty())
      broken_op = fmt::format("images {} to {}: values that are not finite, {}", first, first + n - 1,
                              first_non_finite(tape, vit.parameters()));
  }
  for (const auto& probe : result.probes) result.heads.push_back(probe->heads());
  for (int i = 0; i < c.depth; i++) result.learned.push_back(learned_numbers(vit.parameters(), c, i));
  if (!broken_op.empty()) result.broken = broken_op + "; " + broken_tile(result.probes);
  for (const Parameter& p : vit.parameters().list()) {
    const auto norm = [](const std::vector<float>& values) {
      double squares = 0;
      for (const double v : values) squares += v * v;
      return std::sqrt(squares);
    };
    result.parameters.push_back(
        {p.name, p.shape.size(), norm(vit.parameters().get(p)), norm(vit.parameters().gradient(p))});
  }
  return result;
}

std::string statistics_csv(const Inspection& in) {
  std::string csv = "layer,head";
  for (const HeadColumn& column : head_columns()) csv += fmt::format(",{}", column.name);
  for (size_t layer = 0; layer < in.heads.size(); layer++)
    for (size_t head = 0; head < in.heads[layer].size() && in.has_weights(int(layer)); head++) {
      csv += fmt::format("\n{},{}", layer, head);
      for (const HeadColumn& column : head_columns())
        csv += fmt::format(",{:.9g}", column.value(in.heads[layer][head]));
    }
  return csv + "\n";
}

std::string parameters_csv(const Inspection& in) {
  std::string csv = "parameter,values,norm,gradient_norm\n";
  for (const ParameterStatistics& p : in.parameters)
    csv += fmt::format("{},{},{:.9g},{:.9g}\n", p.name, p.size, p.norm, p.gradient_norm);
  return csv;
}

std::vector<std::string> write_arrays(const Inspection& in, const InspectOptions& options,
                                      const std::filesystem::path& folder) {
  const ViTConfig& c = in.config;
  std::vector<std::string> written;
  for (const std::string& name : options.arrays)
    for (const int layer : layers_of(c, options)) {
      if (!in.has_weights(layer)) continue;
      const std::filesystem::path path = folder / fmt::format("{}-layer{}.npy", name, layer);
      write_npy(path, {in.images, c.attention_heads(), c.tokens(), AttentionStatistics::kept_width(c, name)},
                in.probes[layer]->kept(name));
      written.push_back(path.string());
    }
  return written;
}

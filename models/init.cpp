#include "models/init.h"
#include <algorithm>
#include <cmath>
#include <numeric>
#include "data/class_names.h"
#include "engine/console.h"
#include "engine/error.h"
#include "models/attention/list.h"
#include "models/checkpoint.h"

std::vector<float> resample_positions(const std::vector<float>& values, int from, int to) {
  const size_t D = values.size() / (size_t(from) * from);
  std::vector<float> resampled(size_t(to) * to * D);
  auto source = [&](int i) { return to == 1 ? 0.0 : double(i) * (from - 1) / (to - 1); };
  for (int y = 0; y < to; y++)
    for (int x = 0; x < to; x++) {
      const double sy = source(y), sx = source(x);
      const int y0 = std::min(int(sy), from - 1), x0 = std::min(int(sx), from - 1), y1 = std::min(y0 + 1, from - 1),
                x1 = std::min(x0 + 1, from - 1);
      for (size_t c = 0; c < D; c++) {
        auto at = [&](int row, int column) { return double(values[(size_t(row) * from + column) * D + c]); };
        const double top = std::lerp(at(y0, x0), at(y0, x1), sx - x0),
                     bottom = std::lerp(at(y1, x0), at(y1, x1), sx - x0);
        resampled[(size_t(y) * to + x) * D + c] = float(std::lerp(top, bottom, sy - y0));
      }
    }
  return resampled;
}

// The rows of a file's head for the classes of a model, in their order; none where the head has other classes.
static std::vector<int32_t> rows_of_head(const std::vector<std::string>& classes, const std::vector<std::string>& names,
                                         int count) {
  std::vector<int32_t> rows(count);
  std::iota(rows.begin(), rows.end(), 0);
  if (names.empty() || classes.empty()) return rows;
  const std::vector<int32_t> map = class_map(classes, names);
  if (std::any_of(map.begin(), map.end(), [](int32_t row) { return row < 0; }) || map.size() != names.size()) return {};
  std::copy(map.begin(), map.end(), rows.begin());        // a list may name the first classes only
  return rows;
}

// Of a foreign file only the number of heads may be missing; all else that is stated is of the model to be made.
static Weights read_for_init(const std::filesystem::path& path, const ViTConfig& config, bool heads_stated) {
  Stated stated{config};
  if (heads_stated) stated.fields = {"heads"};
  return read_weights(path, stated);
}

ViTConfig model_of(const std::filesystem::path& path, const Stated& stated) {
  const Weights weights = read_for_init(path, stated.config, stated.fields.contains("heads"));
  for (const std::string& note : weights.notes) print_log("note    {}\n", note);
  ViTConfig config = weights.config;
  config.head_bias = ViTConfig().head_bias;
  restate(config, stated);
  check_config(config);
  return config;
}

// What a file has and the model made from it has not, with the flags of the file's own model.
static std::string not_used(const Weights& weights, const ViT& vit) {
  std::string tensors, flags;
  for (const auto& [name, tensor] : weights.tensors)
    if (!vit.parameters().has(name)) tensors += (tensors.empty() ? "" : ", ") + name;
  const auto theirs = field_texts(weights.config), ours = field_texts(vit.config());
  for (const auto& [field, text] : theirs)
    if (text != ours.at(field) && field != "classes" && field != "head_bias" && field != "image_size")
      flags += fmt::format(" {} {}", flag_of(field), text);
  return (tensors.empty() ? "" : "; not used: " + tensors) + (flags.empty() ? "" : "; the file's model has" + flags);
}

std::string start_from(ViT& vit, const std::filesystem::path& path, const std::vector<std::string>& classes) {
  const Weights weights = read_for_init(path, vit.config(), true);
  const int grid = vit.config().grid(), stored_grid = weights.config.grid();
  const std::vector<std::string> names = class_names(weights.metadata, weights.config.classes, path);
  const int count = vit.config().classes;
  std::vector<int32_t> rows;
  if (weights.config.classes == count) rows = rows_of_head(classes, names, count);
  int taken = 0;
  std::string positions, kept, by_place;
  if (!rows.empty() && (classes.empty() || names.empty()))
    by_place = fmt::format("; the head's classes are taken by place: {} no classes",
                           names.empty() ? "it names" : "the images name");
  for (const Parameter& p : vit.parameters().list()) {
    const auto found = weights.tensors.find(p.name);
    const bool head = p.name.starts_with("head.");
    if (found == weights.tensors.end() || (head && rows.empty())) {
      kept += (kept.empty() ? "" : ", ") + p.name;
      continue;
    }
    if (p.name == "pos_embed" && grid != stored_grid) {
      vit.parameters().set(p.name, resample_positions(found->second.data, stored_grid, grid));
      positions = fmt::format(", position embeddings resampled from {0} x {0} to {1} x {1}", stored_grid, grid);
    } else if (head && found->second.data.size() == p.shape.size()) {
      const size_t width = found->second.data.size() / rows.size();
      std::vector<float> values(found->second.data.size());
      for (size_t c = 0; c < rows.size(); c++)
        std::copy_n(found->second.data.begin() + long(rows[c] * width), width, values.begin() + long(c * width));
      vit.parameters().set(p.name, values);
    } else if (found->second.data.size() == p.shape.size()) {
      vit.parameters().set(p.name, found->second.data);
    } else {
      fail(ExitCode::data, "--init {}: {} has {} values, expected {}; give the model the file's size", path.string(),
           p.name, found->second.data.size(), p.shape.text());
    }
    taken++;
  }
  return fmt::format("{} parameters of {}{}{}{}{}", taken, path.string(), positions, by_place,
                     kept.empty() ? "" : "; initialised anew: " + kept, not_used(weights, vit));
}

std::string at_image_size(Weights& weights, int image_size, std::optional<double> exponent) {
  ViTConfig& c = weights.config;
  const ViTConfig trained = c;
  c.image_size = image_size;
  check_config(c);
  if (const auto positions = weights.tensors.find("pos_embed");
      positions != weights.tensors.end() && c.grid() != trained.grid()) {
    positions->second.data = resample_positions(positions->second.data, trained.grid(), c.grid());
    positions->second.shape = weight_shapes(c).at("pos_embed");
  }
  const double L = trained.tokens(), other = c.tokens();
  const std::string lengths = fmt::format("trained with L = {} tokens, here there are {}", L, other);
  const bool learned = weights.tensors.contains("blocks.0.attn.alpha");
  if (exponent) {
    if (!has_alpha(c.attention)) fail(ExitCode::usage, "--alpha: {} has no exponent of L; leave it out", c.attention);
    if (learned) fail(ExitCode::usage, "--alpha: the exponents of this model were learned; leave it out");
    if (other < 2)
      fail(ExitCode::usage, "--alpha: at image size {} there is one token, of which every power is 1; leave it out",
           image_size);
    c.alpha = (trained.alpha * std::log(L) + *exponent * std::log(other / L)) / std::log(other);
  }
  if (!has_alpha(c.attention) || learned) return lengths;
  return lengths + fmt::format("; the weights' factor was {:.4g} and is {:.4g}", std::pow(L, -trained.alpha),
                               std::pow(other, -c.alpha));
}

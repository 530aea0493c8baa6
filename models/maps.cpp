#include "models/maps.h"
#include <algorithm>
#include <cmath>
#include "data/encode.h"
#include "engine/error.h"
#include "engine/text.h"
#include "models/page.h"

std::string Query::name() const {
  return kind == Kind::mean          ? "the mean of all queries"
         : kind == Kind::class_token ? "the class token"
                                     : fmt::format("the patch in row {}, column {}", row, column);
}

std::vector<Query> parse_queries(const std::vector<std::string>& texts, const TokenGrid& grid) {
  if (texts.empty())
    return {{grid.class_token ? Query::Kind::class_token : Query::Kind::mean},
            {Query::Kind::patch, grid.side / 2, grid.side / 2}};
  std::vector<Query> queries;
  for (const std::string& given : texts) {
    Query query;
    int end = 0;
    const std::string name = same_name(given, {"mean", "cls"}),
                      text = name.empty() ? std::string(trimmed(given)) : name;
    if (text == "mean") query.kind = Query::Kind::mean;
    else if (text == "cls" && grid.class_token) query.kind = Query::Kind::class_token;
    else if (std::sscanf(text.c_str(), "%d:%d%n", &query.row, &query.column, &end) == 2 && size_t(end) == text.size() &&
             std::min(query.row, query.column) >= 0 && std::max(query.row, query.column) < grid.side)
      query.kind = Query::Kind::patch;
    else
      fail(ExitCode::usage, "--queries: '{}', expected mean, {}ROW:COLUMN of a patch from 0:0 to {}:{}", text,
           grid.class_token ? "cls or " : "or (this model has no class token) ", grid.side - 1, grid.side - 1);
    queries.push_back(query);
  }
  return queries;
}

std::vector<double> query_map(const Query& query, std::span<const float> A, const TokenGrid& grid) {
  const int L = grid.tokens(), first = grid.class_token, N = grid.side * grid.side;
  const bool mean = query.kind == Query::Kind::mean;
  const int row = query.kind == Query::Kind::patch ? first + query.row * grid.side + query.column : 0;
  std::vector<double> map(N);
  for (int i = mean ? 0 : row; i < (mean ? L : row + 1); i++)
    for (int j = 0; j < N; j++) map[j] += A[size_t(i) * L + first + j] / (mean ? double(L) : 1);
  return map;
}

std::vector<double> rollout(const std::vector<std::span<const float>>& layers, int heads, const TokenGrid& grid) {
  const int L = grid.tokens(), first = grid.class_token;
  std::vector<double> r(L, first ? 0 : 1.0 / L);
  if (first) r[0] = 1;
  for (size_t layer = layers.size(); layer-- > 0;) {
    std::vector<double> next(L);
    for (int i = 0; i < L; i++) {
      double rest = r[i];                                              // what no head passes on stays where it is
      for (int h = 0; h < heads; h++) {
        const float* a = layers[layer].data() + (size_t(h) * L + i) * L;
        double mass = 0;
        for (int j = 0; j < L; j++) mass += std::abs(a[j]);
        if (!(mass > 0)) continue;
        const double share = r[i] / (2 * heads);
        for (int j = 0; j < L; j++) next[j] += share * std::abs(a[j]) / mass;
        rest -= share;
      }
      next[i] += rest;
    }
    r = next;
  }
  return {r.begin() + first, r.end()};
}

std::string map_html(const std::vector<double>& values, const TokenGrid& grid, int picture, const Query* query,
                     const std::string& caption) {
  double top = 0;
  for (const double v : values) if (std::isfinite(v)) top = std::max(top, std::abs(v));
  Image image{grid.side, grid.side, {}};
  for (const double v : values) {
    const double t = top > 0 && std::isfinite(v) ? std::abs(v) / top : 0;
    const auto fade = [&](double full) { return uint8_t(std::lround(255 - t * (255 - full))); };
    const uint8_t weak = fade(20), strong = fade(210), between = fade(60);
    if (v < 0) image.rgb.insert(image.rgb.end(), {weak, between, strong});
    else image.rgb.insert(image.rgb.end(), {strong, weak, weak});
  }
  std::string frame;
  if (query && query->kind == Query::Kind::patch) {
    const double step = 100.0 / grid.side;
    frame = fmt::format("<b style='left:{:.3f}%;top:{:.3f}%;width:{:.3f}%;height:{:.3f}%'></b>", query->column * step,
                        query->row * step, step, step);
  }
  return fmt::format("<div class=cell><div class='over p{}'><img alt='' src='{}'>{}</div>{}</div>\n", picture,
                     data_uri("image/png", encode_png(image)), frame, caption);
}

namespace {

// The part of an image that the patches cover.
Image seen_part(std::span<const uint8_t> image, int image_size, const TokenGrid& grid) {
  const int side = grid.side * grid.patch;
  Image part{side, side, {}};
  for (int y = 0; y < side; y++) {
    const auto row = image.subspan(size_t(y) * image_size * 3, size_t(side) * 3);
    part.rgb.insert(part.rgb.end(), row.begin(), row.end());
  }
  return part;
}

}  // namespace

std::string picture_html(std::span<const uint8_t> image, int image_size, const TokenGrid& grid) {
  return fmt::format("<div class=cell><img class=picture alt='' src='{}'>the picture</div>\n",
                     data_uri("image/png", encode_png(seen_part(image, image_size, grid))));
}

std::string picture_style(std::span<const uint8_t> images, int count, int image_size, const TokenGrid& grid) {
  std::string style =
      ".cells{display:grid;grid-template-columns:repeat(auto-fill,minmax(6.3rem,1fr));gap:.5rem;font-size:.75rem}.cell{"
      "min-width:0}.picture{width:100%;image-rendering:pixelated}"
      ".over{position:relative;aspect-ratio:1;background-size:100% 100%;image-rendering:pixelated}.over "
      "img{position:absolute;width:100%;height:100%;image-rendering:pixelated;mix-blend-mode:multiply}"
      ".over b{position:absolute;box-sizing:border-box;border:2px solid #000;outline:1px solid #fff}";
  const size_t size = size_t(image_size) * image_size * 3;
  for (int p = 0; p < count; p++) {
    Image gray = seen_part(images.subspan(p * size, size), image_size, grid);
    for (size_t i = 0; i < gray.rgb.size(); i += 3) {
      const int light = 135 + (gray.rgb[i] * 2 + gray.rgb[i + 1] * 5 + gray.rgb[i + 2]) / 8 * 120 / 255;
      std::fill_n(gray.rgb.begin() + long(i), 3, uint8_t(light));
    }
    style += fmt::format(".p{}{{background-image:url({})}}", p, data_uri("image/png", encode_png(gray)));
  }
  return style;
}

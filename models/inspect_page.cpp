#include "models/inspect_page.h"
#include <algorithm>
#include <numeric>
#include "engine/error.h"
#include "models/attention/form.h"
#include "models/head_plots.h"
#include "models/page.h"
#include "models/plot.h"
#include "models/words.h"

namespace {

using Histograms = AttentionStatistics::Histograms;

constexpr int most_lines = 7;  // more heads than there are colours: their mean alone

std::string number(double x) { return std::isfinite(x) ? fmt::format("{:.3g}", x) : "-"; }
std::string percent(double x) { return std::isfinite(x) ? fmt::format("{:.1f}", 100 * x) : "-"; }

// A number of every head by layer, and its mean over the heads that have it.
Plot by_layer(const Inspection& in, const HeadPlot& what, const HeadColumn& column) {
  Plot plot;
  plot.title = what.title, plot.x = "layer", plot.y = what.y, plot.marks = plot.whole_x = true;
  if (what.y[0] == '%') plot.low = 0, plot.high = 100;
  const int heads = in.config.attention_heads();
  for (int h = 0; h < (heads > most_lines ? 0 : heads); h++) {
    Series line{fmt::format("head {}", h), {}};
    for (size_t layer = 0; layer < in.heads.size(); layer++)
      line.points.emplace_back(layer, what.scale * column.value(in.heads[layer][h]));
    plot.series.push_back(line);
  }
  if (heads == 1) return plot;
  Series mean{"mean of heads", {}};
  for (size_t layer = 0; layer < in.heads.size(); layer++) {
    Moments values;
    for (const HeadStatistics& s : in.heads[layer])
      if (const double x = column.value(s); std::isfinite(x)) values.add(x);
    mean.points.emplace_back(layer, what.scale * values.mean());
  }
  plot.series.push_back(mean);
  return plot;
}

std::string layer_plots(const Inspection& in) {
  std::vector<Plot> plots;
  std::vector<std::string> looks;
  for (const HeadPlot& what : head_plots())
    plots.push_back(by_layer(in, what, head_column(what.column))), looks.push_back(what.look);
  return (in.config.pool == "cls"
              ? "<p>Of the last layer only the class token's row reaches the head; its numbers are of every row.</p>\n"
              : "") +
         figures(draw(plots), looks);
}

// Values that are not finite, or too large for a bin.
uint64_t beyond(const Histogram& h) { return h.counts.front() + h.counts.back(); }

// Of the rest and but for zeros: the magnitude below which a share of the counts lies, of both signs together.
double quantile(const Histogram& h, double share) {
  const double all = double(h.total() - h.counts[Histogram::side] - beyond(h));
  double below = 0;
  int k = 0;
  for (; k < Histogram::side - 1; k++) {
    below += double(h.counts[Histogram::side + 1 + k] + h.counts[Histogram::side - 1 - k]);
    if (below >= share * all) break;
  }
  return Histogram::edge(Histogram::side + 2 + k);
}

// Bins of equal width between -reach and reach, in % of all counts; a bin of the histogram is spread evenly over those
// it meets.
Series linear(const Histogram& h, double reach) {
  constexpr int n = 48;
  std::vector<double> bins(n + 1);
  const double width = 2 * reach / n, all = double(h.total());
  for (int b = 0; b < Histogram::bins; b++) {
    if (h.counts[b] == 0 || b == 0 || b == Histogram::bins - 1) continue;
    if (b == Histogram::side) {                                             // zeros: in one bin, as it is far narrower
      bins[n / 2] += 100 * double(h.counts[b]) / all;
      continue;
    }
    const double from = std::clamp(Histogram::edge(b), -reach, reach),
                 to = std::clamp(Histogram::edge(b + 1), -reach, reach);
    for (int i = std::max(0, int((from + reach) / width)); i < n && -reach + i * width < to; i++)
      bins[i] += 100 * double(h.counts[b]) / all *
                 (std::min(to, -reach + (i + 1) * width) - std::max(from, -reach + i * width)) /
                 (Histogram::edge(b + 1) - Histogram::edge(b));
  }
  Series line{"S", {}};
  for (int i = 0; i <= n; i++) line.points.emplace_back(-reach + i * width, bins[i]);
  return line;
}

// Magnitudes by octave, in % of all counts. sign: 1, -1, or 0 for both.
Series logarithmic(const Histogram& h, const std::string& name, int sign, double unit) {
  Series line{name, {}};
  const double all = double(h.total());
  for (int k = 0; k < Histogram::side; k += 8) {
    double count = 0;
    for (int i = k; i < k + 8; i++) {
      if (sign >= 0) count += double(h.counts[Histogram::side + 1 + i]);
      if (sign <= 0) count += double(h.counts[Histogram::side - 1 - i]);
    }
    line.points.emplace_back(Histogram::edge(Histogram::side + 1 + k) * unit, 100 * count / all);
  }
  return line;
}

std::string histograms(const Inspection& in) {
  const double L = in.config.tokens();
  Histogram S, A, gradients;
  for (size_t i = 0; i < in.heads.size(); i++)
    for (const Histograms& h : in.probes[i]->histograms())
      S.merge(h.S), A.merge(h.A), gradients.merge(h.dA), gradients.merge(h.dS);
  const double reach = quantile(S, 0.9995);
  std::vector<Plot> scores, weights, both;
  bool negative = false;
  for (size_t i = 0; i < in.heads.size(); i++)
    for (int head = 0; head < in.config.attention_heads() && in.has_weights(int(i)); head++) {
      const Histograms& h = in.probes[i]->histograms()[head];
      const HeadStatistics& s = in.heads[i][head];
      auto panel = [&](const std::string& note, const std::string& x) {
        Plot p;
        p.title = fmt::format("layer {} head {}{}", i, head, note), p.x = x, p.small = p.steps = true;
        return p;
      };
      Plot score = panel(
          beyond(h.S) ? fmt::format(": {:.1f} % not finite", 100 * double(beyond(h.S)) / double(h.S.total())) : "",
          "score");
      score.series = {linear(h.S, reach)}, score.from = -reach, score.to = reach;
      scores.push_back(score);
      Plot weight = panel(s.zero_share() > 0 ? fmt::format(": {:.0f} % are 0", 100 * s.zero_share()) : "", "|A| L");
      weight.series = {logarithmic(h.A, "above 0", 1, L)}, weight.log_x = true, weight.from = quantile(A, 0.002) * L,
      weight.to = quantile(A, 0.9999) * L;
      if (s.negative > 0) weight.series.push_back(logarithmic(h.A, "below 0", -1, L)), negative = true;
      weights.push_back(weight);
      Plot gradient = panel("", "|dA|, |dS|");
      gradient.series = {logarithmic(h.dA, "dA", 0, 1), logarithmic(h.dS, "dS", 0, 1)};
      gradient.log_x = true, gradient.from = quantile(gradients, 0.005), gradient.to = quantile(gradients, 0.9999);
      both.push_back(gradient);
    }
  auto group = [](const std::string& title, const std::vector<Plot>& plots, const std::string& look) {
    std::string html = "<h3>" + title + "</h3>\n<figure><div class=panels>";
    for (const std::string& svg : draw(plots)) html += "<div>" + svg + "</div>";
    return html + "</div><figcaption>" + look + "</figcaption></figure>\n";
  };
  return group("Scores S", scores,
               "Height: % of the head's scores in each of 48 bins. One narrow peak: the head hardly tells keys apart. "
               "A long tail to the right: it singles keys out. Where relu's part left of 0 is all there is, the head "
               "is dead.") +
         group("Weights A, in units of 1/L", weights,
               std::string("Height: % of the head's weights in each octave; logarithmic axis, so weights of exactly 0 "
                           "are told above the panel. At 1 a key has its even share.") +
                   (negative ? " Orange: weights below 0, by magnitude." : "")) +
         group("Gradients dA (blue) and dS (orange)", both,
               "Height: % of the gradients in each octave of magnitude. The distance between the curves is what the "
               "function takes away. Missing area of dS is where the slope is exactly 0.");
}

std::string number_table(const Inspection& in) {
  std::string html = "<table>" + table_row({"layer, head", "S mean ± std", "S range", "row sum, range", "0, %",
                                            "< 0, %", "keys", "entropy, nats", "dead rows, %", "duty, %", "flat, %",
                                            "‖dS‖/‖dA‖", "D mean ± std", "distance, px", "‖dq‖", "‖dk‖", "‖dv‖"},
                                           "th");
  for (size_t i = 0; i < in.heads.size(); i++)
    for (size_t h = 0; h < in.heads[i].size() && in.has_weights(int(i)); h++) {
      const HeadStatistics& s = in.heads[i][h];
      html +=
          table_row({fmt::format("{}, {}", i, h), number(s.S.mean()) + " ± " + number(s.S.std()),
                     number(s.S.min) + " to " + number(s.S.max),
                     number(s.row_sum.mean()) + ", " + number(s.row_sum.min) + " to " + number(s.row_sum.max),
                     percent(s.zero_share()), percent(s.negative_share()), number(s.keys.mean()),
                     number(s.entropy.mean()), percent(s.dead_share()), percent(s.duty()), percent(s.saturated_share()),
                     number(s.gradient_ratio()), number(s.D.mean()) + " ± " + number(s.D.std()),
                     number(s.distance.mean()), number(s.dq.norm()), number(s.dk.norm()), number(s.dv.norm())});
    }
  return html + "</table>\n<p>keys: the effective number 1/Σ p², of L = " + std::to_string(in.config.tokens()) +
         ". flat: scores where a bounded function (relu6, sigmoid, tanh, Laplace) is flat. statistics.csv has all of "
         "this and more.</p>\n";
}

std::string maps(const PageInput& p) {
  const ViTConfig& c = p.inspection.config;
  const int heads = c.attention_heads();
  const TokenGrid grid(c);
  const size_t LL = size_t(c.tokens()) * c.tokens(), image = size_t(c.image_size) * c.image_size * 3;
  bool whole = true;
  for (int i = 0; i < c.depth; i++) whole = whole && p.inspection.has_weights(i) && p.inspection.probes[i]->keeps("A");
  const std::string rollout_note =
      std::string(!whole ? ""
                         : " Rollout multiplies the layers: half of a token is itself, half the mean over heads of |A| "
                           "over its row's sum, so it has no sign; a query of a dead row is itself alone.") +
      (c.pool == "map" ? " The head reads the tokens by the weights of its own pooling query, which are not shown; "
                         "rollout ends in the mean of the tokens."
                       : "");
  std::string html =
      "<p>Red: weight above 0, blue: below 0, white: 0; each map to its own largest magnitude, which is written under "
      "it in units of the even share 1/L. The query's patch is framed. "
      "Look for maps that follow the object, that stay on the query's surroundings, or that are the same for every "
      "picture." +
      rollout_note + "</p>\n";
  for (int n = 0; n < p.pictures; n++) {
    html += fmt::format("<h3>Picture {}: {}</h3>\n<div class=cells>{}", n, escaped(p.labels[n]),
                        picture_html(p.pixels.subspan(n * image, image), c.image_size, grid));
    auto weights = [&](int layer) {
      return std::span(p.inspection.probes[layer]->kept("A")).subspan(n * heads * LL, heads * LL);
    };
    if (whole) {
      std::vector<std::span<const float>> all;
      for (int i = 0; i < c.depth; i++) all.push_back(weights(i));
      html += map_html(
          rollout(all, heads, grid), grid, n, nullptr,
          grid.class_token ? "rollout: what reaches the class token" : "rollout: what reaches the mean of the tokens");
    }
    html += "</div>\n";
    for (const Query& query : p.queries) {
      html += "<h4>Query: " + query.name() + "</h4>\n<div class=cells>";
      for (const int layer : p.layers)
        for (int h = 0; h < heads && p.inspection.has_weights(layer); h++) {
          const std::vector<double> map = query_map(query, weights(layer).subspan(h * LL, LL), grid);
          double top = 0;
          for (const double v : map) top = std::max(top, std::abs(v));
          html += map_html(map, grid, n, &query, fmt::format("layer {} head {}: {:.3g}", layer, h, top * c.tokens()));
        }
      html += "</div>\n";
    }
  }
  return html;
}

// What the heads have learned, layer by layer.
std::string learned_table(const std::vector<std::vector<LearnedNumber>>& learned) {
  if (learned.empty() || learned[0].empty()) return "";
  std::vector<std::string> names{"layer"};
  for (const LearnedNumber& number : learned[0])
    names.push_back(number.name + (number.values.size() > 1 ? ", head by head" : ""));
  std::string html = "<h2>Learned numbers</h2>\n<table>" + table_row(names, "th");
  for (size_t layer = 0; layer < learned.size(); layer++) {
    std::vector<std::string> cells{std::to_string(layer)};
    for (const LearnedNumber& number : learned[layer]) {
      std::string cell;
      for (const double x : number.values) cell += (cell.empty() ? "" : ", ") + fmt::format("{:.3f}", x);
      cells.push_back(cell);
    }
    html += table_row(cells);
  }
  return html +
         "</table>\n<p>alpha and gamma multiply the weights by gamma L^-alpha, temperature and bias make the score "
         "temperature s + bias; of layerscale the mean magnitude.</p>\n";
}

std::string parameter_table(const Inspection& in) {
  std::string html = "<details><summary>Norms of the parameters and their gradients</summary><table>" +
                     table_row({"parameter", "values", "‖w‖", "‖dw‖", "‖dw‖/‖w‖"}, "th");
  for (const ParameterStatistics& p : in.parameters)
    html += table_row(
        {p.name, std::to_string(p.size), number(p.norm), number(p.gradient_norm), number(p.gradient_norm / p.norm)});
  return html + "</table></details>\n";
}

}  // namespace

std::string inspection_page(const PageInput& p) {
  const Inspection& in = p.inspection;
  const std::string_view note = form_of(in.config).note();
  std::string html = fmt::format(
      "<p>{}<br>{} images of {}; {} loss {:.4f}. Gradients are those of the mean loss over these images.{}{}</p>\n"
      "<h2>In words</h2>\n",
      escaped(p.model), in.images, escaped(p.source), p.loss, in.loss, note.empty() ? "" : " ", note);
  html += p.words.empty() ? "<p>Nothing unusual.</p>\n" : "<ul>";
  for (const std::string& word : p.words) html += "<li>" + escaped(word) + "</li>\n";
  html +=
      std::string(p.words.empty() ? "" : "</ul>\n") + "<p class=small>" + escaped(what_diagnoses_look_for()) + "</p>\n";
  const bool any = std::any_of(in.heads.begin(), in.heads.end(), [](const auto& layer) { return layer[0].rows > 0; });
  if (any) {
    html += "<h2>Layer by layer</h2>\n" + layer_plots(in) + "<h2>Every head</h2>\n" + number_table(in);
    html += "<h2>Histograms, layer by layer and head by head</h2>\n" + histograms(in);
    if (p.pictures > 0) html += "<h2>Where queries look</h2>\n" + maps(p);
  }
  html += learned_table(in.learned) + "<h2>Parameters</h2>\n" + parameter_table(in);
  const std::string style =
      ".panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.3rem}.small{color:#444;font-"
      "size:.85rem}";
  return page("Inside a model", html,
              style + (any ? picture_style(p.pixels, p.pictures, in.config.image_size, TokenGrid(in.config)) : ""));
}

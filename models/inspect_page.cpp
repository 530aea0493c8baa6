#include "models/inspect_page.h"
#include <algorithm>
#include <numeric>
#include "engine/error.h"
#include "models/page.h"
#include "models/plot.h"
#include "models/words.h"

namespace {

using Histograms = AttentionStatistics::Histograms;

std::string number(double x) { return std::isfinite(x) ? fmt::format("{:.3g}", x) : "-"; }
std::string percent(double x) { return std::isfinite(x) ? fmt::format("{:.1f}", 100 * x) : "-"; }

// A number of every head by layer, and its mean over the heads.
Plot by_layer(const Inspection& in, const std::string& title, const std::string& y, double (*value)(const HeadStatistics&)) {
  Plot plot;
  plot.title = title, plot.x = "layer", plot.y = y, plot.marks = plot.whole_x = true;
  if (y[0] == '%') plot.low = 0, plot.high = 100;
  const int heads = in.config.heads;
  for (int h = 0; h <= heads; h++) {
    if (h < heads && heads > 7) continue;                                       // more than there are colours: the mean alone
    Series line;
    line.name = h < heads ? fmt::format("head {}", h) : "mean of heads";
    for (size_t layer = 0; layer < in.heads.size(); layer++) {
      double mean = 0;
      for (const HeadStatistics& s : in.heads[layer]) mean += value(s) / heads;
      line.points.emplace_back(layer, h < heads ? value(in.heads[layer][h]) : mean);
    }
    plot.series.push_back(line);
  }
  return plot;
}

std::string layer_plots(const Inspection& in) {
  const struct { const char *title, *y; double (*value)(const HeadStatistics&); const char* look; } rows[] = {
      {"Row sums of A", "mean of Σ_j A_ij", [](const HeadStatistics& s) { return s.row_sum.mean(); },
       "Softmax has 1 everywhere. Of order 1 is healthy; growing with the number of keys means that L^-α is missing; near 0, attention adds nothing."},
      {"Effective number of keys", "mean of 1/Σ p², keys", [](const HeadStatistics& s) { return s.keys.mean(); },
       "p is |A_ij| / Σ_j |A_ij|. Near 1 a query looks at one key alone; near L it averages all of them."},
      {"Weights that are 0", "% of weights", [](const HeadStatistics& s) { return 100 * s.zero_share(); },
       "Sparsity: relu has 50 % before training. 100 % is a dead head."},
      {"Duty: slopes that are not 0", "% of scores", [](const HeadStatistics& s) { return 100 * s.duty(); },
       "The share of scores that learn when their weight should change. Softmax, gelu and sigmoid have 100 %; relu learns only where its weight is not 0."},
      {"Gradient through the function", "‖dS‖/‖dA‖", [](const HeadStatistics& s) { return s.gradient_ratio(); },
       "How much of the gradient of the weights reaches the scores, and so q and k. About 1/L times the slope is natural; far less, and queries and keys stand still."},
      {"Spread of the scores", "standard deviation of S", [](const HeadStatistics& s) { return s.S.std(); },
       "Near 1 at initialisation. Growth sharpens attention; runaway growth is what --qk-norm prevents."},
      {"Attention distance", "mean distance, pixels", [](const HeadStatistics& s) { return s.distance.mean(); },
       "From a patch to those it looks at, by weight. Low layers often have near and far heads side by side; a flat line at the picture's mean distance means that place does not matter."},
      {"D_i = Σ_j A_ij dA_ij", "standard deviation over rows", [](const HeadStatistics& s) { return s.D.std(); },
       "What a change of the whole row's scale would change in the loss; softmax takes it off its gradient, pointwise functions do not."}};
  std::vector<Plot> plots;
  std::vector<std::string> looks;
  for (const auto& r : rows) plots.push_back(by_layer(in, r.title, r.y, r.value)), looks.push_back(r.look);
  return figures(draw(plots), looks);
}

// The magnitude below which a share of the counts lies, of both signs together.
double quantile(const Histogram& h, double share) {
  const double all = double(h.total() - h.counts[Histogram::side]);
  double below = 0;
  for (int k = 0; k < Histogram::side; k++) {
    below += double(h.counts[Histogram::side + 1 + k] + h.counts[Histogram::side - 1 - k]);
    if (below >= share * all) return Histogram::edge(Histogram::side + 2 + k);
  }
  return Histogram::edge(Histogram::bins);
}

// Bins of equal width between -reach and reach, in % of all counts; a bin of the histogram is spread evenly over those it meets.
Series linear(const Histogram& h, double reach) {
  constexpr int n = 48;
  std::vector<double> bins(n + 1);
  const double width = 2 * reach / n, all = double(h.total());
  for (int b = 0; b < Histogram::bins; b++) {
    if (h.counts[b] == 0) continue;
    const double from = std::clamp(Histogram::edge(b), -reach, reach), to = std::clamp(Histogram::edge(b + 1), -reach, reach);
    for (int i = std::max(0, int((from + reach) / width)); i < n && -reach + i * width < to; i++)
      bins[i] += 100 * double(h.counts[b]) / all * (std::min(to, -reach + (i + 1) * width) - std::max(from, -reach + i * width)) / (Histogram::edge(b + 1) - Histogram::edge(b));
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
    for (const Histograms& h : in.probes[i]->histograms()) S.merge(h.S), A.merge(h.A), gradients.merge(h.dA), gradients.merge(h.dS);
  const double reach = quantile(S, 0.9995);
  std::vector<Plot> scores, weights, both;
  bool negative = false;
  for (size_t i = 0; i < in.heads.size(); i++)
    for (int head = 0; head < in.config.heads && in.has_weights(int(i)); head++) {
      const Histograms& h = in.probes[i]->histograms()[head];
      const HeadStatistics& s = in.heads[i][head];
      auto panel = [&](const std::string& note, const std::string& x) {
        Plot p;
        p.title = fmt::format("layer {} head {}{}", i, head, note), p.x = x, p.small = p.steps = true;
        return p;
      };
      Plot score = panel("", "score");
      score.series = {linear(h.S, reach)}, score.from = -reach, score.to = reach;
      scores.push_back(score);
      Plot weight = panel(s.zero_share() > 0 ? fmt::format(": {:.0f} % are 0", 100 * s.zero_share()) : "", "|A| L");
      weight.series = {logarithmic(h.A, "above 0", 1, L)}, weight.log_x = true, weight.from = quantile(A, 0.002) * L, weight.to = quantile(A, 0.9999) * L;
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
  return group("Scores S", scores, "Height: % of the head's scores in each of 48 bins. One narrow peak: the head hardly tells keys apart. A long tail to the right: it singles keys out. Where relu's part left of 0 is all there is, the head is dead.") +
         group("Weights A, in units of 1/L", weights, std::string("Height: % of the head's weights in each octave; logarithmic axis, so weights of exactly 0 are told above the panel. At 1 a key has its even share.") +
               (negative ? " Orange: weights below 0, by magnitude." : "")) +
         group("Gradients dA (blue) and dS (orange)", both, "Height: % of the gradients in each octave of magnitude. The distance between the curves is what the function takes away. Missing area of dS is where the slope is exactly 0.");
}

std::string number_table(const Inspection& in) {
  std::string html = "<table>" + table_row({"layer, head", "S mean ± std", "S range", "row sum, range", "0, %", "< 0, %", "keys", "entropy, nats", "dead rows, %", "duty, %", "flat, %", "‖dS‖/‖dA‖", "D mean ± std",
                                            "distance, px", "‖dq‖", "‖dk‖", "‖dv‖"}, "th");
  for (size_t i = 0; i < in.heads.size(); i++)
    for (size_t h = 0; h < in.heads[i].size() && in.has_weights(int(i)); h++) {
      const HeadStatistics& s = in.heads[i][h];
      html += table_row({fmt::format("{}, {}", i, h), number(s.S.mean()) + " ± " + number(s.S.std()), number(s.S.min) + " to " + number(s.S.max),
                         number(s.row_sum.mean()) + ", " + number(s.row_sum.min) + " to " + number(s.row_sum.max), percent(s.zero_share()), percent(s.negative_share()), number(s.keys.mean()),
                         number(s.entropy.mean()), percent(s.dead_share()), percent(s.duty()), percent(s.saturated_share()), number(s.gradient_ratio()), number(s.D.mean()) + " ± " + number(s.D.std()),
                         number(s.distance.mean()), number(s.dq.norm()), number(s.dk.norm()), number(s.dv.norm())});
    }
  return html + "</table>\n<p>keys: the effective number 1/Σ p², of L = " + std::to_string(in.config.tokens()) + ". flat: scores where the function is flat (relu6, sigmoid). statistics.csv has all of this and more.</p>\n";
}

std::string maps(const PageInput& p) {
  const ViTConfig& c = p.inspection.config;
  const TokenGrid grid(c);
  const size_t LL = size_t(c.tokens()) * c.tokens(), image = size_t(c.image_size) * c.image_size * 3;
  bool whole = true;
  for (int i = 0; i < c.depth; i++) whole = whole && p.inspection.has_weights(i);
  std::string html = "<p>Red: weight above 0, blue: below 0, white: 0; each map to its own largest magnitude, which is written under it in units of the even share 1/L. The query's patch is framed. "
                     "Look for maps that follow the object, that stay on the query's surroundings, or that are the same for every picture.</p>\n";
  for (int n = 0; n < p.pictures; n++) {
    html += fmt::format("<h3>Picture {}: {}</h3>\n<div class=cells>{}", n, escaped(p.labels[n]), picture_html(p.images.subspan(n * image, image), c.image_size, grid, p.range));
    auto weights = [&](int layer) { return std::span(p.inspection.probes[layer]->kept("A")).subspan(n * c.heads * LL, c.heads * LL); };
    if (whole) {
      std::vector<std::span<const float>> all;
      for (int i = 0; i < c.depth; i++) all.push_back(weights(i));
      html += map_html(rollout(all, c.heads, grid), grid, n, nullptr, grid.class_token ? "rollout: what reaches the class token" : "rollout: what reaches the mean of the tokens");
    }
    html += "</div>\n";
    for (const Query& query : p.queries) {
      html += "<h4>Query: " + query.name() + "</h4>\n<div class=cells>";
      for (const int layer : p.layers)
        for (int h = 0; h < c.heads && p.inspection.has_weights(layer); h++) {
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

std::string parameter_table(const Inspection& in) {
  std::string html = "<details><summary>Norms of the parameters and their gradients</summary><table>" + table_row({"parameter", "values", "‖w‖", "‖dw‖", "‖dw‖/‖w‖"}, "th");
  for (const ParameterStatistics& p : in.parameters)
    html += table_row({p.name, std::to_string(p.size), number(p.norm), number(p.gradient_norm), number(p.gradient_norm / p.norm)});
  return html + "</table></details>\n";
}

}  // namespace

std::string inspection_page(const PageInput& p) {
  const Inspection& in = p.inspection;
  std::string html = fmt::format("<p>{}<br>{} images of {}; loss {:.4f}. Gradients are those of the mean loss over these images.</p>\n<h2>In words</h2>\n", escaped(p.model), in.images, escaped(p.source), in.loss);
  html += p.words.empty() ? "<p>Nothing unusual.</p>\n" : "<ul>";
  for (const std::string& word : p.words) html += "<li>" + escaped(word) + "</li>\n";
  html += std::string(p.words.empty() ? "" : "</ul>\n") + "<p class=small>" + escaped(what_diagnoses_look_for()) + "</p>\n";
  const bool any = std::any_of(in.heads.begin(), in.heads.end(), [](const auto& layer) { return layer[0].rows > 0; });
  if (any) {
    html += "<h2>Layer by layer</h2>\n" + layer_plots(in) + "<h2>Every head</h2>\n" + number_table(in);
    html += "<h2>Histograms, layer by layer and head by head</h2>\n" + histograms(in);
    if (p.pictures > 0) html += "<h2>Where queries look</h2>\n" + maps(p);
  }
  html += "<h2>Parameters</h2>\n" + parameter_table(in);
  const std::string style = ".panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.3rem}.small{color:#444;font-size:.85rem}";
  return page("Inside a model", html, style + (any ? picture_style(p.images, p.pictures, in.config.image_size, TokenGrid(in.config), p.range) : ""));
}

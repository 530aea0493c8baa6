#include "models/trajectories.h"
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>
#include "engine/error.h"
#include "engine/text.h"
#include "models/head_plots.h"
#include "models/page.h"
#include "models/plot.h"

namespace {

constexpr size_t most_lines = 8;

constexpr std::string_view learned_prefix = "learned.";

std::vector<HeadPlot> kinds(const std::vector<Trajectories>& runs) {
  std::vector<HeadPlot> list = head_plots();
  std::set<std::string> learned;
  for (const Trajectories& run : runs)
    for (const auto& [column, layers] : run.values)
      if (column.starts_with(learned_prefix)) learned.insert(column);
  for (const std::string& column : learned) {
    const std::string name = column.substr(learned_prefix.size());
    list.push_back({column, "Learned " + name, name + ", mean over heads",
                    "A number that attention learns: does it leave where it began, and do layers part?"});
  }
  return list;
}

Plot empty_plot(const HeadPlot& kind) {
  Plot plot;
  plot.title = kind.title, plot.x = "updates", plot.y = kind.y;
  return plot;
}

std::vector<std::pair<double, double>> scaled(std::vector<std::pair<double, double>> points, double scale) {
  for (auto& [x, y] : points) y *= scale;
  return points;
}

// A line for each layer, of many for some of them, evenly.
std::string by_layer(const Trajectories& run, const std::vector<HeadPlot>& kinds) {
  std::vector<Plot> plots;
  std::vector<std::string> looks;
  for (const HeadPlot& kind : kinds) {
    const auto found = run.values.find(kind.column);
    if (found == run.values.end()) continue;
    Plot plot = empty_plot(kind);
    const size_t layers = found->second.size(), lines = std::min(layers, most_lines);
    for (size_t i = 0; i < lines; i++) {
      const auto& [layer, points] =
          *std::next(found->second.begin(), long(lines > 1 ? i * (layers - 1) / (lines - 1) : 0));
      plot.series.push_back({fmt::format("layer {}", layer), scaled(points, kind.scale)});
    }
    plots.push_back(plot), looks.push_back(kind.look);
  }
  return figures(draw(plots), looks);
}

// A line for each run: the mean over its layers.
std::string by_run(const std::vector<Trajectories>& runs, const std::vector<HeadPlot>& kinds) {
  std::vector<Plot> plots;
  std::vector<std::string> looks;
  for (const HeadPlot& kind : kinds) {
    Plot plot = empty_plot(kind);
    for (const Trajectories& run : runs) {
      const auto found = run.values.find(kind.column);
      if (found == run.values.end() || plot.series.size() == most_lines) continue;
      std::map<double, std::pair<double, int>> sums;
      for (const auto& [layer, points] : found->second)
        for (const auto& [x, y] : points)
          if (std::isfinite(y)) sums[x].first += y, sums[x].second++;
      Series line{run.run, {}};
      for (const auto& [x, sum] : sums) line.points.emplace_back(x, kind.scale * sum.first / sum.second);
      plot.series.push_back(line);
    }
    if (!plot.series.empty()) plots.push_back(plot), looks.push_back(kind.look);
  }
  return figures(draw(plots), looks);
}

}  // namespace

Trajectories read_trajectories(const std::filesystem::path& folder, const std::string& name) {
  Trajectories run{name, {}};
  const std::filesystem::path path = folder / "inspect.csv";
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line)) return run;
  const std::vector<std::string> columns = split(line, ",");
  if (columns.size() < 3 || columns[0] != "step" || columns[1] != "layer" || columns[2] != "head")
    fail(ExitCode::data,
         "{}: the first line is '{}', expected step,layer,head,...; it is not from train --inspect-every",
         path.string(), line);
  std::map<std::pair<std::string, int>, std::map<double, std::pair<double, int>>> sums;
  while (std::getline(file, line)) {
    const std::vector<std::string> cells = split(line, ",");
    if (cells.size() != columns.size()) continue;      // a line that is being written
    for (size_t i = 3; i < cells.size(); i++) {
      char* end;
      const double value = std::strtod(cells[i].c_str(), &end);
      if (cells[i].empty() || *end) continue;
      auto& [sum, count] = sums[{columns[i], std::atoi(cells[1].c_str())}][std::atof(cells[0].c_str())];
      sum += value, count++;
    }
  }
  for (const auto& [key, steps] : sums)
    for (const auto& [step, sum] : steps) run.values[key.first][key.second].emplace_back(step, sum.first / sum.second);
  return run;
}

std::string trajectory_section(const std::vector<Trajectories>& all) {
  std::vector<Trajectories> runs;
  for (const Trajectories& run : all) if (!run.values.empty()) runs.push_back(run);
  if (runs.empty()) return "";
  const std::vector<HeadPlot> list = kinds(runs);
  std::string html = "<h2>Inside attention while training</h2>\n";
  if (runs.size() == 1) return html + by_layer(runs[0], list);
  html += fmt::format("<p>Means over layers and heads{}; each run layer by layer below.</p>\n",
                      runs.size() > most_lines ? fmt::format(" of the first {} runs", most_lines) : "") +
          by_run(runs, list);
  for (const Trajectories& run : runs)
    html +=
        "<details><summary>" + escaped(run.run) + ", layer by layer</summary>" + by_layer(run, list) + "</details>\n";
  return html;
}

#include "models/plot.h"
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <unistd.h>
#include "engine/error.h"
#include "engine/text.h"

namespace {

// Okabe and Ito's colours, which the colour-blind can tell apart; a ninth series begins again with dashes.
constexpr const char* colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                   "#E69F00", "#56B4E9", "#000000", "#999933"};

std::string quoted(const std::string& text) {
  std::string result;
  for (const char c : printable(text)) result += c == '\'' ? "''" : std::string{c};
  return '\'' + result + '\'';            // in single quotes gnuplot runs no commands
}

// One word of a shell's command, whatever is in it.
std::string shell_word(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '\'' ? "'\\''" : std::string{c};
  return '\'' + result + '\'';
}

// 1, 2 or 5 times a power of ten, at least x.
double round_step(double x) {
  const double power = std::pow(10, std::floor(std::log10(x)));
  for (const double step : {1, 2, 5}) if (step * power >= x) return step * power;
  return 10 * power;
}

std::string range(double from, double to, const char* otherwise) {
  return from < to ? fmt::format("[{}:{}]", from, to) : otherwise;
}

std::string script_of(const Plot& plot) {
  std::string script = fmt::format(
      "reset\nset terminal svg size {} dynamic enhanced background '#ffffff' font 'sans-serif,14'\nset title {} "
      "noenhanced\nset xlabel {} noenhanced\nset ylabel {} noenhanced\n"
      "set grid lc rgb '#dddddd'\nset border 3 lc rgb '#555555'\nset tics nomirror\nset autoscale xfixmin\nset "
      "autoscale xfixmax\nset xrange {}\nset yrange {}\n",
      plot.small ? "280,190" : "480,350", quoted(plot.title), quoted(plot.x), quoted(plot.y),
      range(plot.from, plot.to, "[*:*]"), range(plot.low, plot.high, plot.steps ? "[0:*]" : "[*:*]"));
  double most_x = 1, most_y = 0;
  for (const Series& s : plot.series)
    for (const auto& [x, y] : s.points)
      if (std::isfinite(y)) most_x = std::max(most_x, x), most_y = std::max(most_y, y);
  if (plot.small)
    script += fmt::format(
        "unset key\nset lmargin 4\nset rmargin 1.5\nset tmargin 2.2\nset bmargin 3\nset xlabel offset 0,0.5\nset ytics "
        "{}\n",
        most_y > 0 ? round_step(most_y / 2.5) : 1);
  else script += "set key tmargin center horizontal samplen 1.5 noenhanced\n";
  if (plot.log_x)
    script += fmt::format("set logscale x 10\nset format x '10^{{%T}}'\nset xtics {}\n",
                          plot.to > 1e3 * plot.from ? 100 : 10);
  if (plot.whole_x) script += fmt::format("set xtics {}\n", std::max(1.0, round_step(most_x / 12)));
  if (!plot.steps)
    script += fmt::format("set offsets graph {0}, graph {0}, graph 0.03, graph 0.03\n", plot.marks ? 0.03 : 0);
  std::string lines;
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const Series& s : plot.series)
    for (const auto& [x, y] : s.points)
      if (!s.level) low = std::min(low, x), high = std::max(high, x);
  if (!(low < high)) high = low + 1;
  for (size_t i = 0; i < plot.series.size(); i++) {
    const Series& s = plot.series[i];
    std::string data;
    if (s.level) for (const double x : {low, high}) data += fmt::format("{} {}\n", x, s.points.at(0).second);
    else
      for (const auto& [x, y] : s.points)
        if (std::isfinite(x) && std::isfinite(y)) data += fmt::format("{} {}\n", x, y);
    if (data.empty()) continue;                                                // gnuplot takes none for an error
    script += fmt::format("$data{} << END\n{}END\n", i, data);
    const std::string style = plot.steps ? "steps" : plot.marks && !s.level ? "linespoints pt 7 ps 0.7" : "lines";
    lines += fmt::format("{} $data{} using 1:2 with {} lw 2 lc rgb '{}' dt {} title {} noenhanced",
                         lines.empty() ? "plot" : ",", i, style, colours[i % std::size(colours)],
                         s.level                  ? 2
                         : i < std::size(colours) ? 1
                                                  : 4,
                         quoted(s.name));
  }
  if (lines.empty())
    lines =
        "unset logscale\nset xrange [0:1]\nset yrange [0:1]\nset label 'no finite values' at graph 0.5, 0.5 "
        "center\nplot NaN notitle";
  return script + lines + "\nset output\n";
}

}  // namespace

std::vector<std::string> draw(const std::vector<Plot>& plots) {
  if (plots.empty()) return {};
  const std::string folder = std::filesystem::temp_directory_path().string();
  std::string name = folder + "/relucent-plot-XXXXXX";
  const int descriptor = ::mkstemp(name.data());
  if (descriptor < 0)
    fail(ExitCode::failed, "cannot write to {}, where plots are prepared; name another folder in TMPDIR", folder);
  ::close(descriptor);
  std::ofstream script(name);
  for (const Plot& plot : plots) script << script_of(plot);
  script.close();
  FILE* pipe = ::popen(fmt::format("gnuplot -d {} 2>&1", shell_word(name)).c_str(), "r");      // -d: no ~/.gnuplot
  std::string output;
  char part[4096];
  for (size_t got; pipe && (got = std::fread(part, 1, sizeof part, pipe)) > 0;) output.append(part, got);
  const int status = pipe ? ::pclose(pipe) : -1;
  ::unlink(name.c_str());
  std::vector<std::string> drawn;
  constexpr std::string_view end_tag = "</svg>";
  for (size_t svg = output.find("<svg"), end; svg != output.npos && (end = output.find(end_tag, svg)) != output.npos;
       svg = output.find("<svg", end))
    drawn.push_back(output.substr(svg, end + end_tag.size() - svg));
  if (status != 0 || drawn.size() != plots.size())
    fail(ExitCode::failed, "gnuplot did not draw '{}': {}; plots need Debian's package gnuplot-nox",
         plots.front().title, output.substr(0, output.find('\n')));
  return drawn;
}

std::string draw(const Plot& plot) { return draw(std::vector{plot}).front(); }

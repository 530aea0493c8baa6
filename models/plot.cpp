#include "models/plot.h"
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <unistd.h>
#include "engine/error.h"

namespace {

// Okabe and Ito's colours, which the colour-blind can tell apart; a ninth series begins again with dashes.
constexpr const char* colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933"};

std::string quoted(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
  return '"' + result + '"';
}

std::string script_of(const Plot& plot) {
  std::string script = fmt::format("set terminal svg size 640,440 dynamic enhanced background '#ffffff' font 'sans-serif,14'\nset title {1} noenhanced\nset xlabel {2} noenhanced\nset ylabel {3} noenhanced\n"
                                   "set key outside bottom center horizontal noenhanced\nset grid lc rgb '#dddddd'\nset border 3 lc rgb '#555555'\nset tics nomirror\nset offsets graph {0}, graph {0}, graph 0.03, graph 0.03\nset autoscale xfixmin\nset autoscale xfixmax\n",
                                   plot.marks ? 0.03 : 0, quoted(plot.title), quoted(plot.x), quoted(plot.y));
  std::string lines;
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const Series& s : plot.series) for (const auto& [x, y] : s.points) if (!s.level) low = std::min(low, x), high = std::max(high, x);
  if (!(low < high)) high = low + 1;
  for (size_t i = 0; i < plot.series.size(); i++) {
    const Series& s = plot.series[i];
    script += fmt::format("$data{} << END\n", i);
    if (s.level) for (const double x : {low, high}) script += fmt::format("{} {}\n", x, s.points.at(0).second);
    else for (const auto& [x, y] : s.points) if (std::isfinite(x) && std::isfinite(y)) script += fmt::format("{} {}\n", x, y);
    script += "END\n";
    lines += fmt::format("{} $data{} using 1:2 with {} lw 2 lc rgb '{}' dt {} {}title {} noenhanced", i ? "," : "plot", i, plot.marks && !s.level ? "linespoints" : "lines",
                         colours[i % std::size(colours)], s.level ? 2 : i < std::size(colours) ? 1 : 4, plot.marks && !s.level ? "pt 7 ps 0.7 " : "", quoted(s.name));
  }
  return script + lines + "\n";
}

}  // namespace

std::string draw(const Plot& plot) {
  char name[] = "/tmp/relucent-plot-XXXXXX";
  const int descriptor = ::mkstemp(name);
  if (descriptor < 0) fail(ExitCode::failed, "cannot write to /tmp, where plots are prepared");
  ::close(descriptor);
  std::ofstream(name) << script_of(plot);
  FILE* pipe = ::popen(fmt::format("gnuplot {} 2>&1", name).c_str(), "r");
  std::string output;
  char part[4096];
  for (size_t got; pipe && (got = std::fread(part, 1, sizeof part, pipe)) > 0;) output.append(part, got);
  const int status = pipe ? ::pclose(pipe) : -1;
  ::unlink(name);
  const size_t svg = output.find("<svg");
  if (status != 0 || svg == output.npos)
    fail(ExitCode::failed, "gnuplot did not draw '{}': {}; plots need Debian's package gnuplot-nox", plot.title, output.substr(0, output.find('\n')));
  return output.substr(svg);
}

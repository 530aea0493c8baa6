// Line plots as SVG, drawn by gnuplot.
// defines: Series, Plot, draw
#pragma once
#include <string>
#include <utility>
#include <vector>

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;       // x, y; none that is not finite is drawn
  bool level = false;                                  // a horizontal line over the whole plot, of the first point's y
};

struct Plot {
  std::string title, x, y;                             // of the axes, with units
  std::vector<Series> series;
  bool marks = false;                                  // points on the lines: few values, each measured
};

// An <svg> element that scales with its page. Error with the package's name where there is no gnuplot.
std::string draw(const Plot& plot);

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
  bool log_x = false;
  bool steps = false;                                  // a histogram: each point is a bin's left edge and its height
  bool small = false;                                  // one of many beside each other: no key
  double from = 0, to = 0;                             // the x that is shown, where they differ
  double low = 0, high = 0;                            // the y that is shown, where they differ
  bool whole_x = false;                                // x counts: ticks at whole numbers
};

// An <svg> element each, which scales with its page. Error with the package's name where there is no gnuplot.
std::vector<std::string> draw(const std::vector<Plot>& plots);
std::string draw(const Plot& plot);

// The fixed position embedding of BigVision's models/vit.py (posemb "sincos2d").
// defines: sincos2d
#pragma once
#include <cmath>
#include <cstddef>
#include <vector>

// [grid * grid, width], row by row: sin(x w), cos(x w), sin(y w), cos(y w) with width/4 frequencies w from 1 to 1e-4.
inline std::vector<float> sincos2d(int grid, int width) {
  const int frequencies = width / 4;
  std::vector<float> table;
  table.reserve(size_t(grid) * size_t(grid) * size_t(width));
  for (int y = 0; y < grid; y++)
    for (int x = 0; x < grid; x++)
      for (const int position : {x, y})
        for (const bool cosine : {false, true})
          for (int k = 0; k < frequencies; k++) {
            const double angle = position * std::pow(10000.0, -double(k) / (frequencies - 1));
            table.push_back(float(cosine ? std::cos(angle) : std::sin(angle)));
          }
  return table;
}

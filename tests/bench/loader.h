// Speed of the loader: images/s of all workers, and what one image costs in its parts.
// defines: LoaderBench, bench_loader
#pragma once
#include <string>

struct LoaderBench {
  std::string data;
  int workers = 1, size = 224;
  double seconds = 10;
  bool eval = false;
};

// One line on stdout.
void bench_loader(const LoaderBench& bench);

// defines: peak_megabytes
#pragma once
#include <sys/resource.h>

// The largest resident memory of this process so far.
inline double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) / 1024;
}

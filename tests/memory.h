// How much memory this process has, and had at most.
// defines: mapped_bytes, peak_bytes
#pragma once
#include <cstdint>
#include <fstream>
#include <sys/resource.h>
#include <unistd.h>

inline uint64_t mapped_bytes() {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * uint64_t(::sysconf(_SC_PAGESIZE));
}

inline uint64_t peak_bytes() {    // in memory
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return uint64_t(usage.ru_maxrss) * 1024;
}

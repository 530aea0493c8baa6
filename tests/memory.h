// What this process has of memory, had at most, and took of time.
// defines: mapped_bytes, peak_bytes, cpu_seconds
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

inline double cpu_seconds() {    // with those of children that have ended: whatever else the machine does
  double seconds = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    ::getrusage(who, &usage);
    for (const timeval& time : {usage.ru_utime, usage.ru_stime})
      seconds += double(time.tv_sec) + 1e-6 * double(time.tv_usec);
  }
  return seconds;
}

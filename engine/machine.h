// What of the machine this process may use, and how its threads wait for each other.
// defines: usable_cores, cpu_quota, usable_memory, wait_briefly
#pragma once
#include <filesystem>

// Cores by affinity and by the CPU quota of control groups, at least 1.
int usable_cores();

// The least quota of the process's control groups and those around them, in cores; infinity where there is none.
// `groups` has a line for each hierarchy as /proc/self/cgroup (versions 1 and 2), `root` is where they are mounted.
double cpu_quota(const std::filesystem::path& groups = "/proc/self/cgroup",
                 const std::filesystem::path& root = "/sys/fs/cgroup");

// Bytes of memory that this process may fill: the machine's, or less where a control group (version 2) says so.
double usable_memory();

// GNU OpenMP's threads spin at every barrier until they are taken off the processor; where another program runs there,
// or a quota is used up by it, small models become ten times slower. Spinning for a moment and then sleeping is nearly
// as fast on a quiet machine. The runtime reads this before main(), so the program starts itself anew, once; where the
// user said how to wait (GOMP_SPINCOUNT, OMP_WAIT_POLICY) it does not.
void wait_briefly(char** argv);

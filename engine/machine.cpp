#include "engine/machine.h"
#include <sched.h>
#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <thread>
#include "engine/text.h"

namespace {

namespace fs = std::filesystem;
constexpr double none = std::numeric_limits<double>::infinity();

// quota / period of a file with both (version 2: "max 100000", "50000 100000") or of one each (version 1: -1 for none).
double quota_of(const fs::path& quota_file, const fs::path& period_file) {
  std::ifstream quota_text(quota_file), period_text(period_file);
  double quota = 0, period = 0;
  if (!(quota_text >> quota) || quota <= 0) return none;
  std::ifstream& rest = quota_file == period_file ? quota_text : period_text;
  return rest >> period && period > 0 ? quota / period : none;
}

// The least on the way from a group up to `mount`. In a container the path may be that of the host: then it is passed
// over.
double least_quota(const fs::path& mount, fs::path group, const char* quota, const char* period) {
  double least = none;
  for (group = group.relative_path();; group = group.parent_path()) {
    const fs::path folder = group.empty() ? mount : mount / group;
    least = std::min(least, quota_of(folder / quota, folder / period));
    if (group.empty()) return least;
  }
}

}  // namespace

double cpu_quota(const fs::path& groups, const fs::path& root) {
  std::ifstream file(groups);
  double least = none;
  for (std::string line; std::getline(file, line);) {             // number:controllers:path
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty())
      for (const fs::path& mount : {root, root / "unified"})
        least = std::min(least, least_quota(mount, path, "cpu.max", "cpu.max"));
    const std::vector<std::string> names = split(controllers, ",");
    if (std::find(names.begin(), names.end(), "cpu") == names.end()) continue;
    for (const fs::path& mount : {root / "cpu", root / controllers})
      least = std::min(least, least_quota(mount, path, "cpu.cfs_quota_us", "cpu.cfs_period_us"));
  }
  return least;
}

int usable_cores() {
  cpu_set_t set;
  const int affinity =
      sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : int(std::thread::hardware_concurrency());
  return int(std::clamp(std::round(cpu_quota()), 1.0, double(std::max(1, affinity))));
}

double usable_memory() {
  double least = double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGESIZE));
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (!line.starts_with("0::")) continue;
    for (fs::path group = fs::path(line.substr(3)).relative_path();; group = group.parent_path()) {
      double bytes;
      if (std::ifstream("/sys/fs/cgroup" / group / "memory.max") >> bytes) least = std::min(least, bytes);  // or "max"
      if (group.empty()) break;
    }
  }
  return least;
}

void wait_briefly(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
  setenv("GOMP_SPINCOUNT", "1000", 1);
  execv("/proc/self/exe", argv);                                  // where that cannot be, it goes on as it is
}

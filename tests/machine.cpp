// What of a machine a process may use: affinity, quotas of control groups, and how threads wait.
#include <doctest/doctest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmath>
#include <fstream>
#include "engine/machine.h"
#include "tests/run_program.h"
#include "tests/temp_dir.h"

TEST_SUITE_BEGIN("machine");

namespace {

namespace fs = std::filesystem;

// A tree of control groups: path -> content of a file, and the groups of a process.
double quota(const std::string& groups, const std::vector<std::pair<std::string, std::string>>& files) {
  TempDir dir;
  for (const auto& [path, content] : files) {
    fs::create_directories((dir.path() / "cgroup" / path).parent_path());
    std::ofstream(dir.path() / "cgroup" / path) << content;
  }
  std::ofstream(dir.path() / "groups") << groups;
  return cpu_quota(dir.path() / "groups", dir.path() / "cgroup");
}

}  // namespace

TEST_CASE("the CPU quota is the least of the groups on the way up, of both versions") {
  CHECK(quota("0::/a/b\n", {{"a/b/cpu.max", "50000 100000\n"}, {"a/cpu.max", "max 100000\n"}}) == 0.5);
  CHECK(quota("0::/a/b\n", {{"a/b/cpu.max", "max 100000\n"}, {"a/cpu.max", "150000 100000\n"}}) == 1.5);
  CHECK(std::isinf(quota("0::/a/b\n", {{"a/b/cpu.max", "max 100000\n"}})));
  CHECK(quota("0::/only/on/the/host\n", {{"cpu.max", "200000 100000\n"}}) == 2);
  CHECK(quota("1:name=systemd:/\n0::/x\n", {{"unified/x/cpu.max", "30000 10000\n"}}) == 3);
  const std::string version1 = "4:memory:/m\n3:cpuset:/x\n2:cpu,cpuacct:/g\n";
  CHECK(quota(version1,
              {{"cpu,cpuacct/g/cpu.cfs_quota_us", "25000\n"}, {"cpu,cpuacct/g/cpu.cfs_period_us", "50000\n"}}) == 0.5);
  CHECK(quota("2:cpu:/g\n", {{"cpu/g/cpu.cfs_quota_us", "70000\n"}, {"cpu/g/cpu.cfs_period_us", "10000\n"}}) == 7);
  CHECK(std::isinf(
      quota(version1, {{"cpu,cpuacct/g/cpu.cfs_quota_us", "-1\n"}, {"cpu,cpuacct/g/cpu.cfs_period_us", "50000\n"}})));
  CHECK(std::isinf(
      quota(version1, {{"cpuset/x/cpu.cfs_quota_us", "25000\n"}, {"cpuset/x/cpu.cfs_period_us", "50000\n"}})));
  for (const char* damaged : {"", "nonsense", "50000", "50000 0", "-5 100000"})
    CHECK(std::isinf(quota("0::/\n", {{"cpu.max", damaged}})));
  CHECK(std::isinf(quota("", {})));
  CHECK(std::isinf(cpu_quota("/none/at/all", "/none")));
}

TEST_CASE("threads are as many as the cores that affinity leaves") {
  const pid_t child = fork();
  if (child == 0) {
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
      if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
    _exit(usable_cores());
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WEXITSTATUS(status) == 1);
  CHECK(usable_cores() >= 1);
}

// What a started program's environment says of waiting, as it stands in /proc while it runs.
TEST_CASE("programs start their threads so that they soon sleep, unless the user says how they wait") {
  const auto spin_count = [](const std::vector<std::pair<const char*, const char*>>& environment) {
    for (const char* name : {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}) unsetenv(name);
    for (const auto& [name, value] : environment) setenv(name, value, 1);
    TempDir dir;
    Child child("train", arguments_of(train_flags(dir.path() / "run", {{"--steps", "1000000"}})));
    child.wait_until([&] { return fs::exists(dir.path() / "run" / "config.toml"); });
    const std::string block = read_text("/proc/" + std::to_string(child.id()) + "/environ");
    child.signal(SIGKILL);
    child.wait();
    setenv("GOMP_SPINCOUNT", "1000", 1), unsetenv("OMP_WAIT_POLICY");
    const std::string entries = '\0' + block, name = std::string(1, '\0') + "GOMP_SPINCOUNT=";
    const size_t at = entries.find(name);
    return at == entries.npos ? std::string("none") : std::string(entries.c_str() + at + name.size());
  };
  CHECK(spin_count({}) == "1000");
  CHECK(spin_count({{"GOMP_SPINCOUNT", "77"}}) == "77");
  CHECK(spin_count({{"OMP_WAIT_POLICY", "passive"}}) == "none");
}

TEST_SUITE_END();

// An index of a million images: its time, and its memory, from the shard and from the cache.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <fstream>
#include <malloc.h>
#include <unistd.h>

#include "data/index.h"
#include "tests/tar_builder.h"
#include "tests/temp_dir.h"

namespace {
constexpr int count = 1'000'000, between_holes = 16, hole = between_holes * 10'240, classes = 1000;

std::string key_of(int i) { return fmt::format("{:07}", i); }
int label_of(int i) { return int(i * 7919LL % classes); }
bool holds_hole(int i) { return i % between_holes == between_holes - 1; }

// 10 kB an image on average, as holes: one image in 16 has the bytes of all. 1.6 GB on the disk, of 11.8.
std::string write_sparse_shard(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(file >= 0);
  std::string buffer;
  const auto header = [](const std::string& name, size_t size) {
    return tar_entry(name, "", '0', fmt::format("{:011o}", size) + '\0');
  };
  off_t at = 0;
  for (int i = 0; i < count; i++) {
    buffer += tar_entry(key_of(i) + ".cls", std::to_string(label_of(i)));
    buffer += header(key_of(i) + ".jpg", holds_hole(i) ? hole : 0);
    if (!holds_hole(i)) continue;
    REQUIRE(::pwrite(file, buffer.data(), buffer.size(), at) == ssize_t(buffer.size()));
    at += off_t(buffer.size()) + hole;
    buffer.clear();
  }
  REQUIRE(::ftruncate(file, at + 1024) == 0);
  ::close(file);
  return path.string();
}

// A line of /proc/self/status, in MB.
double memory(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field + ":")) return std::stod(line.substr(field.size() + 1)) / 1024;
  return 0;
}

// Live bytes, in MB: what is resident also counts what other tests have freed.
double allocated() {
  const struct mallinfo2 info = ::mallinfo2();
  return double(info.uordblks + info.hblkhd) / (1 << 20);
}

// "5" sets the peak back to what is resident now.
void forget_peak() { std::ofstream("/proc/self/clear_refs") << 5; }

struct Opened {
  Index index;
  double seconds, held, peak;    // MB
};

Opened open(const std::string& shard, const std::filesystem::path& cache) {
  forget_peak();
  const double before = memory("VmRSS"), before_held = allocated();
  const auto start = std::chrono::steady_clock::now();
  Index index = Index::open(shard, cache);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return {std::move(index), seconds.count(), allocated() - before_held, memory("VmHWM") - before};
}

void check(const Index& index) {
  REQUIRE(index.size() == count);
  CHECK(index.max_label() == classes - 1);
  for (int i = 0; i < count; i += 12'345) {
    CHECK(index.label(size_t(i)) == label_of(i));
    CHECK(index.key(size_t(i)) == key_of(i));
  }
  std::vector<uint8_t> bytes;
  index.read(between_holes - 1, bytes);
  CHECK(bytes == std::vector<uint8_t>(hole, 0));
}
}  // namespace

TEST_SUITE("big index") {
  TEST_CASE("a million images are indexed in seconds, and at once from the cache, in 16 bytes each") {
    if (!std::getenv("RELUCENT_BIG_TESTS")) {
      MESSAGE("skipped: an index of a million images (2 GB on the disk); set RELUCENT_BIG_TESTS to run it");
      return;
    }
    TempDir dir;
    const std::string shard = write_sparse_shard(dir.path() / "s.tar");
    const auto opened = [&](bool from_cache) {
      Opened opened = open(shard, dir.path() / "cache");
      check(opened.index);
      CHECK(opened.index.from_cache() == from_cache);
      CHECK(opened.held < 16 + 1);
      CHECK(opened.peak < 5 * 16);    // what has grown by copying, hashes of keys, and the cache as it is written
      MESSAGE((from_cache ? "from the cache: " : "from the shard: ")
              << fmt::format("{:.3f} s, {:.1f} MB, at most {:.1f} MB", opened.seconds, opened.held, opened.peak));
      return opened.seconds;
    };
    const double scanned = opened(false), cached = std::min({opened(true), opened(true), opened(true)});
    CHECK(scanned < 20);
    CHECK(cached < scanned / 4);
  }
}

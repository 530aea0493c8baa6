// Memory of the tape: cut from slabs, joined again, asked for once.
#include <doctest/doctest.h>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>
#include "engine/pool.h"
#include "tests/error_of.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("pool");

namespace {

constexpr size_t MiB = size_t(1) << 20;
// Slabs lie side by side, as two of a device may.
struct Slabs final : CountingDevice {
  explicit Slabs(size_t bytes) : bytes(bytes) {}
  size_t slab(size_t) const override { return bytes; }
  void* allocate(size_t n) override { allocations++; return memory.get() + std::exchange(used, used + n); }
  void release(void*) override { releases++; }
  size_t bytes, used = 0;
  std::unique_ptr<char, void (*)(void*)> memory{static_cast<char*>(std::aligned_alloc(256, 256 * MiB)), std::free};
};
char* address(real* block) { return reinterpret_cast<char*>(block); }
real* take(Pool& pool, double mib) { return pool.take<real>(size_t(mib * double(MiB)) / sizeof(real)); }
void give(Pool& pool, real* block, double mib) { pool.give(block, size_t(mib * double(MiB)) / sizeof(real)); }

}  // namespace

TEST_CASE("the smallest piece that fits is cut to size, and neighbours are joined again") {
  Slabs device(64 * MiB);
  Pool pool(device);
  real *a = take(pool, 4), *b = take(pool, 3), *c = take(pool, 2), *d = take(pool, 5);
  CHECK(device.allocations == 1);
  give(pool, a, 4), give(pool, c, 2);
  real* e = take(pool, 1.5);
  CHECK(e == c);                                              // not in the larger piece before it
  CHECK(address(take(pool, 3.5)) == address(a));
  CHECK(pool.bytes_held() == 14 * MiB);
  give(pool, a, 3.5), give(pool, e, 1.5), give(pool, b, 3), give(pool, d, 5);
  CHECK(take(pool, 20) == a);
  CHECK(pool.bytes_held() == 20 * MiB);
  CHECK(device.allocations == 1);
}

TEST_CASE("small blocks leave large ones whole") {
  Slabs device(64 * MiB);
  Pool pool(device);
  real* large = take(pool, 8);
  real* next = take(pool, 4);
  give(pool, large, 8);
  real* small = take(pool, 0.25);
  CHECK(take(pool, 8) == large);
  CHECK(small != next);
  CHECK(device.allocations == 2);
}

TEST_CASE("pieces of two slabs are never one, and all go back to the device") {
  Slabs device(0);
  {
    Pool pool(device);
    real *a = take(pool, 2), *b = take(pool, 2), *c = take(pool, 2);
    CHECK(device.allocations == 3);
    for (real* block : {b, a, c}) give(pool, block, 2);
    take(pool, 4);
    CHECK(device.allocations == 4);
    for (int i = 0; i < 3; i++) take(pool, 2);
    CHECK(device.allocations == 4);
    CHECK(pool.bytes_held() == 10 * MiB);
  }
  CHECK(device.releases == 4);
}

TEST_CASE("where a slab cannot be had the block alone is asked for, and its size is in the error") {
  struct Little final : CountingDevice {
    size_t slab(size_t) const override { return 64 * MiB; }
    void* allocate(size_t n) override {
      if (n > 3 * MiB) fail(ExitCode::failed, "out of memory: {} MiB asked for", n / MiB);
      return CountingDevice::allocate(n);
    }
  } device;
  Pool pool(device);
  take(pool, 2), take(pool, 3);
  CHECK(device.allocations == 2);
  CHECK(says(error_of(ExitCode::failed, [&] { take(pool, 5); }), {"5 MiB"}));
}

TEST_CASE("blocks begin where every device can read them fast") {
  Slabs device(4 * MiB);
  Pool pool(device);
  for (size_t n : {1, 3, 64, 1000, 300'001}) CHECK(reinterpret_cast<uintptr_t>(pool.take<real>(n)) % 64 == 0);
}

TEST_SUITE_END();

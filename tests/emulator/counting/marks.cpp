// Which bytes of device memory the running launch has read and written. Kernels are compiled with -fsanitize=thread, by
// which g++ calls a function at each access; here these mark the bytes, in place of TSan's, which look for races.
#include "tests/emulator/counting/marks.h"
#include <algorithm>
#include <array>
#include <bit>
#include <unordered_map>
#include "tests/emulator/scheduler.h"

namespace {

constexpr uintptr_t granule_bytes = 256;                         // cudaMalloc gives whole ones
using Bits = std::array<uint64_t, granule_bytes / 64>;           // one a byte
struct Granule { Bits read{}, written{}; };

// Inline functions that host code shares with the kernels call the hooks too, at any time and on any thread.
thread_local bool marking = false;
// Of device memory that the running launch touched, by their number, which is address / granule_bytes.
std::unordered_map<uintptr_t, Granule> granules;
struct Seen { uintptr_t number; Granule* granule; };             // null: no device memory
Seen seen[1024];                                                 // the last to be found, at number % 1024

Granule* find(uintptr_t number) {
  Seen& s = seen[number % std::size(seen)];
  if (s.number == number) return s.granule;
  const bool is_device = emulator::is_device(reinterpret_cast<void*>(number * granule_bytes));
  s = {number, is_device ? &granules[number] : nullptr};
  return s.granule;
}

template <Bits Granule::*bits> void mark(const void* pointer, size_t bytes) {
  if (!marking) return;
  for (uintptr_t at = reinterpret_cast<uintptr_t>(pointer), end = at + bytes; at < end;) {
    const uintptr_t bit = at % 64, n = std::min(end - at, 64 - bit);
    Granule* const granule = find(at / granule_bytes);
    if (granule) (granule->*bits)[at % granule_bytes / 64] |= ~uint64_t(0) >> (64 - n) << bit;
    at += n;
  }
}

uint64_t count(const Bits& bits) {
  uint64_t n = 0;
  for (const uint64_t word : bits) n += uint64_t(std::popcount(word));
  return n;
}

}  // namespace

void begin_marking() {
  std::ranges::fill(seen, Seen{});
  marking = true;
}

Moved end_marking() {
  marking = false;
  Moved moved;
  for (const auto& [number, granule] : granules) {
    moved.read += count(granule.read);
    moved.written += count(granule.written);
  }
  granules.clear();
  return moved;
}

#define HOOKS_OF(bytes, kind)                                                                            \
  void __tsan_##kind##read##bytes(void* at) { mark<&Granule::read>(at, bytes); }                         \
  void __tsan_##kind##write##bytes(void* at) { mark<&Granule::written>(at, bytes); }

extern "C" {
HOOKS_OF(1, ) HOOKS_OF(2, ) HOOKS_OF(4, ) HOOKS_OF(8, ) HOOKS_OF(16, )
HOOKS_OF(2, unaligned_) HOOKS_OF(4, unaligned_) HOOKS_OF(8, unaligned_) HOOKS_OF(16, unaligned_)
void __tsan_read_range(void* at, size_t bytes) { mark<&Granule::read>(at, bytes); }
void __tsan_write_range(void* at, size_t bytes) { mark<&Granule::written>(at, bytes); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
}

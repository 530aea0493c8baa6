// The copies of engine/cuda/copy.h: done when the thread waits for them, so that what is read too early is not there
// yet.
#pragma once
#include "tests/emulator/emulator.h"

template <int bytes> void copy_later(void* to, const void* from, bool inside) {
  static_assert(bytes == 8 || bytes == 16);
  if (reinterpret_cast<uintptr_t>(to) % bytes || reinterpret_cast<uintptr_t>(from) % bytes)
    emulator::misuse("cp.async of %d bytes: an address is not a multiple of them", bytes);
  emulator::copy_later({to, inside ? from : nullptr, bytes});
}
inline void close_copies() { emulator::close_copies(); }
template <int left> void wait_for_copies() {
  for (emulator::Copy copy; emulator::next_copy(left, copy);)
    for (int i = 0; i < copy.bytes / 8; i++)
      static_cast<uint64_t*>(copy.to)[i] = copy.from ? static_cast<const uint64_t*>(copy.from)[i] : 0;
}

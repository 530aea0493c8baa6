// Copies from device memory to shared memory that the thread that starts them does not wait for (PTX ISA: cp.async).
// defines: copy_later, close_copies, wait_for_copies
#pragma once
#include <cstdint>
#include "engine/cuda/launch.h"

#ifdef __CUDACC__
// 8 or 16 bytes, aligned to as many; zeros, and nothing read, where `inside` is false.
template <int bytes> __device__ inline void copy_later(void* to, const void* from, bool inside) {
  const uint32_t address = uint32_t(__cvta_generic_to_shared(to));
  const int read = inside ? bytes : 0;
  if constexpr (bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(read) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(from), "n"(bytes), "r"(read)
                 : "memory");
}
// What this thread started since the last call is a group.
__device__ inline void close_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until all groups of this thread but the last `left` are there; a barrier then shows them to the others.
template <int left>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
}
#else
#include "tests/emulator/copy.h"
#endif

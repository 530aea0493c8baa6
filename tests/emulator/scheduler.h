// What the parts of the emulator share, and the sanitizers' hooks, which are null where no sanitizer is linked in.
// defines: run_grid, is_device, setting, run_kernel, count_product, hooks
#pragma once
#include "tests/emulator/emulator.h"

#define EMULATOR_HOOK extern "C" __attribute__((weak))
EMULATOR_HOOK void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, size_t size);
EMULATOR_HOOK void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, size_t* size);
EMULATOR_HOOK void __asan_poison_memory_region(const volatile void* memory, size_t bytes);
EMULATOR_HOOK void __asan_unpoison_memory_region(const volatile void* memory, size_t bytes);
EMULATOR_HOOK void* __tsan_create_fiber(unsigned flags);
EMULATOR_HOOK void* __tsan_get_current_fiber();
EMULATOR_HOOK void __tsan_switch_to_fiber(void* fiber, unsigned flags);
EMULATOR_HOOK void __tsan_acquire(void* tag);
EMULATOR_HOOK void __tsan_release(void* tag);

namespace emulator {
int setting(const char* name);  // of the environment; 0 if it is not there
void run_grid(dim3 grid, dim3 block, const std::function<void()>& body);             // to its end
bool is_device(const void* pointer);  // whether it points into device memory
// a copy or a library call, in the order of the stream
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

// Through these go all launches and products. They run the kernel and do nothing, unless counting/ is linked in.
void run_kernel(const Kernel& kernel, dim3 grid, dim3 block, const std::function<void()>& body);
void count_product(uint64_t bytes_read, uint64_t bytes_written);
}  // namespace emulator

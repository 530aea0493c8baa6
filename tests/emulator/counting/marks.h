// The bytes of device memory that a launch touches.
// defines: Moved, begin_marking, end_marking, what g++ calls where code is compiled with -fsanitize=thread
#pragma once
#include <cstddef>
#include <cstdint>

struct Moved { uint64_t read = 0, written = 0; };                // distinct bytes of device memory

void begin_marking();                                            // of what instrumented code does on this thread
Moved end_marking();

#define ACCESSES(bytes, kind) void __tsan_##kind##read##bytes(void* at); void __tsan_##kind##write##bytes(void* at);
extern "C" {
ACCESSES(1, ) ACCESSES(2, ) ACCESSES(4, ) ACCESSES(8, ) ACCESSES(16, )
ACCESSES(2, unaligned_) ACCESSES(4, unaligned_) ACCESSES(8, unaligned_) ACCESSES(16, unaligned_)
void __tsan_read_range(void* at, size_t bytes);
void __tsan_write_range(void* at, size_t bytes);
}
#undef ACCESSES

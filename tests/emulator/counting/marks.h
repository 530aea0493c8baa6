// The bytes of device memory that a launch touches.
// defines: Moved, begin_marking, end_marking
#pragma once
#include <cstdint>

struct Moved { uint64_t read = 0, written = 0; };                // distinct bytes of device memory

void begin_marking();                                            // of what instrumented code does on this thread
Moved end_marking();

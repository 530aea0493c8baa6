// What launches move at least between device memory and the chip: the distinct bytes that each reads, and writes.
// defines: emulator::Launch, emulator::take_launches
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace emulator {

// A byte read twice counts once, one read and written once in each. Shared memory, stacks, host memory and copies do
// not count. A product of cuBLAS reads its operands, and c where beta is not 0; both its names are "gemm".
struct Launch {
  std::string name;                    // the type of the kernel's first parameter: "ColumnSumsOfChunk<Values>"
  std::string kernel;                  // as C++ has it: "void (anonymous namespace)::rows_kernel<...>(...)"
  uint64_t read, written;              // bytes
};

// Those that have ended since the last call, in their order. A program without tests/emulator/counting has none.
std::vector<Launch> take_launches();

}  // namespace emulator

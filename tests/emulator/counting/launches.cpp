// The launches and products of a program, with what they moved. EMULATOR_LAUNCHES=FILE: they are written there too, as
// `ncu --csv --page raw --print-units base` writes what it measures on a GPU, so that one reader serves both.
#include <cxxabi.h>
#include <dlfcn.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include "tests/emulator/counting/marks.h"
#include "tests/emulator/scheduler.h"
#include "tests/emulator/traffic.h"

namespace emulator {
namespace {

std::vector<Launch> launches;

std::string demangled(const char* symbol) {
  char* const text = abi::__cxa_demangle(symbol, nullptr, nullptr, nullptr);
  const std::string name = text ? text : symbol;
  std::free(text);
  return name;
}

// The Makefile makes the symbols of kernels global: those of an anonymous namespace dladdr would not know.
std::string name_of(const void* function) {
  Dl_info info{};
  const bool found = dladdr(function, &info) && info.dli_saddr == function;
  return found ? demangled(info.dli_sname) : "a kernel without a symbol";
}

// A line is in the file when its launch is over, however the program ends.
FILE* open_table() {
  const char* path = std::getenv("EMULATOR_LAUNCHES");
  if (!path) return nullptr;
  FILE* file = std::fopen(path, "w");
  if (!file) {
    misuse("EMULATOR_LAUNCHES: %s cannot be written: %s; name a file in a folder that exists", path,
           std::strerror(errno));
    return nullptr;
  }
  std::setvbuf(file, nullptr, _IOLBF, BUFSIZ);
  std::fputs(R"("ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size",)"
             R"("Grid Size","Device","CC","dram__bytes_read.sum","dram__bytes_write.sum","gpu__time_duration.sum")" "\n"
             R"("","","","","","","","","","","","byte","byte","ns")" "\n", file);
  return file;
}

std::string text(dim3 n) {
  return "(" + std::to_string(n.x) + ", " + std::to_string(n.y) + ", " + std::to_string(n.z) + ")";
}

void add(Launch launch, dim3 grid, dim3 block) {
  static FILE* const table = open_table();
  static int id = 0;
  if (table)
    std::fprintf(table, R"("%d","%d","%s","localhost","%s","1","7","%s","%s","0","9.0","%lu","%lu","0")" "\n", id++,
                 int(getpid()), program_invocation_short_name, launch.kernel.c_str(), text(block).c_str(),
                 text(grid).c_str(), launch.read, launch.written);
  launches.push_back(std::move(launch));
}

}  // namespace

void run_kernel(const Kernel& kernel, dim3 grid, dim3 block, const std::function<void()>& body) {
  begin_marking();
  run_grid(grid, block, body);
  const Moved moved = end_marking();
  add({demangled(kernel.first_parameter->name()), name_of(kernel.function), moved.read, moved.written}, grid, block);
}

void count_product(uint64_t bytes_read, uint64_t bytes_written) {
  add({"gemm", "gemm", bytes_read, bytes_written}, dim3(), dim3());
}

std::vector<Launch> take_launches() { return std::exchange(launches, {}); }

}  // namespace emulator

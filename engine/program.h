// What stands around the work of every program: an error becomes one line and an exit code.
// defines: run_program
#pragma once
#include <cstdio>
#include "engine/error.h"

// The status of work(), or that of the error which ended it.
template <class Work> int run_program(const char* name, Work work) try {
  return work();
} catch (const Error& e) {
  fmt::print(stderr, "{}: {}\n", name, e.what());
  return int(e.code);
} catch (const std::exception& e) {
  fmt::print(stderr, "{}: {}\n", name, e.what());
  return int(ExitCode::failed);
}

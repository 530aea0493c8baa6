// Errors as a user reads them: what happened, where, expected, got, and what to do next; one line each.
// defines: ExitCode, Error, fail(code, format, ...)
#pragma once
#include <stdexcept>
#include <string>
#ifndef __CUDACC__
#include <fmt/core.h>
#endif

// What the programs return. 130 and 143 (stopped by SIGINT, SIGTERM, everything saved) are made in train.cpp.
enum class ExitCode { ok = 0, failed = 1, usage = 2, data = 3, non_finite = 4 };

struct Error : std::runtime_error {
  Error(ExitCode code, const std::string& message);    // names in it may be of any bytes: it is made printable()
  ExitCode code;
};

#ifdef __CUDACC__                      // nvcc cannot read fmt; sources of kernels include ops, but call none
template <class... Args> [[noreturn]] void fail(ExitCode code, const char* format, Args&&... args);
#else
template <class... Args>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}
#endif

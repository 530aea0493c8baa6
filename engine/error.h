// Errors as a user reads them: what happened, where, expected, got, and what to do next; one line each.
// defines: ExitCode, on_one_line, Error, fail(code, format, ...)
#pragma once
#include <stdexcept>
#include <string>
#ifndef __CUDACC__
#include <fmt/core.h>
#endif

// What the programs return. 130 and 143 (stopped by SIGINT, SIGTERM, everything saved) are made in train.cpp.
enum class ExitCode { ok = 0, failed = 1, usage = 2, data = 3, non_finite = 4 };

// Names and words of files may hold line ends, or commands to a terminal: a space for each control character.
inline std::string on_one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7F) c = ' ';
  return text;
}

struct Error : std::runtime_error {
  Error(ExitCode code, const std::string& message) : std::runtime_error(on_one_line(message)), code(code) {}
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

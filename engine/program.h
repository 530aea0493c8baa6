// What stands around the work of every program: the command line, and errors as one line and an exit code.
// defines: run_program, parse
#pragma once
#include <CLI/CLI.hpp>
#include <cstdio>
#include <utility>
#include "engine/error.h"
#include "engine/signals.h"

// The status of work(), or that of the error which ended it.
template <class Work> int run_program(const char* name, Work work) try {
  ignore_write_signals();
  return work();
} catch (const Error& e) {
  fmt::print(stderr, "{}: {}\n", name, e.what());
  return int(e.code);
} catch (const std::exception& e) {
  fmt::print(stderr, "{}: {}\n", name, e.what());
  return int(ExitCode::failed);
}

// Parses, which also runs what subcommands do; false where help was asked for instead, and printed.
template <class... Arguments> bool parse(CLI::App& app, Arguments&&... arguments) try {
  app.parse(std::forward<Arguments>(arguments)...);
  return true;
} catch (const CLI::Success& help) {
  app.exit(help);
  return false;
} catch (const CLI::ParseError& e) {
  fail(ExitCode::usage, "{}; see {} --help", e.what(), app.get_name());
}

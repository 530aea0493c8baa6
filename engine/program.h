// What stands around the work of every program: its output, the command line, and errors as one line and an exit code.
// defines: run_program, parse
#pragma once
#include <CLI/CLI.hpp>
#include <new>
#include <sstream>
#include <utility>
#include "engine/console.h"
#include "engine/error.h"
#include "engine/flags.h"
#include "engine/help.h"
#include "engine/signals.h"

// The status of work(), or that of the error which ended it; 1 where a result could not be written.
template <class Work> int run_program(const char* name, Work work) try {
  occupy_standard_descriptors();
  ignore_write_signals();
  const int status = work();
  check_results();
  return status;
} catch (const Error& e) {
  print_log("{}: {}\n", name, e.what());
  return int(e.code);
} catch (const std::bad_alloc&) {
  print_log("{}: out of memory; take a smaller --batch, --micro-batch or model\n", name);
  return int(ExitCode::failed);
} catch (const std::exception& e) {
  print_log("{}: {}\n", name, e.what());
  return int(ExitCode::failed);
}

// Parses, which also runs what subcommands do; false where help was asked for instead, and printed.
template <class... Arguments> bool parse(CLI::App& app, Arguments&&... arguments) try {
  app.parse(std::forward<Arguments>(arguments)...);
  return true;
} catch (const CLI::Success& help) {
  std::ostringstream text;
  app.exit(help, text);
  write_result(text.str());
  return false;
} catch (const CLI::ParseError& e) {
  const std::string found = misplaced(app, e), message = found.empty() ? e.what() : found;
  const auto asked = app.get_subcommands();
  fail(ExitCode::usage, "{}{} {}{} --help", message, message.ends_with('?') ? " See" : "; see", app.get_name(),
       asked.empty() ? "" : " " + asked[0]->get_name());
}

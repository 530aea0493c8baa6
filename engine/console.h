// What a program prints: a log on stderr, which nobody need read, and results on stdout, which must arrive.
// defines: write_log, write_result, as_shown, print_log, print_result, check_results, columns_of,
//          occupy_standard_descriptors
#pragma once
#include <fmt/core.h>
#include <string_view>
#include <type_traits>
#include "engine/text.h"

// On stderr. Never fails and never stops a run: what cannot be written is dropped. A reader that stands still is
// waited for a minute, once.
void write_log(std::string_view text);
// On stdout, at once. Where it cannot be written nothing after it is, and check_results() says so; a pipe that stdout
// shares with stderr and that nobody reads any more is a log.
void write_result(std::string_view text);

template <class T> decltype(auto) as_shown(const T& value) {
  if constexpr (std::is_convertible_v<const T&, std::string_view>) return printable(value);
  else return (value);
}
// Words among the arguments are made printable(), as they may be names of any bytes; text of several lines goes by the
// two above.
template <class... Args> void print_log(fmt::format_string<Args...> format, Args&&... args) {
  write_log(fmt::format(fmt::runtime(format), as_shown(args)...));
}
template <class... Args> void print_result(fmt::format_string<Args...> format, Args&&... args) {
  write_result(fmt::format(fmt::runtime(format), as_shown(args)...));
}

// Throws (exit code 1) if a result could not be written.
void check_results();
// How many characters a line of the terminal holds; 80 where the descriptor is none.
size_t columns_of(int descriptor);
// Before any file is opened: one of stdin, stdout and stderr that is closed stays unusable. Else the next file would
// take its number, and the log be written into a checkpoint.
void occupy_standard_descriptors();

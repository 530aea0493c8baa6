// The help pages, the same in every program: flags in groups, lines as wide as the terminal.
// defines: set_up_help, add_help_page, help_width
#pragma once
#include <CLI/CLI.hpp>
#include <string>

// Before subcommands and flags are added: they take over what it sets. Flags without a group of their own are in
// `group`.
void set_up_help(CLI::App& app, const std::string& group);

// --help-NAME: the program prints a page of its own in place of its work, with lines of at most `width` characters.
void add_help_page(CLI::App& app, const std::string& name, const std::string& what, std::string (*page)(size_t width));

// Characters a line: those of the terminal, but at least 40 and at most 100.
size_t help_width();

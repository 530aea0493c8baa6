// What flags take, and what is said of those that are not taken, in place of CLI11's words; the same in every program.
// defines: whole_number, real_number, above_zero, zero_or, one_of, as_known, misplaced, use_config, ConfigFile
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

// In decimal digits.
CLI::Validator whole_number(uint64_t least, uint64_t most = 1'000'000'000);
// Finite, and a float can hold it.
CLI::Validator real_number(double least, double most = 1e30);
CLI::Validator above_zero(double most = 1e9);
CLI::Validator zero_or(double least, double most);
// These two go to transform(): what is written in another way becomes the name that is known.
CLI::Validator one_of(std::vector<std::string> names);    // see same_name()
// known: the name that a text stands for, or an error of its own.
CLI::Validator as_known(std::string (*known)(const std::string& text));

// After a failed parse: what nobody has a place for, with the nearest that there is. Empty if it failed otherwise.
std::string misplaced(const CLI::App& app, const CLI::ParseError& error);

// --config: a file of flags, or a folder with its config.toml; flags on the command line win.
void use_config(CLI::App& app);

// A file of flags without the dashes, in TOML. Unlike CLI11's own reader it knows that # in quotes is no comment.
struct ConfigFile : CLI::ConfigTOML {
  std::vector<CLI::ConfigItem> from_config(std::istream& file) const override;
};

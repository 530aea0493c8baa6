#include "engine/flags.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <sstream>

#include "engine/error.h"
#include "engine/text.h"

namespace {
constexpr size_t most_shown = 60;    // characters of a value that is not taken

using Check = std::function<std::string(const std::string&)>;    // what was expected; empty where it is that

CLI::Validator validator(Check expected, const std::string& name) {
  const auto check = [expected = std::move(expected)](const std::string& text) {
    const std::string words = expected(text);
    const std::string given = text.empty() ? "nothing" : printable(text.substr(0, most_shown));
    return words.empty() ? words
                         : fmt::format("{}{}, expected {}", given, text.size() > most_shown ? "..." : "", words);
  };
  return CLI::Validator(check, name);
}

// NaN where the text is no finite number.
double finite(const std::string& text) {
  double value = NAN;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  return read.ec == std::errc() && read.ptr == end && std::isfinite(value) ? value : NAN;
}

// Names that users know from elsewhere.
const std::map<std::string, std::string> elsewhere = {{"batch-size", "batch"}, {"learning-rate", "lr"},
                                                      {"epoch", "epochs"}, {"output", "out"}, {"size", "image-size"}};

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  for (const CLI::App* sub : app.get_subcommands())
    for (const std::string& name : flags_of(*sub)) names.push_back(name);
  return names;
}

// Of a flag without its dashes: the one that was probably meant, or empty.
std::string known_flag(const CLI::App& app, std::string flag) {
  std::replace(flag.begin(), flag.end(), '_', '-');
  const std::vector<std::string> names = flags_of(app);
  const auto known = elsewhere.find(flag);
  const bool alias = known != elsewhere.end() && std::find(names.begin(), names.end(), known->second) != names.end();
  return alias ? known->second : nearest(flag, names);
}

std::string unknown_flag(const CLI::App& app, const std::string& text) {
  const std::string flag = text.substr(0, text.find('=')),
                    name = flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
  const std::string known = known_flag(app, name.substr(0, 60));
  const std::string words = printable(flag.substr(0, 60)) + " is unknown";
  return known.empty() ? words : fmt::format("{}; did you mean --{}?", words, known);
}

std::string unknown_in_file(const CLI::App& app, const std::string& name) {
  const std::string known = known_flag(app, name.substr(0, 60));
  const std::string words = fmt::format("{}: {} is no flag", app.get_config_ptr()->as<std::string>(), name);
  return known.empty() ? words : fmt::format("{}; did you mean {}?", words, known);
}
}

CLI::Validator whole_number(uint64_t least, uint64_t most) {
  const auto expected = [=](const std::string& text) {
    uint64_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = read.ptr == text.data() + text.size() && !text.empty() && (text[0] != '0' || text.size() == 1);
    if (whole && (read.ec == std::errc::result_out_of_range || value > most))
      return fmt::format("a whole number of at most {}", most);
    return whole && value >= least ? std::string() : fmt::format("a whole number of at least {}", least);
  };
  return validator(expected, least > 1 ? fmt::format("[{} - {}]", least, most) : least ? "POSITIVE" : "NONNEGATIVE");
}

CLI::Validator real_number(double least, double most) {
  const auto expected = [=](const std::string& text) {
    const double value = finite(text);
    if (value > most) return fmt::format("a number of at most {:g}", most);
    return value >= least ? std::string() : fmt::format("a number of at least {:g}", least);
  };
  return validator(expected, least == 0 ? "NONNEGATIVE" : "");
}

CLI::Validator above_zero(double most) {
  const auto expected = [=](const std::string& text) {
    const double value = finite(text);
    if (value > most) return fmt::format("a number of at most {:g}", most);
    return std::string(value > 0 ? "" : "a number above 0");
  };
  return validator(expected, "POSITIVE");
}

CLI::Validator zero_or(double least, double most) {
  const auto expected = [=](const std::string& text) {
    const double value = finite(text);
    const bool taken = value == 0 || (value >= least && value <= most);
    return taken ? std::string() : fmt::format("0, or a number from {:g} to {:g}", least, most);
  };
  return validator(expected, fmt::format("0 or [{:g} - {:g}]", least, most));
}

CLI::Validator one_of(std::vector<std::string> names) {
  const std::string list = fmt::format("{{{}}}", fmt::join(names, ","));
  const auto known = [names = std::move(names)](std::string& text) {
    const std::string name = same_name(text, names);
    if (name.empty()) return unknown_name(text, names);
    text = name;
    return std::string();
  };
  return CLI::Validator(known, list);
}

CLI::Validator as_known(std::string (*known)(const std::string& text)) {
  const auto replace = [known](std::string& text) {
    text = known(text);
    return std::string();
  };
  return CLI::Validator(replace, "");
}

void use_config(CLI::App& app) {
  const auto file_of = [](const std::string& path) {
    if (!std::filesystem::is_directory(path)) return path;
    const std::filesystem::path file = std::filesystem::path(path) / "config.toml";
    if (!std::filesystem::exists(file))
      fail(ExitCode::usage, "--config: the folder {} has no config.toml; name a file of flags, or the folder of a run",
           path);
    return file.string();
  };
  app.set_config("--config", "", "a TOML file of flags without the dashes, or the folder of a run; flags on the "
                                 "command line win")
      ->transform(as_known(file_of));
  app.allow_config_extras(false);
  app.config_formatter(std::make_shared<ConfigFile>());
}

std::string misplaced(const CLI::App& app, const CLI::ParseError& error) {
  const std::string words = error.what(), of_file = CLI::ConfigError::Extras("").what();
  if (words.starts_with(of_file))
    return unknown_in_file(app, words.substr(of_file.size()));
  if (error.get_name() == "ArgumentMismatch" && words.ends_with(" missing"))
    return words.substr(0, words.find(": ")) + ": expected a value after it";
  const std::vector<std::string> left = app.remaining(true);
  const auto is_flag = [](const std::string& text) { return text.starts_with("-"); };
  const auto flag = std::find_if(left.begin(), left.end(), is_flag);
  if (flag != left.end()) return unknown_flag(app, *flag);
  std::vector<std::string> subcommands;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    subcommands.push_back(sub->get_name());
  if (!subcommands.empty() && app.get_subcommands().empty()) {
    if (left.empty()) return fmt::format("expected one of {}", fmt::join(subcommands, ", "));
    return unknown_name(left[0], subcommands);
  }
  return left.empty() ? std::string() : fmt::format("'{}': there is no flag before it that takes it", left[0]);
}

std::vector<CLI::ConfigItem> ConfigFile::from_config(std::istream& file) const {
  constexpr char stand_in = '\x1A';    // SUB: no text has it
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  std::string masked(without_mark(bytes));
  char quote = 0;
  for (char& c : masked) {
    if (c == '\n') quote = 0;
    else if (quote ? c == quote : c == '"' || c == '\'') quote = quote ? 0 : c;
    else if (c == '#' && quote) c = stand_in;
    else if (c == '#') quote = '\n';    // a comment, whose quotes are none
  }
  std::istringstream lines(masked);
  std::vector<CLI::ConfigItem> items = CLI::ConfigTOML::from_config(lines);
  for (CLI::ConfigItem& item : items)
    for (std::string& input : item.inputs) std::replace(input.begin(), input.end(), stand_in, '#');
  return items;
}

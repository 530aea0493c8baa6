#include "engine/help.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "engine/console.h"
#include "engine/text.h"

namespace {
constexpr const char* help_group = "Help";
constexpr size_t name_column = 26;    // where what a flag means begins

std::string group_of(const CLI::App& app, const CLI::Option& option) {
  return &option == app.get_help_ptr() ? help_group : option.get_group();
}

// "N", "X", "TEXT", "a|b"; empty of a flag without a value
std::string value_of(const CLI::Option& option) {
  if (option.get_expected_min() == 0) return "";    // a flag
  const std::string type = option.get_type_name();
  const size_t open = type.find('{'), close = type.find('}');
  std::string value = type.starts_with("FLOAT")                             ? "X"
                      : type.starts_with("INT") || type.starts_with("UINT") ? "N"
                                                                            : "TEXT";
  if (open != type.npos && close != type.npos) {
    value = type.substr(open + 1, close - open - 1);
    std::replace(value.begin(), value.end(), ',', '|');
  }
  return value + (option.get_delimiter() ? ",..." : "");
}

std::string names_of(const CLI::Option& option) {
  if (!option.get_positional()) {
    std::vector<std::string> names;
    for (const std::string& name : option.get_snames()) names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
    const std::string value = value_of(option);
    return fmt::format("  {}{}{}", fmt::join(names, ", "), value.empty() ? "" : " ", value);
  }
  return "  " + option.get_name(true) + (option.get_expected_max() > 1 ? "..." : "");
}

std::string meaning_of(const CLI::Option& option) {
  std::string text = option.get_description(), usual = option.get_default_str();
  usual.erase(std::remove_if(usual.begin(), usual.end(), [](char c) { return c == '[' || c == ']'; }), usual.end());
  if (option.get_required()) text += " (required)";
  if (!usual.empty() && text.find("(default") == text.npos) text += " (default " + usual + ")";
  return text;
}

std::string line_of(const std::string& name, const std::string& meaning) {
  const std::string indent(name_column, ' ');
  const bool fits = name.size() + 2 <= name_column;
  const std::string first = fits ? name + std::string(name_column - name.size(), ' ') : name + '\n' + indent;
  return wrapped(meaning, help_width(), name_column, first);
}

struct HelpPage : CLI::FormatterBase {
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode) const override {
    const std::vector<const CLI::App*> subcommands = app->get_subcommands([](const CLI::App*) { return true; });
    std::string usage = "Usage: " + name + (subcommands.empty() ? "" : " SUBCOMMAND");
    std::vector<std::string> groups;
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_positional()) usage += names_of(*option).substr(1);
      const std::string group = group_of(*app, *option);
      if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
    }
    std::stable_partition(groups.begin(), groups.end(), [](const std::string& group) { return group != help_group; });
    std::string text = wrapped(app->get_description(), help_width(), 0, "") + usage + " [FLAGS]\n";
    if (!subcommands.empty()) text += "\nSubcommands, each with a --help of its own:\n";
    for (const CLI::App* sub : subcommands) text += line_of("  " + sub->get_name(), sub->get_description());
    for (const std::string& group : groups) {
      text += "\n" + group + ":\n";
      for (const CLI::Option* option : app->get_options())
        if (group_of(*app, *option) == group) text += line_of(names_of(*option), meaning_of(*option));
    }
    const std::string footer = app->get_footer();
    return footer.empty() ? text : text + "\n" + footer + "\n";
  }
};
}

size_t help_width() { return std::clamp<size_t>(columns_of(STDOUT_FILENO), 40, 100); }

void set_up_help(CLI::App& app, const std::string& group) {
  app.formatter(std::make_shared<HelpPage>());
  app.option_defaults()->group(group);
  app.set_help_flag("-h,--help", "this page");
}

void add_help_page(CLI::App& app, const std::string& name, const std::string& what, std::string (*page)(size_t width)) {
  const auto show = [page] { throw CLI::CallForVersion(page(help_width()), 0); };
  app.add_flag_callback("--help-" + name, show, what)->trigger_on_parse()->configurable(false)->group(help_group);
}

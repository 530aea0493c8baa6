// What the documents say of the code: tables of functions, files that exist, how long they are.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include "models/attention/list.h"

TEST_SUITE_BEGIN("readme");

namespace {
namespace fs = std::filesystem;

const std::vector<fs::path> documents = {"README.md",        "engine/README.md",  "engine/attention/README.md",
                                         "data/README.md",   "models/README.md",  "models/STUDIES.md",
                                         "tests/README.md"};

std::string text_of(const fs::path& document) {
  std::ifstream file(document);
  REQUIRE_MESSAGE(file, document.string() << " not found; run the tests from the root of the project");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::smatch> matches(const std::string& text, const std::regex& pattern) {
  return {std::sregex_iterator(text.begin(), text.end(), pattern), std::sregex_iterator()};
}

long lines_of(const fs::path& file) {
  const std::string text = text_of(file);
  return std::count(text.begin(), text.end(), '\n');
}
}  // namespace

TEST_CASE("the table of attention functions is the list in the code") {
  const std::string text = text_of("engine/attention/README.md");
  for (const auto& f : attention_infos()) {
    const std::string row = fmt::format("| `{}` | {} | {} |", f.name, f.formula, f.source);
    CHECK_MESSAGE(text.find(row) != std::string::npos, "engine/attention/README.md lacks the row\n" << row);
  }
}

TEST_CASE("files that documents name and link to are there") {
  static const std::regex named("`([A-Za-z_./]+\\.(?:h|cpp|cu|md|txt))`"), linked("\\]\\(([^)#:]+)[^):]*\\)");
  size_t found = 0;
  for (const fs::path& document : documents) {
    const std::string text = text_of(document);
    const auto is_there = [&](const fs::path& file) {
      return fs::exists(document.parent_path() / file) || fs::exists(file);
    };
    for (const std::smatch& match : matches(text, linked)) {
      CHECK_MESSAGE(fs::exists(document.parent_path() / match[1].str()), document.string() << ": " << match[1].str());
      found++;
    }
    // in a table's first column stands what there is; elsewhere also files that users have or programs write
    std::istringstream rows(text);
    for (std::string row; std::getline(rows, row);) {
      if (!row.starts_with("| `")) continue;
      const std::string column = row.substr(0, row.find(" |", 2));
      for (const std::smatch& match : matches(column, named)) {
        const std::string name = match[1].str();
        if (name.ends_with(".txt")) continue;
        CHECK_MESSAGE(is_there(name), document.string() << ": " << name);
        found++;
      }
    }
  }
  CHECK(found > 80);
}

TEST_CASE("the reading order's line counts are about right") {
  const std::string text = text_of("engine/README.md");
  static const std::regex row("\\| `([a-z_/.]+)` \\| ([0-9]+) \\|");
  const std::vector<std::smatch> rows = matches(text, row);
  CHECK(rows.size() > 15);
  for (const std::smatch& match : rows) {
    const long told = std::stol(match[2].str()), counted = lines_of(match[1].str());
    CHECK_MESSAGE(std::abs(told - counted) <= 5 + counted / 5,
                  match[1].str() << " has " << counted << " lines, engine/README.md says " << told);
  }
}

TEST_SUITE_END();

// README's tables of attention functions and linear families are the lists of engine/attention/.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fstream>
#include <sstream>
#include "models/attention/list.h"

TEST_SUITE_BEGIN("readme");

TEST_CASE("the table of attention functions is the list in the code") {
  std::ifstream file("README.md");
  REQUIRE_MESSAGE(file, "README.md not found; run the tests from the root of the project");
  std::stringstream text;
  text << file.rdbuf();
  for (const auto& f : attention_infos()) {
    const std::string row = fmt::format("| `{}` | {} | {} |", f.name, f.formula, f.source);
    CHECK_MESSAGE(text.str().find(row) != std::string::npos, "README.md lacks the row\n" << row);
  }
}

TEST_SUITE_END();

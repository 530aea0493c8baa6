// The help pages of every program, and the numbers that the flags on them take.
#include <set>
#include "engine/text.h"
#include "tests/run_program.h"
#include "tests/tar_builder.h"

namespace {
struct HelpPage {
  std::string program;
  std::vector<std::string> path;    // the subcommand, if it is that of one
  std::string text;
};

std::vector<std::string> with(std::vector<std::string> arguments, const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

HelpPage page_of(const std::string& program, const std::vector<std::string>& path, const std::string& flag = "--help") {
  const Ended ended = run_program(program, with(path, {flag}));
  CAPTURE(program);
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  return {program, path, ended.out};
}

// A line of a page that is neither a heading nor text that goes on: its name, and what stands behind it.
std::vector<std::vector<std::string>> entries(const std::string& text, bool flags) {
  std::vector<std::vector<std::string>> list;
  bool subcommands = false;
  for (const std::string& line : lines_of(text)) {
    if (!line.starts_with(' ')) subcommands = line.starts_with("Subcommands");
    const bool entry = line.starts_with("  ") && !line.starts_with("   ");
    const bool flag = line.starts_with("  -");
    if (entry && flags ? flag : entry && subcommands) list.push_back(split(trimmed(line), " "));
  }
  return list;
}

const std::vector<HelpPage>& all_pages() {
  static const std::vector<HelpPage> pages = [] {
    std::vector<HelpPage> list;
    for (const char* program : {"train", "eval", "pack", "bench"}) {
      list.push_back(page_of(program, {}));
      for (const auto& sub : entries(list.back().text, false)) list.push_back(page_of(program, {sub[0]}));
    }
    return list;
  }();
  return pages;
}

// The flags of a page that take a number, or a list of them; true: a real one.
std::vector<std::pair<std::string, bool>> numeric_flags(const HelpPage& page) {
  std::vector<std::pair<std::string, bool>> flags;
  for (const auto& words : entries(page.text, true))
    if (words.size() > 1 && (words[1] == "N" || words[1] == "X" || words[1] == "N,..." || words[1] == "X,..."))
      flags.push_back({words[0], words[1][0] == 'X'});
  return flags;
}
}    // namespace

TEST_SUITE_BEGIN("help");

TEST_CASE("each line of each help page fits a terminal of 80 columns") {
  CHECK(all_pages().size() > 20);
  std::vector<HelpPage> pages = all_pages();
  pages.push_back(page_of("train", {}, "--help-attention"));
  pages.push_back(page_of("eval", {"accuracy"}, "--help-attention"));
  for (const HelpPage& page : pages)
    for (const std::string& line : lines_of(page.text)) {
      const auto characters = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
      const std::string_view text = trimmed(line);
      // a word that is longer than its column has the line to itself
      CHECK_MESSAGE((characters <= 80 || text.find(' ') == text.npos), page.program << ": " << line);
    }
}

TEST_CASE("each flag is in a group, once, and says what it is") {
  for (const HelpPage& page : all_pages()) {
    CAPTURE(page.program);
    CAPTURE((page.path.empty() ? std::string() : page.path[0]));
    std::set<std::string> seen;
    bool in_group = false;
    const std::vector<std::string> lines = lines_of(page.text);
    for (size_t i = 0; i < lines.size(); i++) {
      if (lines[i].empty())
        in_group = false;
      else if (!lines[i].starts_with(' '))
        in_group = lines[i].ends_with(':');
      if (!lines[i].starts_with("  -")) continue;
      CAPTURE(lines[i]);
      CHECK(in_group);
      const std::vector<std::string> words = split(trimmed(lines[i]), " ");
      CHECK(seen.insert(words[0]).second);
      const bool goes_on = i + 1 < lines.size() && lines[i + 1].starts_with(std::string(20, ' '));
      CHECK((lines[i].size() > 26 || goes_on));
    }
    const size_t help = page.text.find("\nHelp:\n");
    CHECK(help != std::string::npos);
    CHECK(page.text.find("--", help) > help);
  }
}

TEST_CASE("functions are listed where they are asked for, and what a file decides has no default") {
  for (const HelpPage& page : all_pages()) {
    CHECK_FALSE(contains(page.text, "entmax15"));
    if (page.program != "bench")
      CHECK(contains(page.text, "--help-attention") == contains(page.text, "  --attention "));
  }
  CHECK(contains(page_of("train", {}, "--help-attention").text, "entmax15"));
  CHECK(contains(page_of("eval", {"predict"}, "--help-attention").text, "entmax15"));
  const std::string predict = page_of("eval", {"predict"}).text;
  CHECK_FALSE(contains(predict, "=224"));
  CHECK(contains(predict, "Of weights that do not say it themselves:"));
  const std::string train = page_of("train", {}).text;
  CHECK(train.find("Common:") < train.find("--train"));
  CHECK(train.find("--epochs") < train.find("--no-qk-norm"));
}

TEST_CASE("no flag of any program takes what is no number, and says so in a line that names it") {
  size_t tried = 0;
  for (const HelpPage& page : all_pages())
    for (const auto& [flag, real] : numeric_flags(page))
      for (const std::string value : {"nan", "1e400", real ? "1e31" : "99999999999999999999", "", "abc", "-1e31"}) {
        const Ended ended = run_program(page.program, with(page.path, {flag + "=" + value}));
        CAPTURE(page.program);
        CAPTURE((page.path.empty() ? std::string() : page.path[0]));
        CAPTURE(flag);
        CAPTURE(value);
        CHECK(ended.code == 2);
        CHECK(ended.out.empty());
        CHECK_MESSAGE(contains(ended.err, ": " + flag + ": "), ended.err);
        CHECK_MESSAGE(contains(ended.err, "expected "), ended.err);
        CHECK_MESSAGE(ended.err.size() <= 200, ended.err);
        tried++;
      }
  CHECK(tried > 400);
}

TEST_CASE("numbers in text of their own") {
  const std::pair<const char*, const char*> flags[] = {
      {"--warmup", ""}, {"--randaug", ""}, {"--attention", "relu:"}, {"--learn", "layerscale:"}};
  for (const auto& [flag, before] : flags)
    for (const char* value : {"nan", "1e400", "", "abc", "--1"}) {
      const std::string text = before + std::string(value);
      const Ended ended = run_program("train", {"--print-config", "--steps", "20", flag + ("=" + text)});
      CAPTURE(flag);
      CAPTURE(text);
      CHECK(ended.code == 2);
      CHECK_MESSAGE(contains(ended.err, flag), ended.err);
      CHECK_MESSAGE(ended.err.size() <= 200, ended.err);
    }
}

TEST_SUITE_END();

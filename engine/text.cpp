#include "engine/text.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cxxabi.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>
#include <memory>
#include <numeric>

#include "engine/error.h"

namespace {
// Bytes of the character that `text` starts with, by the Unicode standard's table 3-7; 0 where it is no UTF-8.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? uint8_t(text[i]) : uint8_t(0); };
  const auto follows = [&](size_t i, int low = 0x80, int high = 0xBF) { return byte(i) >= low && byte(i) <= high; };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF)
    return follows(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF) && follows(2) ? 3 : 0;
  if (first >= 0xF0 && first <= 0xF4)
    return follows(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF) && follows(2) && follows(3) ? 4 : 0;
  return 0;
}

bool is_control(std::string_view character) {
  const uint8_t first = uint8_t(character[0]);
  return first < 0x20 || first == 0x7F || (first == 0xC2 && uint8_t(character[1]) < 0xA0);
}

std::string without_case_and_blanks(std::string_view text) {
  std::string plain;
  for (const unsigned char c : text)
    if (!std::isspace(c)) plain += char(std::tolower(c));
  return plain;
}

// As far as it matters to what is meant.
std::string plain(std::string_view text) {
  std::string name = without_case_and_blanks(text);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

size_t characters(std::string_view text) {
  return size_t(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// Letters to put in, leave out or exchange (Levenshtein).
size_t edits(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); i++) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); j++) {
      const size_t exchanged = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({exchanged, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}
}

std::string shell_word(std::string_view text) {
  constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=./:,@%";
  if (!text.empty() && text.find_first_not_of(plain) == text.npos) return std::string(text);
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

std::string_view trimmed(std::string_view text) {
  constexpr const char* blanks = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

std::string printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const size_t length = utf8_length(text), size = std::max<size_t>(1, length);
    const std::string_view character = text.substr(0, size);
    if (length && !is_control(character)) shown += character;
    else for (const char c : character) shown += fmt::format("\\x{:02X}", uint8_t(c));
    text.remove_prefix(size);
  }
  return shown;
}

std::string nearest(std::string_view given, const std::vector<std::string>& names) {
  const std::string wanted = without_case_and_blanks(given);
  std::string found;
  size_t fewest = std::min<size_t>(3, (wanted.size() + 2) / 3) + 1;    // a third of the letters, or three, may be wrong
  for (const std::string& name : names) {
    const std::string known = without_case_and_blanks(name);
    const bool begins = wanted.size() > 1 && wanted != known && known.starts_with(wanted);
    if (const size_t count = begins ? 1 : edits(wanted, known); count < fewest) fewest = count, found = name;
  }
  return found;
}

std::string did_you_mean(std::string_view given, const std::vector<std::string>& names) {
  const std::string name = nearest(given.substr(0, 200), names);
  return name.empty() ? "" : "; did you mean " + name + "?";
}

std::string did_you_mean(std::string_view given, std::string_view names) {
  return did_you_mean(given, split(names, ", "));
}

std::string same_name(std::string_view given, const std::vector<std::string>& names) {
  const std::string_view wanted = trimmed(given);
  if (std::find(names.begin(), names.end(), wanted) != names.end()) return std::string(wanted);
  const auto same = [name = plain(wanted)](const std::string& known) { return plain(known) == name; };
  const auto found = std::find_if(names.begin(), names.end(), same);
  const bool one = found != names.end() && std::none_of(found + 1, names.end(), same);
  return one ? *found : "";
}

std::string unknown_name(std::string_view given, const std::vector<std::string>& names) {
  constexpr size_t most = 12;
  const std::string words = fmt::format("'{}' is unknown", printable(given.substr(0, 60))),
                    near = did_you_mean(given, names);
  if (!near.empty()) return words + near;
  const auto end = names.begin() + long(std::min(names.size(), most));
  return fmt::format("{}, expected {}{}{}", words, names.size() > 1 ? "one of " : "",
                     fmt::join(names.begin(), end, ", "), names.size() > most ? ", ..." : "");
}

std::string csv_line(const std::vector<std::string>& cells) {
  std::string line;
  for (const std::string& cell : cells) {
    std::string text = printable(cell);
    const bool quoted = text.find_first_of(",\"") != text.npos;
    for (size_t at = 0; quoted && (at = text.find('"', at)) != text.npos; at += 2) text.insert(at, 1, '"');
    line += (&cell == cells.data() ? "" : ",") + (quoted ? '"' + text + '"' : text);
  }
  return line + '\n';
}

std::string wrapped(std::string_view text, size_t width, size_t indent, const std::string& first) {
  std::string lines = first;
  size_t column = characters(std::string_view(first).substr(first.rfind('\n') + 1));    // npos + 1 is 0
  bool fresh = true;
  for (const std::string& word : split(text, " ")) {
    const size_t size = characters(word);
    if (!fresh && column + 1 + size > width) lines += '\n' + std::string(indent, ' '), column = indent, fresh = true;
    lines += (fresh ? "" : " ") + word;
    column += size + !fresh;
    fresh = false;
  }
  return lines + '\n';
}

std::string_view without_mark(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return text;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines = split(without_mark(text), "\n");
  if (lines.back().empty()) lines.pop_back();
  for (std::string& line : lines) line.erase(line.find_last_not_of('\r') + 1);
  return lines;
}

std::string text_of_file(const std::filesystem::path& path) {
  constexpr size_t most = size_t(256) << 20;
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(ExitCode::data, "cannot open {}", path.string());
  std::string text;
  char block[65536];
  while (file.read(block, sizeof block), file.gcount() > 0) {
    text.append(block, size_t(file.gcount()));
    if (text.size() > most)
      fail(ExitCode::data, "{}: more than {} MiB, expected a text file", path.string(), most >> 20);
  }
  if (file.bad()) fail(ExitCode::data, "cannot read {}", path.string());
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF"))
    fail(ExitCode::data, "{}:1: text in UTF-16, expected UTF-8; save it in that encoding", path.string());
  return std::string(without_mark(text));
}

std::vector<std::string> lines_of_file(const std::filesystem::path& path) { return lines_of(text_of_file(path)); }

std::string demangled(std::type_index type) {
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr),
                                                    std::free);
  return name ? name.get() : type.name();
}

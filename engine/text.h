// Text from outside, and what is made of it.
// defines: split, trimmed, printable, shell_word, nearest, did_you_mean, same_name, unknown_name, csv_line, wrapped,
//   without_mark,
//          lines_of, text_of_file, lines_of_file, demangled
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <typeindex>
#include <vector>

// The parts between separators, empty ones too: one more than there are separators.
inline std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t at; (at = text.find(separator, begin)) != text.npos; begin = at + separator.size())
    parts.emplace_back(text.substr(begin, at - begin));
  parts.emplace_back(text.substr(begin));
  return parts;
}

// Without the blanks around it.
std::string_view trimmed(std::string_view text);

// Names may hold any bytes: line ends, commands to a terminal, other encodings. Control characters (C0, DEL, C1) and
// bytes that are no UTF-8 become \xNN, so that the result is one line of UTF-8 for a log, a class list and JSON.
std::string printable(std::string_view text);

// As it is typed on a command line: in quotes where a shell would take it apart.
std::string shell_word(std::string_view text);

// The one of `names` that was probably meant, whatever its case and blanks, also by its first letters; empty where none
// is near.
std::string nearest(std::string_view given, const std::vector<std::string>& names);
// "; did you mean NAME?", or nothing
std::string did_you_mean(std::string_view given, const std::vector<std::string>& names);
std::string did_you_mean(std::string_view given, std::string_view names);    // with ", " between them

// The one of `names` that `given` is: to the letter, or the only one where case, blanks and _ for - do not count. Empty
// where there is none.
std::string same_name(std::string_view given, const std::vector<std::string>& names);
// What is said where there is none: "'rleu' is unknown; did you mean relu?", and the names where none is near.
std::string unknown_name(std::string_view given, const std::vector<std::string>& names);

// A line of a CSV file: cells with commas or quotes are quoted, and all are printable().
std::string csv_line(const std::vector<std::string>& cells);
// Lines of at most `width` characters, broken at blanks; each begins with `indent` blanks, but the first with `first`.
// A longer word keeps its line. Ends with a line end.
std::string wrapped(std::string_view text, size_t width, size_t indent, const std::string& first);

// Text as editors of any system save it.
std::string_view without_mark(std::string_view text);          // without the byte order mark of UTF-8
std::vector<std::string> lines_of(std::string_view text);      // without the mark, \n and \r\n
// The same of a file; a data error that names it where it cannot be read, is UTF-16, or is too large for a text.
// Whoever finds fault with line i names it FILE:i+1.
std::string text_of_file(const std::filesystem::path& path);
std::vector<std::string> lines_of_file(const std::filesystem::path& path);

// The name of a type as it stands in the source.
std::string demangled(std::type_index type);

// Bytes written as hexadecimal digits; spaces and line ends between them are for the eye.
// defines: from_hex, to_hex
#pragma once
#include <fmt/format.h>
#include <string>
#include <string_view>

inline std::string from_hex(std::string_view digits) {
  std::string bytes, pair;
  for (const char c : digits) {
    if (c == ' ' || c == '\n') continue;
    pair += c;
    if (pair.size() == 2) bytes += char(std::stoi(pair, nullptr, 16)), pair.clear();
  }
  return bytes;
}

inline std::string to_hex(std::string_view bytes) {
  std::string digits;
  for (const char byte : bytes) digits += fmt::format("{:02x}", uint8_t(byte));
  return digits;
}

// Decimal numbers in text.
// defines: decimal
#pragma once
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

// The number that the whole text is, of at most 18 characters; nothing around it.
inline std::optional<int64_t> decimal(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.size() > 18) return {};
  return value;
}

// MD5, as a name for content and as an order that everyone can compute again.
// defines: Md5, md5
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

using Md5 = std::array<uint8_t, 16>;

Md5 md5(std::span<const uint8_t> bytes);
Md5 md5(std::string_view text);

// What a PNG file says of itself, held against its bytes.
// defines: check_png
#pragma once
#include <cstdint>
#include <span>

// Data error unless the file has all chunks up to its end, only critical ones that are known, in each the bytes that
// its checksum tells, and as many bytes of pixels as its header asks for at most, with the checksum of all of them.
void check_png(std::span<const uint8_t> bytes);

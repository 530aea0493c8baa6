// Images from bytes: JPEG and PNG, decoded whole or refused.
// defines: Image, image_kind, check_image_size, decode_image(bytes), decode_image(bytes, where)
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct Image {
  int height = 0, width = 0;
  std::vector<uint8_t> rgb;    // [height, width, 3]
};

constexpr int64_t largest_image = 100'000'000;    // pixels

// "JPEG", "PNG", "TIFF", ... by the first bytes, never by a name; "an unknown kind of file" for all others.
std::string_view image_kind(std::span<const uint8_t> bytes);

// Data error where so few bytes tell of so many pixels that decoding them would take memory and time out of all
// proportion: beyond 32 million pixels, more than 32 in a byte.
void check_image_size(std::string_view kind, int64_t width, int64_t height, size_t bytes);

// JPEG or PNG, bare or gzipped, as RGB: gray is repeated, alpha dropped, 16 bits cut to the upper 8, EXIF orientation
// ignored, as TensorFlow's decode_image(channels=3) does. What is not a whole image in a known colour space throws
// Error(ExitCode::data), which says where if it is told; want of memory is Error(ExitCode::failed) or bad_alloc.
Image decode_image(std::span<const uint8_t> bytes);
Image decode_image(std::span<const uint8_t> bytes, const std::string& where);

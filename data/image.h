// Images from bytes: JPEG and PNG, decoded whole or refused.
// defines: Image, decode_image(bytes), decode_image(bytes, where)
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

struct Image {
  int height = 0, width = 0;
  std::vector<uint8_t> rgb;    // [height, width, 3]
};

// JPEG or PNG, bare or gzipped, as RGB: gray is repeated, alpha dropped, 16 bits cut to the upper 8, EXIF orientation
// ignored, as TensorFlow's decode_image(channels=3) does. What is not a whole image in a known colour space throws
// Error(ExitCode::data), which says where if it is told.
Image decode_image(std::span<const uint8_t> bytes);
Image decode_image(std::span<const uint8_t> bytes, const std::string& where);

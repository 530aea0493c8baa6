// Images: what is decoded has all its pixels, and the same ones when it is decoded again.
#include "data/image.h"

#include <cstdlib>

#include "data/encode.h"
#include "tests/fuzz/fuzz.h"
#include "tests/tiny_files.h"

void run(Bytes input) {
  const Image image = decode_image(input);
  if (image.rgb.size() != size_t(image.height) * size_t(image.width) * 3 || image.rgb.empty()) std::abort();
  if (image.rgb != decode_image(input).rgb) std::abort();
}

std::vector<std::string> seeds() {
  Image picture{21, 33, {}};
  for (int i = 0; i < 21 * 33 * 3; i++) picture.rgb.push_back(uint8_t(i * i / 7));
  return {gray_jpeg, cmyk_jpeg, progressive_jpeg, png_16_bit, png_palette, encode_jpeg(picture, 50),
          encode_jpeg(picture, 95), gzipped(gray_jpeg), gzipped(png_palette)};
}

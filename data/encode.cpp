#include "data/encode.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

#include "engine/error.h"

namespace {
void append(void* to, void* data, int size) {
  static_cast<std::string*>(to)->append(static_cast<const char*>(data), size_t(size));
}
}

std::string encode_jpeg(const Image& image, int quality) {
  std::string bytes;
  if (!stbi_write_jpg_to_func(append, &bytes, image.width, image.height, 3, image.rgb.data(), quality))
    fail(ExitCode::failed, "cannot encode an image of {}x{} as JPEG", image.width, image.height);
  return bytes;
}

std::string encode_png(const Image& image) {
  std::string bytes;
  if (!stbi_write_png_to_func(append, &bytes, image.width, image.height, 3, image.rgb.data(), 3 * image.width))
    fail(ExitCode::failed, "cannot encode an image of {}x{} as PNG", image.width, image.height);
  return bytes;
}

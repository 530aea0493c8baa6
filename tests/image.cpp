#include "data/image.h"

#include <algorithm>
#include <cstdlib>
#include <doctest/doctest.h>

#include "data/encode.h"
#include "engine/error.h"
#include "tests/tiny_files.h"

namespace {
std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Image decode(const std::string& bytes) { return decode_image(bytes_of(bytes), "here"); }

// The message with which the bytes are refused; every refusal is one line, starts with the place and blames the data.
std::string refusal(const std::string& bytes) {
  try {
    decode(bytes);
  } catch (const Error& error) {
    const std::string message = error.what();
    CHECK(error.code == ExitCode::data);
    CHECK(message.starts_with("here: "));
    CHECK(message.find('\n') == std::string::npos);
    return message;
  }
  return "decoded";
}

bool contains(const std::string& text, const std::string& part) {
  INFO(text, "  should contain  ", part);
  return text.find(part) != std::string::npos;
}

// A smooth picture, which JPEG keeps well.
Image smooth(int height, int width) {
  Image image{height, width, {}};
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int value : {x * 8, y * 8, 255 - x * 4 - y * 4}) image.rgb.push_back(uint8_t(value));
  return image;
}

int largest_difference(const Image& a, const Image& b) {
  REQUIRE(a.rgb.size() == b.rgb.size());
  int largest = 0;
  for (size_t i = 0; i < a.rgb.size(); i++) largest = std::max(largest, std::abs(a.rgb[i] - b.rgb[i]));
  return largest;
}
}  // namespace

TEST_SUITE("image") {
  TEST_CASE("a JPEG comes back as it was, to the precision of JPEG") {
    const Image original = smooth(21, 33), decoded = decode(encode_jpeg(original, 95));
    CHECK(decoded.height == 21);
    CHECK(decoded.width == 33);
    CHECK(largest_difference(original, decoded) < 16);
  }

  TEST_CASE("gray, CMYK, progressive and PNG kinds become RGB") {
    const Image gray = decode(gray_jpeg);
    REQUIRE(gray.rgb.size() == 8 * 8 * 3);
    for (int i = 0; i < 64; i++) {
      CHECK(std::abs(gray.rgb[size_t(i) * 3] - (3 * i + 20)) <= 2);
      CHECK(gray.rgb[size_t(i) * 3] == gray.rgb[size_t(i) * 3 + 2]);
    }
    const Image cmyk = decode(cmyk_jpeg);    // (255 - ink) * (255 - black) / 255
    CHECK(std::abs(cmyk.rgb[0] - 190) <= 2);
    CHECK(std::abs(cmyk.rgb[1] - 119) <= 2);
    CHECK(std::abs(cmyk.rgb[2] - 49) <= 2);

    CHECK(largest_difference(decode(progressive_jpeg), smooth(32, 32)) < 16);

    const Image deep = decode(png_16_bit);
    REQUIRE(deep.rgb.size() == 3 * 4 * 3);
    for (int i = 0; i < 12; i++) CHECK(deep.rgb[size_t(i) * 3 + 1] == (i * 5000 + 77) >> 8);

    const Image palette = decode(png_palette);
    CHECK(std::vector<uint8_t>(palette.rgb.begin(), palette.rgb.begin() + 12) ==
          std::vector<uint8_t>{255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7});
  }

  TEST_CASE("gzip is taken off") {
    const std::string jpeg = encode_jpeg(smooth(16, 16), 90);
    CHECK(decode(gzipped(jpeg)).rgb == decode(jpeg).rgb);
    CHECK(contains(refusal(gzipped("<html>404")), "an unknown kind of file of 9 bytes"));
    CHECK(contains(refusal(gzipped(jpeg).substr(0, jpeg.size() / 2)), "damaged"));
    CHECK(contains(refusal(gzipped("")), "gzip"));
  }

  TEST_CASE("whatever ends early is damaged") {
    const std::string baseline = encode_jpeg(smooth(64, 64), 90);
    for (const std::string& jpeg : {baseline, progressive_jpeg, gray_jpeg, cmyk_jpeg})
      for (size_t size = 3; size < jpeg.size(); size++) CHECK(contains(refusal(jpeg.substr(0, size)), "damaged JPEG"));
    for (const std::string& png : {png_16_bit, png_palette})
      for (size_t size = 8; size + 12 < png.size(); size++)
        CHECK(contains(refusal(png.substr(0, size)), "damaged PNG"));
    const size_t scan = baseline.find("\xFF\xDA");
    CHECK(contains(refusal(baseline.substr(0, scan + 200)), "bytes without an end"));
    CHECK(contains(refusal(baseline.substr(0, scan) + "\xFF\xD9"), "0 of 3 components have data"));
    CHECK(contains(refusal(baseline.substr(0, scan + 40) + std::string(500, '\0')), "damaged JPEG"));
  }

  TEST_CASE("bytes after the end do not matter") {
    const std::string jpeg = encode_jpeg(smooth(16, 16), 90);
    CHECK(decode(jpeg + jpeg + "more").rgb == decode(jpeg).rgb);
  }

  TEST_CASE("other kinds of files are named") {
    CHECK(contains(refusal(""), "an empty file; fetch it again"));
    CHECK(contains(refusal("\xFF"), "an unknown kind of file of 1 bytes"));
    CHECK(contains(refusal("<html>404"), "an unknown kind of file of 9 bytes"));
    CHECK(contains(refusal("GIF89a......"), "GIF"));
    CHECK(contains(refusal("BM.........."), "BMP"));
    CHECK(contains(refusal(std::string("II*\0....", 8)), "TIFF"));
    CHECK(contains(refusal(std::string("RIFF....WEBPVP8 ")), "WebP"));
    CHECK(contains(refusal("\xFF\xD8\xFF"), "damaged JPEG"));
    CHECK(contains(refusal("\x89PNG\r\n\x1A\n"), "damaged PNG"));
  }

  TEST_CASE("sizes are refused before memory is taken") {
    std::string jpeg = encode_jpeg(smooth(16, 16), 90);
    const size_t frame = jpeg.find("\xFF\xC0");
    const auto with_size = [&](int height, int width) {
      for (int i = 0; i < 4; i++) jpeg[frame + 5 + size_t(i)] = char((i < 2 ? height : width) >> (i % 2 ? 0 : 8));
      return jpeg;
    };
    CHECK(contains(refusal(with_size(20000, 20000)), "too large, limit 16384"));
    CHECK(contains(refusal(with_size(16000, 16000)), "JPEG of 16000 x 16000 pixels, limit 33554432"));
    CHECK(contains(refusal(with_size(3000, 3000)), "bytes cannot hold 9000000 pixels"));
    CHECK(contains(refusal(with_size(0, 16)), "damaged JPEG"));
  }

  TEST_CASE("what stb_image would decode in wrong colours, or cannot, is refused by name") {
    std::string unmarked = cmyk_jpeg;
    unmarked[6] = 'a';
    CHECK(contains(refusal(unmarked), "4 components"));
    std::string apple = png_palette;
    apple.insert(8, std::string("\0\0\0\4CgBI\x50\0\x20\6\x2c\xb8\x77\x66", 16));
    CHECK(contains(refusal(apple), "unknown critical chunk at byte 8"));
    std::string arithmetic = gray_jpeg;
    arithmetic[arithmetic.find("\xFF\xC0") + 1] = '\xC9';
    CHECK(contains(refusal(arithmetic), "arithmetic coding (SOF9)"));
    std::string lossless = gray_jpeg;
    lossless[lossless.find("\xFF\xC0") + 1] = '\xC3';
    CHECK(contains(refusal(lossless), "lossless coding (SOF3)"));
    std::string deep = gray_jpeg;
    deep[deep.find("\xFF\xC0") + 4] = 12;
    CHECK(contains(refusal(deep), "JPEG of 12 bits is not supported; convert it to 8 bits"));
  }

  TEST_CASE("a Huffman table of more symbols than there are is refused before stb_image reads it") {
    std::string jpeg = gray_jpeg;
    jpeg.replace(jpeg.find("\xFF\xC4") + 10, 2, "\xFF\xFF");
    CHECK(contains(refusal(jpeg), "Huffman table"));
    const size_t table = jpeg.find("\xFF\xC4");    // before the frame: read already for the image's size
    jpeg.insert(2, jpeg.substr(table, size_t(2) + uint8_t(jpeg[table + 2]) * 256 + uint8_t(jpeg[table + 3])));
    CHECK(contains(refusal(jpeg), "Huffman table"));
  }

  TEST_CASE("a flipped byte anywhere never crashes, and decoding repeats to the bit") {
    for (const std::string& original : {progressive_jpeg, cmyk_jpeg, gray_jpeg, png_palette, png_16_bit})
      for (size_t at = 0; at < original.size(); at++)
        for (int flip : {0x01, 0x80, 0xFF}) {
          std::string bytes = original;
          bytes[at] = char(bytes[at] ^ flip);
          Image first, second;
          try {
            first = decode(bytes);
            second = decode(bytes);
          } catch (const Error& error) {
            CHECK(error.code == ExitCode::data);
          }
          CHECK(first.rgb == second.rgb);
        }
  }
}

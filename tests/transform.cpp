#include "data/transform.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <numeric>
#include <span>
#include <string>

#include "engine/error.h"
#include "engine/hash.h"
#include "engine/ops/pixels.h"

namespace {
// The golden values below were computed by NumPy in float32 from the formulas of TensorFlow's kernels, pixel by pixel.
Image pattern(int height, int width) {
  Image image{height, width, {}};
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < 3; c++) image.rgb.push_back(uint8_t((x * 37 + y * 101 + c * 59 + x * y * 13) % 251));
  return image;
}

std::string hex(const Image& image) {
  std::string text;
  for (uint8_t value : image.rgb) text += fmt::format("{:02x}", value);
  return text;
}

template <class T>
uint64_t hash(const std::vector<T>& values) {
  return fnv1a({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
}

Window whole(const Image& image) { return {0, 0, image.height, image.width}; }

// What the model makes of pixels.
std::vector<float> values(std::span<const uint8_t> pixels, float mean = 0.5f, float std = 0.5f) {
  std::vector<float> out(pixels.size());
  std::transform(pixels.begin(), pixels.end(), out.begin(), [&](uint8_t v) { return pixel_value(v, mean, std); });
  return out;
}

std::vector<float> train(const Image& image, const Preprocess& preprocess, Random random) {
  std::vector<uint8_t> out(size_t(preprocess.image_size) * size_t(preprocess.image_size) * 3);
  prepare_train(image, preprocess, random, out.data());
  return values(out);
}

std::vector<float> eval(const Image& image, const Preprocess& preprocess) {
  std::vector<uint8_t> out(size_t(preprocess.image_size) * size_t(preprocess.image_size) * 3);
  prepare_eval(image, preprocess, out.data());
  return values(out);
}

std::vector<float> floats(const Image& image) { return values(image.rgb); }

std::vector<float> floats_flipped(Image image) {
  flip(image);
  return floats(image);
}
}  // namespace

TEST_SUITE("transform") {
  TEST_CASE("inception crops are distributed as TensorFlow's") {
    constexpr int height = 375, width = 500, draws = 20000;
    std::vector<double> area;
    double aspect = 0;
    int lowest = height, highest = 0;
    bool last_offset = false;
    for (int i = 0; i < draws; i++) {
      Random random(1, purpose::augmentation, uint64_t(i));
      const Window window = inception_crop(height, width, random);
      CHECK(window.y >= 0);
      CHECK(window.x >= 0);
      CHECK(window.y + window.height <= height);
      CHECK(window.x + window.width <= width);
      last_offset |= window.height < height && window.y + window.height == height;
      area.push_back(double(window.height) * window.width / (height * width));
      aspect += double(window.width) / window.height / draws;
      lowest = std::min(lowest, window.height);
      highest = std::max(highest, window.height);
    }
    std::sort(area.begin(), area.end());
    double mean = 0;
    for (double a : area) mean += a / draws;
    CHECK(mean == doctest::Approx(0.342).epsilon(0.015));
    const double quantiles[][2] = {{0.05, 0.065}, {0.25, 0.147}, {0.5, 0.299}, {0.75, 0.506}, {0.95, 0.755}};
    for (const auto& [part, value] : quantiles) CHECK(std::abs(area[size_t(part * draws)] - value) < 0.008);
    CHECK(aspect == doctest::Approx(1.041).epsilon(0.005));
    CHECK(lowest >= 84);    // 84 itself is drawn twice in 20,000
    CHECK(lowest <= 88);
    CHECK(highest == 375);
    CHECK_FALSE(last_offset);
  }

  TEST_CASE("an image too long for any crop is taken whole; a single pixel, too") {
    Random random(1, purpose::augmentation, 0);
    CHECK(inception_crop(1, 5000, random) == Window{0, 0, 1, 5000});
    CHECK(inception_crop(5000, 1, random) == Window{0, 0, 5000, 1});
    CHECK(inception_crop(1, 1, random) == Window{0, 0, 1, 1});
  }

  TEST_CASE("resizing equals the reference to the bit") {
    const Image down = pattern(7, 5), up = pattern(3, 2), large = pattern(375, 500);
    CHECK(hex(resize_bilinear(down, whole(down), 3, 4)) ==
          "4984aa827e50524e894c87793d78b39c79b45e3b765f9ad531629d975f9a7f47827cad55");
    CHECK(hex(resize_area(down, 3, 4, {0, 0, 3, 4})) ==
          "4a688e65756f5c6c916886647c6f718166a17181666869885877959e589386567b678d6a");
    CHECK(hex(resize_bilinear(up, whole(up), 4, 5)) ==
          "003b76033e79124d88215c9725609b3f7ab5437ea955907d67a2506ca7458a67a2866d9877836f679946639e3cca0a45b710"
          "4b6c296420427d0e4984");
    CHECK(hex(resize_area(up, 4, 5, {0, 0, 4, 5})) ==
          "003b76003b76124d8825609b245f9a437eb9437eb95a957c71ab3f70ab3f866ea9866ea978897069a43769a437ca0a45ca0a"
          "456b29640d49830d4983");
    CHECK(hash(resize_bilinear(large, {17, 33, 301, 222}, 224, 224).rgb) == 0xb148b08dc8cc61cc);
    CHECK(hash(resize_bilinear(large, {100, 200, 60, 71}, 224, 224).rgb) == 0x5551d49ce9ccacc1);
    // float32 takes the last pixels of these sizes beyond the image
    CHECK(hash(resize_area(pattern(7, 3), 13, 21, {0, 0, 13, 21}).rgb) == 0xf3af82ab7e5caf2f);
    CHECK(hash(resize_small_central(large, 256, 224).rgb) == 0xd2217586fdc223e9);
    CHECK(hash(resize_small_central(pattern(68, 100), 256, 224).rgb) == 0x646ba04c05fde17d);
    CHECK(hash(resize_small_central(pattern(61, 47), 32, 32).rgb) == 0x73b211b1f5e6dc67);
  }

  TEST_CASE("equal sizes are copied, also through a window") {
    const Image image = pattern(9, 8);
    CHECK(resize_bilinear(image, whole(image), 9, 8).rgb == image.rgb);
    CHECK(resize_area(image, 9, 8, whole(image)).rgb == image.rgb);
    const Image part = resize_bilinear(image, {2, 3, 4, 5}, 4, 5);
    for (int y = 0; y < 4; y++)
      for (int x = 0; x < 15; x++) CHECK(part.rgb[size_t(y * 15 + x)] == image.rgb[size_t((y + 2) * 24 + 9 + x)]);
    CHECK(central_crop(10, 7, 4) == Window{3, 1, 4, 4});
  }

  TEST_CASE("a side of one pixel and a very long side can be resized") {
    for (const auto& [height, width] : {std::pair{1, 1}, {1, 16384}, {16384, 1}, {3, 1000}}) {
      Image image{height, width, std::vector<uint8_t>(size_t(height) * size_t(width) * 3, 77)};
      const auto flat = [](const Image& out) {
        return std::all_of(out.rgb.begin(), out.rgb.end(), [](int value) { return value == 76 || value == 77; });
      };
      CHECK(flat(resize_small_central(image, 256, 224)));
      CHECK(flat(resize_bilinear(image, whole(image), 224, 224)));
    }
  }

  TEST_CASE("the value range is computed in the stated order") {
    std::vector<uint8_t> ramp(256);
    std::iota(ramp.begin(), ramp.end(), 0);
    const std::vector<float> out = values(ramp);
    CHECK(out.front() == -1);
    CHECK(out.back() == 1);
    CHECK(hash(out) == 0x68583d384cfeacce);
    const std::vector<float> other = values(ramp, 0.485f, 0.229f);
    for (int v = 0; v < 256; v++) CHECK(std::abs(other[v] - (v / 255.0 - 0.485) / 0.229) <= 5e-7);
  }

  TEST_CASE("flip mirrors") {
    for (int width : {1, 4, 5}) {
      const Image image = pattern(3, width);
      Image flipped = image;
      flip(flipped);
      for (int y = 0; y < 3; y++)
        for (int x = 0; x < width; x++)
          for (int c = 0; c < 3; c++)
            CHECK(flipped.rgb[size_t((y * width + x) * 3 + c)] ==
                  image.rgb[size_t((y * width + width - 1 - x) * 3 + c)]);
    }
  }

  TEST_CASE("pad_crop draws every shift evenly and fills with black") {
    const Image image = pattern(6, 6);
    int seen[5][5] = {};
    for (uint64_t i = 0; i < 2500; i++) {
      Random random(1, purpose::augmentation, i);
      const Image out = pad_crop(image, 2, random);
      const auto shifted = [&](int dy, int dx) {
        Image expected{6, 6, std::vector<uint8_t>(6 * 6 * 3)};
        for (int y = std::max(0, -dy); y < std::min(6, 6 - dy); y++)
          for (int x = std::max(0, -dx); x < std::min(6, 6 - dx); x++)
            std::copy_n(&image.rgb[size_t((y + dy) * 6 + x + dx) * 3], 3, &expected.rgb[size_t(y * 6 + x) * 3]);
        return expected.rgb;
      };
      for (int dy = -2; dy <= 2; dy++)
        for (int dx = -2; dx <= 2; dx++) seen[dy + 2][dx + 2] += out.rgb == shifted(dy, dx);
    }
    int all = 0;
    for (const auto& row : seen)
      for (int count : row) {
        CHECK(count > 60);
        CHECK(count < 150);
        all += count;
      }
    CHECK(all == 2500);
    Random random(1, purpose::augmentation, 0);
    CHECK(pad_crop(pattern(2, 2), 5, random).rgb.size() == 12);    // more padding than image
    CHECK(pad_crop(image, 0, random).rgb == image.rgb);
  }

  TEST_CASE("training and evaluation prepare as their crop says") {
    const Image small = pattern(32, 32), large = pattern(60, 50);
    Preprocess preprocess{.image_size = 32, .crop = "none", .flip = false};
    const Random random(5, purpose::augmentation, 0);
    CHECK(eval(small, preprocess) == floats(small));
    CHECK(eval(large, preprocess) == floats(resize_small_central(large, 32, 32)));
    CHECK(train(large, preprocess, random) == eval(large, preprocess));

    preprocess.flip = true;
    int flipped = 0;
    for (uint64_t i = 0; i < 400; i++) {
      const auto out = train(small, preprocess, Random(5, purpose::augmentation, i));
      const bool mirrored = out == floats_flipped(small);
      CHECK((mirrored || out == floats(small)));
      flipped += mirrored;
    }
    CHECK(flipped > 160);
    CHECK(flipped < 240);

    preprocess.flip = false;
    preprocess.crop = "pad";
    Random again = random;
    CHECK(train(small, preprocess, random) == floats(pad_crop(small, preprocess.pad, again)));
    CHECK(eval(small, preprocess) == floats(small));

    preprocess.crop = "inception";
    again = random;
    const Window window = inception_crop(60, 50, again);
    CHECK(train(large, preprocess, random) == floats(resize_bilinear(large, window, 32, 32)));
    CHECK(eval(large, preprocess) == floats(resize_small_central(large, 37, 32)));    // 32 * 256 / 224 = 36.57
  }

  TEST_CASE("values without meaning are usage errors") {
    CHECK_NOTHROW(check_preprocess({}));
    CHECK_THROWS_AS(check_preprocess({.crop = "Inception"}), Error);
    CHECK_THROWS_AS(check_preprocess({.image_size = 0}), Error);
    CHECK_THROWS_AS(check_preprocess({.pad = -1}), Error);
  }
}

TEST_CASE("the few-shot probe's preparation: both sides to 256/224 of the size, bilinear, then the middle") {
  Image image{6, 12, std::vector<uint8_t>(6 * 12 * 3)};
  for (size_t i = 0; i < image.rgb.size(); i++) image.rgb[i] = uint8_t(i * 37 % 251);
  std::vector<uint8_t> out(7 * 7 * 3), usual(7 * 7 * 3);
  const Image whole = resize_bilinear(image, {0, 0, 6, 12}, 8, 8);
  for (const char* crop : {"inception", "pad", "none"}) {    // however the model was trained
    CAPTURE(crop);
    prepare_eval(image, {.image_size = 7, .crop = crop, .stretch = true}, out.data());
    for (int y = 0; y < 7; y++)
      for (int c = 0; c < 21; c++)
        CHECK(out[y * 21 + c] == whole.rgb[y * 24 + c]);  // (8 - 7) / 2 = 0: from the first row and column
  }
  prepare_eval(image, {.image_size = 7}, usual.data());
  CHECK(usual != out);
}

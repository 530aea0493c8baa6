#include "data/randaug.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <map>

#include "engine/hash.h"
#include "tests/error_of.h"

namespace {
constexpr int upstream = 0, repaired = 1, plus = 1, minus = -1;

// No two channels have the same range of values, and no value is as frequent as another.
Image picture(int height, int width) {
  Image image{height, width, {}};
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < 3; c++) {
        const int value = (x * 37 + y * 101 + c * 59 + x * y * 13) % 251;
        image.rgb.push_back(uint8_t(10 + 20 * c + value * value / (300 + 60 * c)));
      }
  return image;
}

Image plain(int height, int width, uint8_t value) {
  return {height, width, std::vector<uint8_t>(size_t(height) * size_t(width) * 3, value)};
}

std::array<int, 3> pixel(const Image& image, int y, int x) {
  const uint8_t* at = &image.rgb[(size_t(y) * size_t(image.width) + size_t(x)) * 3];
  return {at[0], at[1], at[2]};
}

uint64_t hash(const Image& image) { return fnv1a({reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()}); }

const Operation& named(const char* name, bool with_repairs = false) {
  const auto& all = operations(with_repairs);
  const auto is_it = [&](const Operation& each) { return std::string_view(each.name) == name; };
  const auto found = std::find_if(all.begin(), all.end(), is_it);
  REQUIRE(found != all.end());
  return *found;
}

Image applied(const Operation& operation, Image image, int magnitude, int sign = plus) {
  Random random(1, purpose::augmentation, 0);
  operation.apply(image, sign * operation.level(magnitude / 10.), random);
  return image;
}

struct Golden { const char* name; int magnitude, which, sign; uint64_t hash; std::array<int, 3> pixel; };

// Of picture(180, 200) and its pixel in row 100, column 150, computed by NumPy from the definitions of the operations;
// BigVision's code under TensorFlow 2.15 (its own kernels, not oneDNN's) gives the same bytes.
const Golden golden[] = {
    {"AutoContrast", 0, upstream, plus, 0xe6cff8efad6db782, {14, 58, 130}},
    {"Equalize", 0, upstream, plus, 0xba8458f4174ac729, {61, 122, 182}},
    {"Invert", 0, upstream, plus, 0x79db4b60441341e0, {233, 185, 129}},
    {"Rotate", 7, upstream, plus, 0x6181c7789c8568cf, {114, 184, 54}},
    {"Rotate", 7, upstream, minus, 0xe564e317377f3eab, {215, 38, 81}},
    {"Rotate", 15, upstream, plus, 0x5af3def1c5d32dd3, {12, 50, 100}},
    {"Rotate", 15, upstream, minus, 0xad25a9e587fc4c30, {46, 103, 167}},
    {"Posterize", 0, upstream, plus, 0xb5a8b1b5f70aa125, {0, 0, 0}},
    {"Posterize", 7, upstream, plus, 0x006c942618a9ad25, {0, 64, 64}},
    {"Posterize", 15, upstream, plus, 0x791903d8b5d39015, {20, 68, 124}},
    {"Solarize", 0, upstream, plus, 0x79db4b60441341e0, {233, 185, 129}},
    {"Solarize", 7, upstream, plus, 0xacebb34b32ad533d, {22, 70, 126}},
    {"Solarize", 15, upstream, plus, 0xcc2f0fc0449614ef, {22, 70, 126}},
    {"Color", 0, upstream, plus, 0x28cac8c2b0b4e083, {58, 62, 68}},
    {"Color", 15, upstream, plus, 0x33855689e6cd95dc, {0, 84, 241}},
    {"Contrast", 0, upstream, plus, 0xb857a1d276a9d99d, {128, 133, 138}},
    {"Contrast", 7, upstream, plus, 0xd258c8c648cbb819, {0, 44, 120}},
    {"Contrast", 15, upstream, plus, 0xb84a7737bde05bd0, {0, 0, 100}},
    {"Brightness", 0, upstream, plus, 0x1aea8c5aa1d93e05, {2, 7, 12}},
    {"Brightness", 15, upstream, plus, 0x25251c1213d398d6, {61, 196, 255}},
    {"Sharpness", 0, upstream, plus, 0xb71c4e9c07ef61ec, {54, 66, 107}},
    {"Sharpness", 7, upstream, plus, 0x941d9da1d7d541ac, {9, 71, 133}},
    {"Sharpness", 15, upstream, plus, 0x7f2f40adda0ee212, {0, 77, 163}},
    {"ShearX", 15, upstream, plus, 0xe7af774d4d3afa28, {197, 35, 75}},
    {"ShearX", 15, upstream, minus, 0xd9a021d0e54273a0, {71, 135, 50}},
    {"ShearY", 15, upstream, plus, 0x12d3ae0ce90a9a99, {177, 32, 69}},
    {"ShearY", 15, upstream, minus, 0x1d4b08f0b11598c2, {132, 30, 58}},
    {"TranslateX", 7, upstream, plus, 0x5213969b3245ef54, {128, 128, 128}},
    {"TranslateX", 7, upstream, minus, 0xcc7308813f9b113a, {39, 95, 157}},
    {"TranslateY", 7, upstream, plus, 0x0c1fe0d573414fdb, {21, 68, 124}},
    {"TranslateY", 7, upstream, minus, 0x7842bf413778637e, {23, 71, 128}},
    {"SolarizeAdd", 7, upstream, plus, 0xdb438bab5ea46a61, {99, 147, 203}},
    {"SolarizeAdd", 15, upstream, plus, 0x80bc4325c1d5f427, {187, 235, 255}},
    {"Posterize", 0, repaired, plus, 0x6f97b1bc622088a5, {0, 0, 0}},
    {"Solarize", 15, repaired, plus, 0x6a601810b0006718, {22, 70, 126}},
    {"Contrast", 15, repaired, plus, 0x8065285dad94a82f, {0, 41, 198}},
};
}  // namespace

TEST_SUITE("randaug") {
  TEST_CASE("every operation gives upstream's bytes") {
    const Image image = picture(180, 200);
    for (const Golden& expected : golden) {
      CAPTURE(expected.name);
      CAPTURE(expected.magnitude);
      CAPTURE(expected.sign);
      const Image got = applied(named(expected.name, expected.which), image, expected.magnitude, expected.sign);
      CHECK(pixel(got, 100, 150) == expected.pixel);
      CHECK(hash(got) == expected.hash);
    }
    const Image flat = plain(20, 20, 9);    // nothing to stretch
    for (const char* name : {"AutoContrast", "Equalize"}) CHECK(applied(named(name), flat, 0).rgb == flat.rgb);
  }

  TEST_CASE("levels follow upstream's tables") {
    const auto levels = [](const char* name, bool with_repairs = false) {
      std::vector<double> all;
      for (const int magnitude : {0, 10, 15, 20, 23}) all.push_back(named(name, with_repairs).level(magnitude / 10.));
      return all;
    };
    using Levels = std::vector<double>;
    CHECK(levels("Posterize") == Levels{1, 4, 6, 8, 1});
    CHECK(levels("Posterize", true) == Levels{0, 4, 6, 8, 8});
    CHECK(levels("Solarize") == Levels{0, 0, 128, 0, 76});
    CHECK(levels("Solarize", true) == Levels{0, 256, 256, 256, 256});
    CHECK(levels("Cutout") == Levels{0, 40, 60, 80, 92});
    CHECK(levels("SolarizeAdd") == Levels{0, 110, 165, 220, 252});    // 2.3 * 110 is below 253 in double
    const auto close = [&](const char* name, const Levels& expected) {
      const Levels got = levels(name);
      for (size_t i = 0; i < expected.size(); i++) CHECK(got[i] == doctest::Approx(expected[i]));
    };
    close("Rotate", {0, 30, 45, 60, 69});
    for (const char* name : {"ShearX", "ShearY"}) close(name, {0, .3, .45, .6, .69});
    for (const char* name : {"TranslateX", "TranslateY"}) close(name, {0, 100, 150, 200, 230});
    for (const char* name : {"Color", "Contrast", "Brightness", "Sharpness"}) close(name, {.1, 1.9, 2.8, 3.7, 4.24});
  }

  TEST_CASE("Contrast moves from the count of pixels, repaired from their mean") {
    const auto flattened = [](int side, uint8_t value, bool with_repairs) {
      return pixel(applied(named("Contrast", with_repairs), plain(side, side, value), 0), 0, 0)[0];
    };
    CHECK(flattened(224, 0, false) == 176);    // 196 + 0.1 (0 - 196)
    CHECK(flattened(32, 0, false) == 3);       // 4 + 0.1 (0 - 4)
    CHECK(flattened(384, 0, false) == 229);    // 576, cut to 255
    CHECK(flattened(224, 0, true) == 0);
    CHECK(flattened(224, 200, true) == 200);
  }

  TEST_CASE("Cutout fills a square around any pixel") {
    const Operation& cutout = named("Cutout");
    size_t largest = 0, smallest = 1 << 20;
    for (uint64_t item = 0; item < 200; item++) {
      Random random(3, purpose::augmentation, item), same = random;
      const int cy = int(same.below(200)), cx = int(same.below(250));
      Image image = plain(200, 250, 7), expected = image;
      size_t filled = 0;
      for (int y = 0; y < 200; y++)
        for (int x = 0; x < 250; x++)
          if (cy - 60 <= y && y < cy + 60 && cx - 60 <= x && x < cx + 60)
            std::fill_n(&expected.rgb[size_t(y * 250 + x) * 3], 3, uint8_t(128)), filled++;
      cutout.apply(image, cutout.level(1.5), random);
      CHECK(hash(image) == hash(expected));
      largest = std::max(largest, filled), smallest = std::min(smallest, filled);
    }
    CHECK(largest == 120 * 120);
    CHECK(smallest < 120 * 120 / 2);
  }

  TEST_CASE("images of any size are augmented") {
    for (const auto& [height, width] : {std::pair(1, 1), {1, 5}, {5, 1}, {2, 2}, {2, 9}, {3, 3}})
      for (const bool with_repairs : {false, true})
        for (const Operation& operation : operations(with_repairs))
          for (const int magnitude : {0, 10, 20, 99}) {
            const Image image = applied(operation, picture(height, width), magnitude, minus);
            CHECK(image.rgb.size() == size_t(height * width * 3));
          }
  }

  TEST_CASE("operations are picked uniformly, signs are even") {
    const Image image = picture(24, 20);
    std::map<uint64_t, std::pair<std::string, int>> which;    // what one operation can make of the image; else Cutout
    for (const Operation& operation : operations(false)) {
      if (std::string(operation.name) == "Cutout") continue;
      which[hash(applied(operation, image, 1))] = {operation.name, plus};
      if (operation.either_sign) which[hash(applied(operation, image, 1, minus))] = {operation.name, minus};
    }
    REQUIRE(which.size() == 20);

    constexpr int draws = 16000;
    std::map<std::string, int> count, positive;
    for (uint64_t item = 0; item < draws; item++) {
      Image got = image;
      Random random(11, purpose::augmentation, item);
      randaugment(got, {1, 1}, random);
      const auto found = which.find(hash(got));
      const auto [name, sign] = found == which.end() ? std::pair<std::string, int>("Cutout", plus) : found->second;
      count[name]++;
      positive[name] += sign == plus;
    }
    CHECK(count.size() == 16);
    const double deviation = std::sqrt(draws / 16. * 15 / 16);
    for (const auto& [name, n] : count) {
      CAPTURE(name);
      CHECK(std::abs(n - draws / 16) < 4 * deviation);
      if (named(name.c_str()).either_sign) CHECK(std::abs(positive[name] - n / 2) < 4 * std::sqrt(n) / 2);
    }
  }

  TEST_CASE("operations follow each other, from the same sequence of random numbers") {
    Image twice = picture(40, 30), both = twice, untouched = twice;
    Random random(5, purpose::augmentation, 9), same = random, unused = random;
    randaugment(both, {2, 15}, random);
    randaugment(twice, {1, 15}, same);
    randaugment(twice, {1, 15}, same);
    CHECK(hash(both) == hash(twice));
    CHECK(random.bits() == same.bits());

    randaugment(untouched, {}, unused);
    CHECK(hash(untouched) == hash(picture(40, 30)));
    CHECK(unused.bits() == Random(5, purpose::augmentation, 9).bits());
  }

  TEST_CASE("randaugment repairs what it is told to") {
    const auto differ = [](int magnitude) {
      int count = 0;
      for (uint64_t item = 0; item < 400; item++) {
        Image original = picture(40, 30), put_right = original;
        Random random(6, purpose::augmentation, item), same = random;
        randaugment(original, {1, magnitude, false}, random);
        randaugment(put_right, {1, magnitude, true}, same);
        count += original.rgb != put_right.rgb;
      }
      return count;
    };
    CHECK(std::abs(differ(15) - 400 * 2 / 16) < 30);    // Solarize and Contrast
    CHECK(std::abs(differ(0) - 400 * 2 / 16) < 30);     // Posterize and Contrast
  }

  TEST_CASE("what --randaug says") {
    CHECK(parse_randaug("2,15") == RandAugment{2, 15, false});
    CHECK(parse_randaug("2,0") == RandAugment{2, 0, false});
    CHECK(parse_randaug("3,20,repaired") == RandAugment{3, 20, true});
    CHECK(parse_randaug("0") == RandAugment{});
    CHECK(parse_randaug("none") == RandAugment{});
    for (const char* text : {"2,15", "2,0", "3,20,repaired", "none"}) CHECK(to_text(parse_randaug(text)) == text);
    CHECK(to_text(RandAugment{0, 15, true}) == "none");
    for (const char* text : {"", "2", "2,", ",15", "2,-1", "-2,15", "2,15.5", "2, 15", "2,15,", "2,15,fixed",
                             "2,15,repaired,", "2,15,,repaired", "0,15", "02,15", "2,100", "100,2", "two,15", "2;15"})
      CHECK(says(error_of(ExitCode::usage, [&] { parse_randaug(text); }), {"--randaug", "N,M", "got"}));
  }
}

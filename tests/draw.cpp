// The demo set: repeatable, balanced, real JPEGs, and beyond the reach of a linear classifier.
#include "data/synthetic.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <fstream>
#include <map>
#include <numeric>

#include "data/image.h"
#include "data/index.h"
#include "data/source.h"
#include "tests/temp_dir.h"

namespace {
constexpr int classes = int(drawn_classes.size());

struct Pictures {
  std::vector<std::vector<float>> pixels;    // with a constant 1 at the end
  std::vector<int> labels;
};

// `hint` marks the class in one pixel of the first rows.
Pictures draw_all(int count, uint64_t first, bool hint) {
  Pictures pictures;
  for (int i = 0; i < count; i++) {
    const int label = i % classes;
    Random random(1, purpose::drawing, first + i);
    const Image image = draw_picture(label, 32, random);
    std::vector<float> pixels;
    for (const uint8_t value : image.rgb) pixels.push_back(float(value) / 127.5f - 1);
    if (hint) pixels[size_t(label) * 32] = 5;
    pixels.push_back(1);
    pictures.pixels.push_back(std::move(pixels));
    pictures.labels.push_back(label);
  }
  return pictures;
}

// Softmax regression on pixels by gradient descent; its accuracy on other pictures of the same kind.
double linear_accuracy(bool hint) {
  const Pictures train = draw_all(3000, 0, hint), test = draw_all(1000, 1'000'000, hint);
  const size_t width = train.pixels[0].size();
  std::vector<std::vector<float>> weights(classes, std::vector<float>(width));
  const auto scores = [&](const std::vector<float>& x) {
    std::array<float, classes> result;
    for (int c = 0; c < classes; c++) result[c] = std::inner_product(x.begin(), x.end(), weights[c].begin(), 0.0f);
    return result;
  };
  for (int epoch = 0; epoch < 4; epoch++)
    for (size_t i = 0; i < train.pixels.size(); i++) {
      auto p = scores(train.pixels[i]);
      const float highest = *std::max_element(p.begin(), p.end());
      float sum = 0;
      for (float& value : p) sum += value = std::exp(value - highest);
      for (int c = 0; c < classes; c++) {
        const float slope = 0.001f * (float(c == train.labels[i]) - p[c] / sum);
        for (size_t j = 0; j < width; j++) weights[c][j] += slope * train.pixels[i][j];
      }
    }
  int right = 0;
  for (size_t i = 0; i < test.pixels.size(); i++) {
    const auto p = scores(test.pixels[i]);
    right += std::max_element(p.begin(), p.end()) - p.begin() == test.labels[i];
  }
  return double(right) / double(test.pixels.size());
}

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
}

TEST_SUITE("draw") {
  TEST_CASE("the same seed draws the same bytes, another one others") {
    TempDir dir;
    write_drawn_set(dir.path() / "a", 40, 20, 32, 5);
    write_drawn_set(dir.path() / "b", 40, 20, 32, 5);
    write_drawn_set(dir.path() / "c", 40, 20, 32, 6);
    for (const char* name : {"train-0000.tar", "val-0000.tar", "classes.txt"}) {
      CAPTURE(name);
      REQUIRE(!content(dir.path() / "a" / name).empty());
      CHECK(content(dir.path() / "a" / name) == content(dir.path() / "b" / name));
    }
    CHECK(content(dir.path() / "a/train-0000.tar") != content(dir.path() / "c/train-0000.tar"));
  }

  TEST_CASE("a set is balanced, mixed, whole JPEGs, and no validation picture is in training") {
    TempDir dir;
    write_drawn_set(dir.path(), 2100, 400, 32, 0);
    std::map<std::vector<uint8_t>, int> seen;
    for (const auto& [split, size, shards] : {std::tuple{"train", 2100, 2}, std::tuple{"val", 400, 1}}) {
      CAPTURE(split);
      const std::string source = (dir.path() / split).string() + "-*.tar";
      CHECK(expand_source(source).size() == size_t(shards));
      const Index index = Index::open(source, "");
      REQUIRE(index.size() == size_t(size));
      std::array<int, classes> counts{};
      int same_as_before = 0;
      for (size_t i = 0; i < index.size(); i++) {
        counts.at(index.label(i))++;
        same_as_before += i > 0 && index.label(i) == index.label(i - 1);
        std::vector<uint8_t> bytes;
        index.read(i, bytes);
        seen[bytes]++;
        const Image image = decode_image(bytes, index.where(i));
        CHECK((image.width == 32 && image.height == 32));
      }
      for (const int count : counts) CHECK(count == size / classes);
      CHECK(same_as_before > size / classes * 6 / 10);    // about one in ten
      CHECK(same_as_before < size / classes * 14 / 10);
    }
    CHECK(seen.size() == 2500);
    const auto names = Index::open((dir.path() / "train-*.tar").string(), {}).classes();
    CHECK(std::equal(names.begin(), names.end(), drawn_classes.begin(), drawn_classes.end()));
  }

  TEST_CASE("a picture holds its shape, at every size") {
    for (const int size : {16, 32, 100}) {
      CAPTURE(size);
      for (int label = 0; label < classes; label++)
        for (int i = 0; i < 20; i++) {
          // the same scene with another shape differs where the shape is: in a fair part of the picture
          Random random(2, purpose::drawing, i), same_random(2, purpose::drawing, i);
          const Image a = draw_picture(label, size, random), b = draw_picture((label + 1) % classes, size, same_random);
          REQUIRE((a.width == size && a.height == size && a.rgb.size() == size_t(size) * size * 3));
          int differ = 0;
          for (size_t p = 0; p < a.rgb.size(); p++) differ += std::abs(a.rgb[p] - b.rgb[p]) > 25;
          CHECK(differ > int(a.rgb.size()) / 100);
        }
    }
  }

  TEST_CASE("a linear classifier on pixels fails") {
    CHECK(linear_accuracy(true) > 0.9);    // it does find what is linear
    const double accuracy = linear_accuracy(false);
    MESSAGE("linear accuracy " << accuracy);
    CHECK(accuracy < 0.2);
  }
}

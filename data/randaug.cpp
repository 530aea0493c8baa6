#include "data/randaug.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <numeric>
#include <string_view>

#include "engine/error.h"

namespace {
using Histogram = std::array<int, 256>;

constexpr uint8_t fill = 128;

uint8_t to_byte(float x) { return uint8_t(int(std::min(std::max(x, 0.f), 255.f))); }

// Upstream copies at the factors 0 and 1 and does not clip between them; that gives the same bytes.
uint8_t blend(float from, float to, float factor) { return to_byte(from + factor * (to - from)); }

// Every byte by a table of value(channel, byte).
template <class Value>
void map_bytes(Image& image, Value value) {
  std::array<std::array<uint8_t, 256>, 3> table;
  for (int c = 0; c < 3; c++)
    for (int x = 0; x < 256; x++) table[size_t(c)][size_t(x)] = uint8_t(value(c, x));
  for (size_t i = 0; i < image.rgb.size(); i += 3)
    for (size_t c = 0; c < 3; c++) image.rgb[i + c] = table[c][image.rgb[i + c]];
}

std::array<Histogram, 3> histograms(const Image& image) {
  std::array<Histogram, 3> counts{};
  for (size_t i = 0; i < image.rgb.size(); i += 3)
    for (size_t c = 0; c < 3; c++) counts[c][image.rgb[i + c]]++;
  return counts;
}

int lowest(const Histogram& counts) {
  int x = 0;
  while (x < 255 && !counts[size_t(x)]) x++;
  return x;
}

int highest(const Histogram& counts) {
  int x = 255;
  while (x > 0 && !counts[size_t(x)]) x--;
  return x;
}

uint8_t gray(const uint8_t* pixel) {
  constexpr float scale = 1.f / 255.f;
  const float sum = 0.2989f * (pixel[0] * scale) + 0.587f * (pixel[1] * scale) + 0.114f * (pixel[2] * scale);
  return to_byte(sum * 255.5f);
}

void autocontrast(Image& image, double, Random&) {
  const auto counts = histograms(image);
  map_bytes(image, [&](int c, int x) -> uint8_t {
    const int low = lowest(counts[size_t(c)]), high = highest(counts[size_t(c)]);
    if (high == low) return uint8_t(x);
    const float scale = 255.f / float(high - low), offset = -float(low) * scale;
    return to_byte(float(x) * scale + offset);
  });
}

void equalize(Image& image, double, Random&) {
  const auto counts = histograms(image);
  std::array<Histogram, 3> below{};    // how many pixels have a smaller value
  for (size_t c = 0; c < 3; c++) std::partial_sum(counts[c].begin(), counts[c].end() - 1, below[c].begin() + 1);
  map_bytes(image, [&](int c, int x) {
    const int step = below[size_t(c)][size_t(highest(counts[size_t(c)]))] / 255;
    return step ? std::min((below[size_t(c)][size_t(x)] + step / 2) / step, 255) : x;
  });
}

void invert(Image& image, double, Random&) {
  map_bytes(image, [](int, int x) { return 255 - x; });
}

void posterize(Image& image, double bits, Random&) {
  const int shift = 8 - int(bits);
  map_bytes(image, [&](int, int x) { return x >> shift << shift; });
}

void solarize(Image& image, double threshold, Random&) {
  map_bytes(image, [&](int, int x) { return x < threshold ? x : 255 - x; });
}

void solarize_add(Image& image, double add, Random&) {
  map_bytes(image, [&](int, int x) { return x < 128 ? std::min(x + int(add), 255) : x; });
}

void color(Image& image, double factor, Random&) {
  for (size_t i = 0; i < image.rgb.size(); i += 3) {
    uint8_t* pixel = &image.rgb[i];
    const uint8_t from = gray(pixel);
    for (int c = 0; c < 3; c++) pixel[c] = blend(from, pixel[c], float(factor));
  }
}

void blend_from(Image& image, uint8_t from, double factor) {
  map_bytes(image, [&](int, int x) { return blend(from, float(x), float(factor)); });
}

void contrast(Image& image, double factor, Random&) {
  blend_from(image, to_byte(float(image.height) * float(image.width) / 256.f), factor);
}

void contrast_repaired(Image& image, double factor, Random&) {
  int64_t sum = 0;
  for (size_t i = 0; i < image.rgb.size(); i += 3) sum += gray(&image.rgb[i]);
  blend_from(image, to_byte(float(sum) / float(image.rgb.size() / 3)), factor);
}

void brightness(Image& image, double factor, Random&) { blend_from(image, 0, factor); }

void sharpness(Image& image, double factor, Random&) {
  constexpr float side = 1 / 13.f, middle = 5 / 13.f;
  const Image source = image;
  const int row = image.width * 3;
  std::vector<float> smooth(static_cast<size_t>(row));
  for (int y = 1; y < image.height - 1; y++) {
    const uint8_t* from = source.rgb.data() + y * row;
    uint8_t* to = image.rgb.data() + y * row;
    std::fill(smooth.begin(), smooth.end(), 0.f);
    for (const int dy : {-row, 0, row})
      for (const int dx : {-3, 0, 3}) {
        const float weight = dy || dx ? side : middle;
        for (int i = 3; i < row - 3; i++) smooth[size_t(i)] += from[i + dy + dx] * weight;
      }
    for (int i = 3; i < row - 3; i++) to[i] = blend(to_byte(smooth[size_t(i)]), from[i], float(factor));
  }
}

// Pixel (x, y) becomes the one nearest to (x', y') = (a[0] x + a[1] y + a[2], a[3] x + a[4] y + a[5]).
void move_pixels(Image& image, const std::array<float, 6>& a) {
  const Image source = image;
  uint8_t* to = image.rgb.data();
  for (int y = 0; y < image.height; y++)
    for (int x = 0; x < image.width; x++, to += 3) {
      const int from_x = int(std::round(a[0] * float(x) + a[1] * float(y) + a[2]));
      const int from_y = int(std::round(a[3] * float(x) + a[4] * float(y) + a[5]));
      const bool inside = from_x >= 0 && from_x < image.width && from_y >= 0 && from_y < image.height;
      if (inside) std::copy_n(&source.rgb[(size_t(from_y) * size_t(image.width) + size_t(from_x)) * 3], 3, to);
      else std::fill_n(to, 3, fill);
    }
}

void rotate(Image& image, double degrees, Random&) {
  const float angle = float(degrees) * float(std::numbers::pi / 180), cos = std::cos(angle), sin = std::sin(angle);
  const float right = float(image.width - 1), bottom = float(image.height - 1);
  move_pixels(image, {cos, -sin, (right - (cos * right - sin * bottom)) / 2,
                      sin, cos, (bottom - (sin * right + cos * bottom)) / 2});
}

void shear_x(Image& image, double level, Random&) { move_pixels(image, {1, float(level), 0, 0, 1, 0}); }
void shear_y(Image& image, double level, Random&) { move_pixels(image, {1, 0, 0, float(level), 1, 0}); }
void translate_x(Image& image, double pixels, Random&) { move_pixels(image, {1, 0, float(pixels), 0, 1, 0}); }
void translate_y(Image& image, double pixels, Random&) { move_pixels(image, {1, 0, 0, 0, 1, float(pixels)}); }

// A square of 2 pad pixels around any pixel, cut at the edges.
void cutout(Image& image, double pad, Random& random) {
  const int y = int(random.below(uint32_t(image.height))), x = int(random.below(uint32_t(image.width)));
  const int left = std::max(x - int(pad), 0), right = std::min(x + int(pad), image.width);
  for (int row = std::max(y - int(pad), 0); row < std::min(y + int(pad), image.height); row++)
    std::fill_n(&image.rgb[(size_t(row) * size_t(image.width) + size_t(left)) * 3], (right - left) * 3, fill);
}

double no_level(double) { return 0; }
double enhance_factor(double m) { return m * 1.8 + 0.1; }
double shear_level(double m) { return m * 0.3; }
double translate_pixels(double m) { return m * 100; }

constexpr std::array<Operation, 16> original{{
    {"AutoContrast", no_level, false, autocontrast},
    {"Equalize", no_level, false, equalize},
    {"Invert", no_level, false, invert},
    {"Rotate", [](double m) { return m * 30; }, true, rotate},
    {"Posterize", [](double m) { return 8. - std::min<int>(uint8_t(8 - int(m * 4)), 7); }, false, posterize},
    {"Solarize", [](double m) { return double(uint8_t(int(m * 256))); }, false, solarize},
    {"Color", enhance_factor, false, color},
    {"Contrast", enhance_factor, false, contrast},
    {"Brightness", enhance_factor, false, brightness},
    {"Sharpness", enhance_factor, false, sharpness},
    {"ShearX", shear_level, true, shear_x},
    {"ShearY", shear_level, true, shear_y},
    {"TranslateX", translate_pixels, true, translate_x},
    {"TranslateY", translate_pixels, true, translate_y},
    {"Cutout", [](double m) { return double(int(m * 40)); }, false, cutout},
    {"SolarizeAdd", [](double m) { return double(int(m * 110)); }, false, solarize_add},
}};

constexpr std::array<Operation, 16> without_quirks = [] {
  std::array<Operation, 16> table = original;
  for (Operation& operation : table) {
    const std::string_view name = operation.name;
    if (name == "Posterize") operation.level = [](double m) { return double(std::min(int(m * 4), 8)); };
    if (name == "Solarize") operation.level = [](double m) { return double(std::min(int(m * 256), 256)); };
    if (name == "Contrast") operation.apply = contrast_repaired;
  }
  return table;
}();
}  // namespace

const std::array<Operation, 16>& operations(bool repaired) { return repaired ? without_quirks : original; }

void randaugment(Image& image, const RandAugment& options, Random& random) {
  for (int i = 0; i < options.ops; i++) {
    const Operation& operation = operations(options.repaired)[random.below(16)];
    const double level = operation.level(options.magnitude / 10.);
    operation.apply(image, operation.either_sign && random.below(2) ? -level : level, random);
  }
}

RandAugment parse_randaug(const std::string& text) {
  if (text == "0" || text == "none") return {};
  RandAugment options{.repaired = text.ends_with(",repaired")};
  std::sscanf(text.c_str(), "%2d,%2d", &options.ops, &options.magnitude);
  if (options.ops < 0 || options.magnitude < 0 || text != to_text(options))    // anything else, or more, in the text
    fail(ExitCode::usage, "--randaug: expected N,M or N,M,repaired (N 1 to 99, M 0 to 99) or none, got \"{}\"", text);
  return options;
}

std::string to_text(const RandAugment& options) {
  if (options.ops == 0) return "none";
  return fmt::format("{},{}{}", options.ops, options.magnitude, options.repaired ? ",repaired" : "");
}

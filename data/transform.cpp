#include "data/transform.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"

namespace {
Image blank(int height, int width) { return {height, width, std::vector<uint8_t>(size_t(height) * size_t(width) * 3)}; }

const uint8_t* row_of(const Image& image, int y) { return image.rgb.data() + size_t(y) * size_t(image.width) * 3; }
uint8_t* row_of(Image& image, int y) { return image.rgb.data() + size_t(y) * size_t(image.width) * 3; }

Image copy_window(const Image& image, const Window& window) {
  Image out = blank(window.height, window.width);
  for (int y = 0; y < window.height; y++)
    std::copy_n(row_of(image, window.y + y) + window.x * 3, window.width * 3, row_of(out, y));
  return out;
}

uint8_t to_byte(float x) { return uint8_t(int(std::min(std::max(x, 0.f), 255.f))); }

// One attempt of inception_crop; false where rounding leaves no crop within the limits.
bool try_crop(int height, int width, Random& random, Window& window) {
  const auto rounded = [](float x) { return int(std::lrintf(x)); };    // to even
  const float ratio = float(random.uniform()) * (1.33f - 0.75f) + 0.75f;
  const float smallest = 0.05f * float(width) * float(height), largest = float(width) * float(height);
  int h = rounded(std::sqrt(smallest / ratio)), tallest = rounded(std::sqrt(largest / ratio));
  if (rounded(float(tallest) * ratio) > width) {
    tallest = int((width + 0.5 - double(1e-7f)) / double(ratio));
    if (rounded(float(tallest) * ratio) > width) tallest--;
  }
  tallest = std::min(tallest, height);
  h = std::min(h, tallest);
  h += int(random.below(uint32_t(tallest - h + 1)));
  int w = rounded(float(h) * ratio);
  if (float(w) * float(h) < smallest) w = rounded(float(++h) * ratio);
  if (float(w) * float(h) > largest) w = rounded(float(--h) * ratio);
  const float area = float(w) * float(h);
  if (area < smallest || area > largest || w > width || h > height || w <= 0 || h <= 0) return false;
  // The last offset is never drawn, as in TensorFlow.
  const int y = h < height ? int(random.below(uint32_t(height - h))) : 0;
  const int x = w < width ? int(random.below(uint32_t(width - w))) : 0;
  window = {y, x, h, w};
  return true;
}
}  // namespace

Window inception_crop(int height, int width, Random& random) {
  Window window{0, 0, height, width};
  for (int attempt = 0; attempt < 100 && !try_crop(height, width, random, window);) attempt++;
  return window;
}

Window central_crop(int height, int width, int size) { return {(height - size) / 2, (width - size) / 2, size, size}; }

namespace {
struct Tap { int low, high; float t; };    // (1 - t) of pixel low and t of pixel high

std::vector<Tap> bilinear_taps(int in, int out) {
  const float scale = float(in) / float(out);
  std::vector<Tap> taps(static_cast<size_t>(out));
  for (int i = 0; i < out; i++) {
    const float source = (float(i) + 0.5f) * scale - 0.5f, floor = std::floor(source);
    taps[size_t(i)] = {std::max(int(floor), 0), std::min(int(std::ceil(source)), in - 1), source - floor};
  }
  return taps;
}
}  // namespace

Image resize_bilinear(const Image& image, const Window& window, int out_height, int out_width) {
  if (window.height == out_height && window.width == out_width) return copy_window(image, window);
  Image out = blank(out_height, out_width);
  const auto ys = bilinear_taps(window.height, out_height), xs = bilinear_taps(window.width, out_width);

  // Two source rows resized across; an upsampled image uses each of them for several output rows.
  const size_t count = size_t(out_width) * 3;
  std::vector<float> low(count), high(count);
  int low_y = -1, high_y = -1;
  const auto across = [&](int y, float* to) {
    const uint8_t* row = row_of(image, window.y + y) + window.x * 3;
    for (const Tap& tap : xs)
      for (int c = 0; c < 3; c++) {
        const float left = row[tap.low * 3 + c], right = row[tap.high * 3 + c];
        *to++ = left + (right - left) * tap.t;
      }
  };
  for (int y = 0; y < out_height; y++) {
    const Tap& tap = ys[size_t(y)];
    if (tap.low == high_y) { std::swap(low, high); std::swap(low_y, high_y); }
    if (tap.low != low_y) across(low_y = tap.low, low.data());
    if (tap.high != high_y) across(high_y = tap.high, high.data());
    uint8_t* row = row_of(out, y);
    for (size_t i = 0; i < count; i++) row[i] = to_byte(low[i] + (high[i] - low[i]) * tap.t);
  }
  return out;
}

namespace {
// The source pixels [start, end) under an output pixel: first and last weigh the length that is covered, others 1.
struct Cover { int start, end; float first, last; };

// Of output pixels begin ... begin + count - 1 of `out`.
std::vector<Cover> area_covers(int in, int out, int begin, int count) {
  const float scale = float(in) / float(out);
  std::vector<Cover> covers;
  for (int i = begin; i < begin + count; i++) {
    const float from = float(i) * scale, to = float(i + 1) * scale;
    const auto weight = [&](int pixel) {
      const float left = float(pixel), right = float(pixel + 1);
      if (left < from) return right > to ? scale : right - from;
      return right > to ? to - left : 1.f;
    };
    const int start = int(std::floor(from)), end = int(std::ceil(to));
    covers.push_back({start, end, weight(start), weight(end - 1)});
  }
  return covers;
}
}  // namespace

Image resize_area(const Image& image, int out_height, int out_width, const Window& window) {
  if (image.height == out_height && image.width == out_width) return copy_window(image, window);
  Image out = blank(window.height, window.width);
  const auto ys = area_covers(image.height, out_height, window.y, window.height);
  const auto xs = area_covers(image.width, out_width, window.x, window.width);
  const float scale_y = float(image.height) / float(out_height), scale_x = float(image.width) / float(out_width);
  const float normalise = 1.f / (scale_y * scale_x);

  const size_t count = size_t(window.width) * 3;
  std::vector<float> sum(count), across(count);
  for (int y = 0; y < window.height; y++) {
    const Cover& cover = ys[size_t(y)];
    std::fill(sum.begin(), sum.end(), 0.f);
    for (int source = cover.start; source < cover.end; source++) {
      const uint8_t* row = row_of(image, std::min(source, image.height - 1));
      float* to = across.data();
      for (const Cover& x : xs) {
        const auto pixel = [&](int i) { return row + std::min(i, image.width - 1) * 3; };
        float r = pixel(x.start)[0] * x.first, g = pixel(x.start)[1] * x.first, b = pixel(x.start)[2] * x.first;
        if (x.end - x.start > 1) {
          for (int i = x.start + 1; i < x.end - 1; i++) r += pixel(i)[0], g += pixel(i)[1], b += pixel(i)[2];
          const uint8_t* last = pixel(x.end - 1);
          r += last[0] * x.last, g += last[1] * x.last, b += last[2] * x.last;
        }
        to[0] = r, to[1] = g, to[2] = b;
        to += 3;
      }
      const float weight = source == cover.start ? cover.first : source == cover.end - 1 ? cover.last : 1.f;
      for (size_t i = 0; i < count; i++) sum[i] += across[i] * weight;
    }
    uint8_t* row = row_of(out, y);
    for (size_t i = 0; i < count; i++) row[i] = to_byte(sum[i] * normalise);
  }
  return out;
}

Image resize_small_central(const Image& image, int side, int crop) {
  const float factor = float(side) / float(std::min(image.height, image.width));
  const int height = int(std::lrintf(float(image.height) * factor));    // half to even
  const int width = int(std::lrintf(float(image.width) * factor));
  return resize_area(image, height, width, central_crop(height, width, crop));
}

void flip(Image& image) {
  for (int y = 0; y < image.height; y++)
    for (uint8_t *left = row_of(image, y), *right = left + (image.width - 1) * 3; left < right; left += 3, right -= 3)
      std::swap_ranges(left, left + 3, right);
}

Image pad_crop(const Image& image, int pad, Random& random) {
  const auto shift = [&] { return int(random.below(uint32_t(2 * pad + 1))) - pad; };
  const int down = shift(), right = shift();
  // What the crop shows of the image; the rest of it is padding.
  const int y = std::max(down, 0), x = std::max(right, 0);
  const int height = image.height - std::abs(down), width = image.width - std::abs(right);
  Image out = blank(image.height, image.width);
  for (int i = 0; i < height; i++)
    if (width > 0) std::copy_n(row_of(image, y + i) + x * 3, width * 3, row_of(out, y - down + i) + (x - right) * 3);
  return out;
}

namespace {
Image fitted(const Image& image, int size) {
  return image.height == size && image.width == size ? image : resize_small_central(image, size, size);
}
}  // namespace

void check_preprocess(const Preprocess& preprocess) {
  if (preprocess.image_size < 1)
    fail(ExitCode::usage, "image size: expected at least 1, got {}", preprocess.image_size);
  if (preprocess.crop != "inception" && preprocess.crop != "pad" && preprocess.crop != "none")
    fail(ExitCode::usage, "crop: expected inception, pad or none, got \"{}\"", preprocess.crop);
  if (preprocess.pad < 0) fail(ExitCode::usage, "crop padding: expected at least 0, got {}", preprocess.pad);
}

void prepare_train(const Image& image, const Preprocess& preprocess, Random& random, uint8_t* out) {
  const int size = preprocess.image_size;
  Image square;
  if (preprocess.crop == "inception")
    square = resize_bilinear(image, inception_crop(image.height, image.width, random), size, size);
  else if (preprocess.crop == "pad")
    square = pad_crop(fitted(image, size), preprocess.pad, random);
  else
    square = fitted(image, size);
  if (preprocess.flip && random.uniform() < 0.5) flip(square);
  randaugment(square, preprocess.randaug, random);
  std::copy(square.rgb.begin(), square.rgb.end(), out);
}

void prepare_eval(const Image& image, const Preprocess& preprocess, uint8_t* out) {
  const int size = preprocess.image_size;
  const int side = int(std::lrint(size * 256 / 224.0));
  Image square;
  if (preprocess.stretch)
    square = copy_window(resize_bilinear(image, {0, 0, image.height, image.width}, side, side),
                         central_crop(side, side, size));
  else if (preprocess.crop != "inception") square = fitted(image, size);
  else square = resize_small_central(image, side, size);
  std::copy(square.rgb.begin(), square.rgb.end(), out);
}

#include "data/synthetic.h"

#include <algorithm>
#include <cmath>

#include "data/encode.h"
#include "data/labels.h"
#include "data/order.h"
#include "data/shard_writer.h"
#include "engine/error.h"

namespace {
struct Colour {
  double r, g, b;
};
Colour operator+(Colour a, Colour b) { return {a.r + b.r, a.g + b.g, a.b + b.b}; }
Colour operator*(double s, Colour a) { return {s * a.r, s * a.g, s * a.b}; }
double brightness(Colour c) { return 0.3 * c.r + 0.6 * c.g + 0.1 * c.b; }
Colour random_colour(Random& random) {
  const double r = random.uniform(), g = random.uniform(), b = random.uniform();
  return {r, g, b};
}

// On how many of the inner sides of `lines` lines around the centre, evenly turned, the point lies.
int sides(int lines, double distance, double x, double y) {
  int inside = 0;
  for (int i = 0; i < lines; i++) {
    const double angle = 2 * M_PI * i / lines;
    inside += x * std::cos(angle) + y * std::sin(angle) < distance;
  }
  return inside;
}

double square(double x) { return x * x; }
bool in_disc(double x, double y, double radius) { return square(x) + square(y) < square(radius); }

// Whether a point belongs to the shape, which fills about the unit disc; in the order of drawn_classes.
bool shape_contains(int label, double x, double y) {
  switch (label) {
    case 0: return in_disc(x, y, 0.85);
    case 1: return in_disc(x, y, 0.95) && !in_disc(x, y, 0.55);
    case 2: return std::abs(x) < 0.75 && std::abs(y) < 0.75;
    case 3: return sides(3, 0.52, x, y) == 3;
    case 4: return sides(5, 0.36, x, y) >= 4;
    case 5: return std::min(std::abs(x), std::abs(y)) < 0.27 && std::max(std::abs(x), std::abs(y)) < 0.95;
    case 6: return in_disc(x, y, 0.95) && !in_disc(x - 0.45, y, 0.75);
    case 7: return in_disc(std::abs(x) - 0.58, y, 0.42);
    case 8: return in_disc(x, y, 1) && std::fmod(std::abs(y) + 0.2, 0.8) < 0.4;
    default: return std::max(std::abs(x), std::abs(y)) < 0.9 && (int(x / 0.45 + 2) + int(y / 0.45 + 2)) % 2 == 0;
  }
}

// Coordinates are in pixels; `unit` is the pixel of a 32x32 picture, so that a larger picture shows the same scene.
class Canvas {
 public:
  explicit Canvas(int size) : size_(size), pixels_(size_t(size) * size_t(size)) {}
  double unit() const { return size_ / 32.0; }
  double random_place(Random& random) const { return random.uniform(0, size_); }

  template <class Function>
  void fill(Function&& colour) {
    for (int y = 0; y < size_; y++)
      for (int x = 0; x < size_; x++) pixels_[size_t(y) * size_ + x] = colour(x + 0.5, y + 0.5);
  }

  // Paints the points around (cx, cy) that `contains`, with soft edges: 3x3 points a pixel.
  template <class Contains>
  void paint(double cx, double cy, double reach, Colour colour, Contains&& contains) {
    const auto clamp = [&](double v) { return std::clamp(int(std::floor(v)), 0, size_); };
    for (int y = clamp(cy - reach); y < clamp(cy + reach + 1); y++)
      for (int x = clamp(cx - reach); x < clamp(cx + reach + 1); x++) {
        int hits = 0;
        for (int i = 0; i < 9; i++) hits += contains(x + (i % 3 + 0.5) / 3 - cx, y + (i / 3 + 0.5) / 3 - cy);
        Colour& pixel = pixels_[size_t(y) * size_ + x];
        pixel = (1 - hits / 9.0) * pixel + hits / 9.0 * colour;
      }
  }

  Image image(Random& random, double noise) const {
    Image image{size_, size_, {}};
    image.rgb.reserve(pixels_.size() * 3);
    for (const Colour& pixel : pixels_) {
      const double grain = noise * random.normal();
      for (double value : {pixel.r, pixel.g, pixel.b})
        image.rgb.push_back(uint8_t(std::lround(255 * std::clamp(value + grain, 0.0, 1.0))));
    }
    return image;
  }

 private:
  int size_;
  std::vector<Colour> pixels_;
};

// A gradient with soft clouds.
void paint_background(Canvas& canvas, Colour colour, Random& random) {
  constexpr int grid = 4;
  const double angle = random.uniform(0, 2 * M_PI), slope = random.uniform(0, 0.35), clouds = random.uniform(0, 0.15);
  double heights[grid + 1][grid + 1];
  for (auto& row : heights)
    for (double& height : row) height = random.uniform(-1, 1);
  canvas.fill([&](double x, double y) {
    const double u = x / canvas.unit() / 32, v = y / canvas.unit() / 32;
    const int i = std::min(int(v * grid), grid - 1), j = std::min(int(u * grid), grid - 1);
    const double a = v * grid - i, b = u * grid - j;
    const double cloud = (1 - a) * ((1 - b) * heights[i][j] + b * heights[i][j + 1]) +
                         a * ((1 - b) * heights[i + 1][j] + b * heights[i + 1][j + 1]);
    const double light = slope * ((u - 0.5) * std::cos(angle) + (v - 0.5) * std::sin(angle)) + clouds * cloud;
    return colour + light * Colour{1, 1, 1};
  });
}

void paint_line(Canvas& canvas, Random& random) {
  const Colour colour = random_colour(random);
  const double cx = canvas.random_place(random), cy = canvas.random_place(random), angle = random.uniform(0, M_PI);
  const double half = random.uniform(5, 14) * canvas.unit(), width = random.uniform(0.3, 0.7) * canvas.unit();
  canvas.paint(cx, cy, half, colour, [&](double x, double y) {
    const double along = x * std::cos(angle) + y * std::sin(angle), across = y * std::cos(angle) - x * std::sin(angle);
    return std::abs(along) < half && std::abs(across) < width;
  });
}

void paint_blob(Canvas& canvas, Random& random) {
  const Colour colour = random_colour(random);
  const double cx = canvas.random_place(random), cy = canvas.random_place(random);
  const double radius = random.uniform(0.8, 2.2) * canvas.unit();
  canvas.paint(cx, cy, radius, colour, [&](double x, double y) { return in_disc(x, y, radius); });
}

void paint_shape(Canvas& canvas, int label, Colour colour, Random& random) {
  const double unit = canvas.unit(), radius = random.uniform(7, 12.5) * unit, stretch = random.uniform(0.85, 1.18);
  const double margin = 0.85 * radius, cx = random.uniform(margin, 32 * unit - margin),
               cy = random.uniform(margin, 32 * unit - margin);
  const double angle = random.uniform(0, 2 * M_PI), c = std::cos(angle) / radius, s = std::sin(angle) / radius;
  canvas.paint(cx, cy, 1.6 * radius, colour, [&](double x, double y) {
    return shape_contains(label, (c * x + s * y) * stretch, (c * y - s * x) / stretch);
  });
}

// The pictures of a split are numbered from `first` in the seed's sequence.
void write_split(ShardWriter& writer, const std::string& split, uint64_t images, uint64_t first, int size,
                 uint64_t seed, const std::vector<int32_t>& labels) {
  const Permutation mixed(images, seed, first);
  for (uint64_t i = 0; i < images; i++) {
    Random random(seed, purpose::drawing, first + i);
    const int label = int(mixed(i) % drawn_classes.size());
    const Image image = draw_picture(label, size, random);
    const int quality = 80 + int(random.below(16));
    writer.add(fmt::format("{}_{:06}", split, i),
               {{"jpg", encode_jpeg(image, quality)}, {"cls", std::to_string(labels[size_t(label)])}});
  }
  writer.close();
}
}

Image draw_picture(int label, int size, Random& random) {
  Canvas canvas(size);
  const Colour background = random_colour(random);
  Colour foreground;
  do foreground = random_colour(random); while (std::abs(brightness(foreground) - brightness(background)) < 0.3);

  paint_background(canvas, background, random);
  for (uint32_t clutter = 2 + random.below(3); clutter > 0; clutter--)
    random.below(2) ? paint_line(canvas, random) : paint_blob(canvas, random);
  paint_shape(canvas, label, foreground, random);
  if (random.below(3) == 0) paint_line(canvas, random);
  return canvas.image(random, random.uniform(0.01, 0.05));
}

void write_drawn_set(const std::filesystem::path& dir, uint64_t images, uint64_t validation, int size, uint64_t seed) {
  constexpr uint64_t validation_starts = uint64_t(1) << 40;    // far past any training picture
  constexpr size_t samples_per_shard = 2000;
  ShardWriter train(dir, "train", samples_per_shard), val(dir, "val", samples_per_shard);
  const std::vector<int32_t> labels = share_class_list(dir, {drawn_classes.begin(), drawn_classes.end()});
  Unfinished unfinished(dir);
  write_split(train, "train", images, 0, size, seed, labels);
  write_split(val, "val", validation, validation_starts, size, seed, labels);
  unfinished.finish();
}

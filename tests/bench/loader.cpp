#include "tests/bench/loader.h"

#include <chrono>
#include <fmt/format.h>
#include <optional>

#include "data/loader.h"
#include "data/order.h"
#include "engine/console.h"

namespace {
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Parts { double decode = 0, prepare = 0; };    // microseconds an image, reading is part of decoding

// In this thread, for so many seconds, the images in the order of training.
Parts time_parts(const Index& index, const LoaderOptions& options, double seconds) {
  std::vector<uint8_t> bytes;
  std::vector<uint8_t> out(size_t(options.preprocess.image_size) * size_t(options.preprocess.image_size) * 3);
  const Order order{index.size(), options.seed};
  Parts parts;
  uint64_t images = 0;
  for (const auto start = Clock::now(); seconds_since(start) < seconds; images++) {
    const auto begin = Clock::now();
    const Image image = index.image(order(images).sample, bytes);
    const auto decoded = Clock::now();
    Random random(options.seed, purpose::augmentation, images);
    if (options.train) prepare_train(image, options.preprocess, random, out.data());
    else prepare_eval(image, options.preprocess, out.data());
    parts.decode += std::chrono::duration<double, std::micro>(decoded - begin).count();
    parts.prepare += seconds_since(decoded) * 1e6;
  }
  return {parts.decode / double(images), parts.prepare / double(images)};
}

double images_a_second(const Index& index, const LoaderOptions& options, double seconds) {
  std::optional<Loader> loader;
  Batch batch;
  uint64_t images = 0;
  const auto start = Clock::now();
  while (images == 0 || seconds_since(start) < seconds) {
    if (!loader || !loader->next(batch)) {    // an evaluation ends: again from the start
      loader.emplace(index, options);
      continue;
    }
    images += uint64_t(batch.size);
  }
  return double(images) / seconds_since(start);
}
}  // namespace

void bench_loader(const LoaderBench& bench) {
  const Index index = Index::open(bench.data, "");
  LoaderOptions options;
  options.batch = 32;
  options.train = !bench.eval;
  options.preprocess.image_size = bench.size;
  options.workers = bench.workers;
  options.on_bad = OnBadImage::error;
  const Parts parts = time_parts(index, options, bench.seconds / 3);
  const double rate = images_a_second(index, options, bench.seconds);
  print_result("an image: read and decode {:.0f} us, {} {:.0f} us; {} workers: {:.1f} images/s\n", parts.decode,
               bench.eval ? "resize and crop" : "crop, resize and flip", parts.prepare, bench.workers, rate);
}

#include "data/loader.h"

#include <chrono>
#include <cstdlib>
#include <doctest/doctest.h>
#include <fstream>
#include <set>

#include "data/encode.h"
#include "data/order.h"
#include "data/shard_writer.h"
#include "engine/error.h"
#include "tests/real_data.h"
#include "tests/temp_dir.h"

namespace {
// Image i is flat gray of 10 * i, and its label is i; images in `damaged` lack their second half.
Index make_index(const TempDir& dir, int count, const std::set<int>& damaged = {}) {
  ShardWriter writer(dir.path() / "set", "set", 7);
  for (int i = 0; i < count; i++) {
    std::string jpeg = encode_jpeg({8, 8, std::vector<uint8_t>(8 * 8 * 3, uint8_t(10 * i))}, 95);
    if (damaged.contains(i)) jpeg.resize(jpeg.size() / 2);
    writer.add(fmt::format("{:04}", i), {{"cls", std::to_string(i)}, {"jpg", jpeg}});
  }
  writer.close();
  return Index::open((dir.path() / "set").string(), "");
}

LoaderOptions small(bool train, int batch) {
  LoaderOptions options;
  options.batch = batch;
  options.train = train;
  options.seed = 9;
  options.preprocess.image_size = 8;
  options.preprocess.crop = "none";
  return options;
}

struct Given {
  std::vector<int> labels, sizes;
  std::vector<uint8_t> images;
  bool operator==(const Given&) const = default;
};

// Up to `batches` batches.
Given give(Loader& loader, int batches) {
  Given given;
  Batch batch;
  for (int i = 0; i < batches && loader.next(batch); i++) {
    CHECK(batch.images.size() == size_t(batch.size) * 8 * 8 * 3);
    CHECK(batch.labels.size() == size_t(batch.size));
    given.sizes.push_back(batch.size);
    for (const Labels& labels : batch.labels) given.labels.push_back(labels[0]);
    given.images.insert(given.images.end(), batch.images.begin(), batch.images.end());
  }
  return given;
}

Given give(const Index& index, const LoaderOptions& options, int batches) {
  Loader loader(index, options);
  return give(loader, batches);
}

std::string message_of(const Index& index, const LoaderOptions& options, ExitCode expected) {
  try {
    give(index, options, 100);
  } catch (const Error& error) {
    CHECK(error.code == expected);
    return error.what();
  }
  return "no error";
}
}  // namespace

TEST_SUITE("loader") {
  TEST_CASE("evaluation gives each sample once, in order, with its own label and pixels") {
    TempDir dir;
    const Index index = make_index(dir, 23);
    for (int workers : {0, 1, 4}) {
      LoaderOptions options = small(false, 5);
      options.workers = workers;
      Loader loader(index, options);
      const Given given = give(loader, 100);
      CHECK(given.sizes == std::vector<int>{5, 5, 5, 5, 3});
      REQUIRE(given.labels.size() == 23);
      for (int i = 0; i < 23; i++) {
        CHECK(given.labels[size_t(i)] == i);
        CHECK(given.images[size_t(i) * 192 + 100] == doctest::Approx(10 * i).epsilon(0.02));
      }
      Batch batch;
      CHECK_FALSE(loader.next(batch));    // and stays at its end
    }
    LoaderOptions options = small(false, 5);
    options.limit = 12;
    CHECK(give(index, options, 100).sizes == std::vector<int>{5, 5, 2});
    options.limit = 1000;
    CHECK(give(index, options, 100).labels.size() == 23);
    options.start = 20;
    CHECK(give(index, options, 100).labels == std::vector<int>{20, 21, 22});
  }

  TEST_CASE("training follows the order of each epoch, across its border") {
    TempDir dir;
    const Index index = make_index(dir, 23);
    const Given given = give(index, small(true, 5), 14);    // 70 samples: three epochs and one
    std::vector<int> expected;
    const Order order{23, 9};
    for (uint64_t position = 0; position < 70; position++) expected.push_back(int(order(position).sample));
    CHECK(given.labels == expected);
    for (int epoch = 0; epoch < 3; epoch++) {
      const auto begin = given.labels.begin() + epoch * 23;
      CHECK(std::set<int>(begin, begin + 23).size() == 23);
    }
  }

  TEST_CASE("bits do not depend on the number of workers, and a loader can go on where another stopped") {
    TempDir dir;
    const Index index = make_index(dir, 23, {4, 5, 17});
    for (const char* crop : {"inception", "pad"}) {
      LoaderOptions options = small(true, 5);
      options.preprocess.crop = crop;
      options.on_bad = OnBadImage::replace;
      options.workers = 0;
      const Given all = give(index, options, 20);
      for (int workers : {1, 2, 7}) {
        options.workers = workers;
        CHECK(give(index, options, 20) == all);
      }
      options.start = 35;
      const Given rest = give(index, options, 13);
      CHECK(rest.labels == std::vector<int>(all.labels.begin() + 35, all.labels.end()));
      CHECK(rest.images == std::vector<uint8_t>(all.images.begin() + 35 * 192, all.images.end()));

      options.start = 0;
      options.seed = 10;
      CHECK(give(index, options, 20).labels != all.labels);
    }
  }

  TEST_CASE("augmentation differs between epochs") {
    TempDir dir;
    ShardWriter writer(dir.path() / "set", "set", 10);
    Image ramp{8, 8, {}};
    for (int i = 0; i < 192; i++) ramp.rgb.push_back(uint8_t(i));
    writer.add("a", {{"cls", "0"}, {"jpg", encode_jpeg(ramp, 95)}});
    writer.close();
    const Index index = Index::open((dir.path() / "set").string(), "");
    LoaderOptions options = small(true, 1);
    options.preprocess.crop = "inception";
    const Given given = give(index, options, 12);
    std::set<std::vector<uint8_t>> seen;
    for (auto at = given.images.begin(); at != given.images.end(); at += 192) seen.insert({at, at + 192});
    CHECK(seen.size() >= 11);
  }

  TEST_CASE("training replaces a damaged image by the next sample and lists it once") {
    TempDir dir;
    const Index index = make_index(dir, 10, {3, 4, 9});
    LoaderOptions options = small(true, 5);
    options.on_bad = OnBadImage::replace;
    options.workers = 3;
    Loader loader(index, options);
    std::vector<int> expected;
    for (uint64_t position = 0; position < 20; position++) {
      int sample = int(Order{10, 9}(position).sample);
      while (sample == 3 || sample == 4 || sample == 9) sample = (sample + 1) % 10;
      expected.push_back(sample);
    }
    CHECK(give(loader, 4).labels == expected);
    REQUIRE(loader.bad_samples().size() == 3);    // of two epochs, in each 3 (then 4), 4 and 9
    const std::string& why = loader.bad_samples().at(3);
    CHECK(why.find("set-0000.tar:0003.jpg: damaged JPEG") != std::string::npos);
    CHECK(loader.bad_samples().contains(4));
    CHECK(loader.bad_samples().contains(9));
  }

  TEST_CASE("where nothing can be decoded, training stops") {
    TempDir dir;
    const Index index = make_index(dir, 3, {0, 1, 2});
    LoaderOptions options = small(true, 2);
    options.on_bad = OnBadImage::replace;
    CHECK(message_of(index, options, ExitCode::data).starts_with("3 images in a row cannot be decoded"));
  }

  TEST_CASE("evaluation stops at a damaged image, or leaves it out when told to") {
    TempDir dir;
    const Index index = make_index(dir, 12, {2, 3, 4, 5, 10});
    for (int workers : {0, 1, 4}) {
      LoaderOptions options = small(false, 2);
      options.workers = workers;
      CHECK(message_of(index, options, ExitCode::data).find("0002.jpg: damaged JPEG") != std::string::npos);

      options.on_bad = OnBadImage::skip;
      Loader loader(index, options);
      const Given given = give(loader, 100);
      CHECK(given.labels == std::vector<int>{0, 1, 6, 7, 8, 9, 11});
      CHECK(given.sizes == std::vector<int>{2, 2, 2, 1});
      CHECK(given.images.back() == doctest::Approx(110).epsilon(0.02));
      CHECK(loader.bad_samples().size() == 5);
    }
  }

  TEST_CASE("an error in a worker comes out of next() after the good batches, each time, of the first bad sample") {
    TempDir dir;
    const Index index = make_index(dir, 40, {24, 22});
    LoaderOptions options = small(false, 10);
    options.workers = 4;
    Loader loader(index, options);
    Batch batch;
    CHECK(loader.next(batch));
    CHECK(loader.next(batch));
    for (int i = 0; i < 2; i++) {
      std::string message;
      try {
        loader.next(batch);
      } catch (const Error& error) {
        message = error.what();
      }
      CHECK(message.find("0022.jpg") != std::string::npos);
    }
  }

  TEST_CASE("a loader that nobody reads from ends at once") {
    TempDir dir;
    const Index index = make_index(dir, 23);
    LoaderOptions options = small(true, 4);
    options.workers = 4;
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 20; i++) {
      Loader loader(index, options);
      if (i % 2) std::this_thread::sleep_for(std::chrono::milliseconds(5));    // time to fill the ring
    }
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
  }

  TEST_CASE("waiting is measured") {
    TempDir dir;
    const Index index = make_index(dir, 23);
    LoaderOptions options = small(true, 23);
    options.workers = 0;
    Loader loader(index, options);
    CHECK(loader.waited_seconds() == 0);
    give(loader, 2);
    CHECK(loader.waited_seconds() > 0);
  }

  TEST_CASE("options that make no sense are usage errors") {
    TempDir dir;
    const Index index = make_index(dir, 3);
    const auto refused = [&](auto change) {
      LoaderOptions options = small(true, 2);
      change(options);
      return message_of(index, options, ExitCode::usage) != "no error";
    };
    CHECK(refused([](LoaderOptions& options) { options.batch = 0; }));
    CHECK(refused([](LoaderOptions& options) { options.workers = -1; }));
    CHECK(refused([](LoaderOptions& options) { options.workers = 1000000; }));
    CHECK(refused([](LoaderOptions& options) { options.preprocess.crop = "centre"; }));
    CHECK(refused([](LoaderOptions& options) { options.on_bad = OnBadImage::skip; }));
    CHECK(refused([](LoaderOptions& options) { options.train = false; options.on_bad = OnBadImage::replace; }));
  }

  TEST_CASE("real images: every one of ImageNet's sample is given, with any number of workers") {
    const std::filesystem::path tar = real_data("imagenet-sample-0000.tar");
    if (tar.empty()) return;
    const Index index = Index::open(tar.string(), "");
    LoaderOptions options;
    options.batch = 32;
    options.preprocess.image_size = 64;
    std::vector<uint8_t> first;
    for (int workers : {1, 3}) {
      options.workers = workers;
      Loader loader(index, options);
      std::vector<uint8_t> pixels;
      int images = 0;
      for (Batch batch; loader.next(batch); images += batch.size)
        pixels.insert(pixels.end(), batch.images.begin(), batch.images.end());
      CHECK(images == 100);
      CHECK(loader.bad_samples().empty());
      if (first.empty()) first = pixels;
      CHECK(pixels == first);
    }
  }
}

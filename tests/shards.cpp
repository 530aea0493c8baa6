// The formats of shards: each is recognised, and its samples are named, read and decoded through one interface.
#include "data/shards/shard.h"

#include <doctest/doctest.h>

#include "data/encode.h"
#include "data/index.h"
#include "data/members.h"
#include "tests/error_of.h"
#include "tests/index_contents.h"
#include "tests/tar_builder.h"
#include "tests/temp_dir.h"

namespace {
Image gray(int side) { return {side, side, std::vector<uint8_t>(size_t(3 * side * side), 99)}; }

// Whatever its format: sample k's name, and what its bytes become.
void check_sample(const Shard& shard, size_t k, const std::string& name, int side) {
  const Scan scan = shard.scan();
  REQUIRE(scan.samples.size() > k);
  CHECK(shard.name_of(scan, k) == name);
  CHECK(shard.where(scan, k).ends_with(name));
  std::vector<uint8_t> bytes;
  shard.read(scan, k, bytes);
  const Image image = shard.decode(bytes);
  CHECK((image.height == side && image.width == side));
  CHECK(image.rgb == gray(side).rgb);
}
}    // namespace

TEST_SUITE("index") {
  TEST_CASE("every format of shards is recognised, and its images come through one interface") {
    const ShardFolder source;
    const std::string png = encode_png(gray(8)), record = '\x03' + std::string(3072, char(99));
    const std::string tar = source.write(sample("a", 1, png) + sample("b", 2, png));
    const std::string noext = source.write(sample("a", 1, png) + sample("b", 2, png), "noext");
    const std::string cifar = source.write(record + record, "test_batch.bin");
    source.write(png, "set/cat/1.png");
    source.write(png, "set/dog/2.png");
    source.write(png, "train.bin/cat/1.png");
    for (const std::string& path : {tar, noext, cifar, source.path("set").string()}) {
      CAPTURE(path);
      CHECK(format_of(path));
    }
    check_sample(*open_shard(tar), 1, "b.jpg", 8);
    check_sample(*open_shard(noext), 1, "b.jpg", 8);
    check_sample(*open_shard(cifar), 1, "1", 32);
    check_sample(*open_shard(source.path("set")), 1, "dog/2.png", 8);
    check_sample(*open_shard(source.path("train.bin")), 0, "cat/1.png", 8);
    const auto members = std::make_shared<Members>(source.path(""));
    members->add(source.path("set"), is_packable_image);
    check_sample(*shard_of_members(members), 1, "dog/2.png", 8);
  }

  TEST_CASE("what has no format: a list, an empty folder, nothing; opened all the same, its scan says what is wrong") {
    const ShardFolder source;
    const std::string list = source.write("s.tar\n", "list.txt"), empty = source.path("empty").string();
    std::filesystem::create_directory(empty);
    for (const std::string& path : {list, empty, source.path("none.tar").string()}) {
      CAPTURE(path);
      CHECK(!format_of(path));
    }
    CHECK(contains(error_of(ExitCode::data, [&] { open_shard(list)->scan(); }), "list.txt"));
    CHECK(contains(error_of(ExitCode::data, [&] { open_shard(empty)->scan(); }), "no folder of a class in " + empty));
    CHECK(contains(error_of(ExitCode::data, [&] { open_shard(source.path("none.tar")); }), "cannot open"));
  }

  TEST_CASE("a shard that became shorter says so, with the sample's place, in every format") {
    const ShardFolder source;
    const std::string jpeg = encode_jpeg(gray(8), 95), record = '\x03' + std::string(3072, char(99));
    const std::string tar = source.write(sample("a", 1, jpeg)), cifar = source.write(record, "test_batch.bin");
    std::vector<uint8_t> bytes;
    for (const std::string& path : {tar, cifar}) {
      CAPTURE(path);
      const auto shard = open_shard(path);
      const Scan scan = shard->scan();
      std::filesystem::resize_file(path, scan.samples[0].offset + 3);
      CHECK(contains(error_of(ExitCode::data, [&] { shard->read(scan, 0, bytes); }), "got 3 of"));
    }
  }

  TEST_CASE("held-out samples keep their names, also where images are hard links") {
    const ShardFolder source;
    std::string tar = sample("a", 0);
    const std::string links_to_a = tar_entry("pax", "18 linkpath=a.jpg\n", 'x');
    for (int k = 1; k < 40; k++) {
      const std::string key = fmt::format("b{:02}", k);
      tar += tar_entry(key + ".cls", std::to_string(k)) + links_to_a + tar_entry(key + ".jpg", "", '1');
    }
    Index rest = Index::open(source.write(tar), "");
    const Index held = rest.hold_out(15);
    CHECK(held.size() + rest.size() == 40);
    for (const Index* index : {&held, static_cast<const Index*>(&rest)})
      for (size_t i = 0; i < index->size(); i++) {
        const int label = index->label(i);
        CHECK(index->key(i) == (label ? fmt::format("b{:02}", label) : "a"));
        CHECK(bytes_of(*index, i) == "image");
      }
  }
}

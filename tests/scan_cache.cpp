// The cache of indexes: used where the shard is what it was, whatever it says itself.
#include "data/shards/scan_cache.h"

#include <cstdlib>
#include <doctest/doctest.h>
#include <optional>
#include <utime.h>

#include "data/index.h"
#include "tests/error_of.h"
#include "tests/index_contents.h"
#include "tests/tar_builder.h"
#include "tests/temp_dir.h"

TEST_SUITE("index") {
  TEST_CASE("the cache: used when it fits, else rebuilt") {
    const ShardFolder source;
    const std::string shard = source.write(sample("a", 1) + sample("b", 2));
    const auto cache = source.path("cache/deep");
    const auto open = [&] { return Index::open(shard, cache); };
    const auto cache_file = [&] { return std::filesystem::directory_iterator(cache)->path(); };
    const auto check = [&](const Index& index, bool from_cache, int last_label) {
      CHECK(index.from_cache() == from_cache);
      CHECK(index.size() == 2);
      CHECK(index.label(1) == last_label);
      CHECK(bytes_of(index, 1) == "image");
      CHECK(contains(index.summary(), "from the cache") == from_cache);
    };
    check(open(), false, 2);
    check(open(), true, 2);

    SUBCASE("the shard changed, same size") {
      source.write(sample("a", 1) + sample("b", 3));
      const utimbuf later{0, 2'000'000'000};
      REQUIRE(::utime(shard.c_str(), &later) == 0);
      check(open(), false, 3);
      check(open(), true, 3);
    }
    SUBCASE("the shard changed, same time") {
      const auto time = std::filesystem::last_write_time(shard);
      source.write(sample("a", 1) + sample("b", 3) + tar_end());
      std::filesystem::last_write_time(shard, time);
      check(open(), false, 3);
    }
    SUBCASE("labels corrected in place, size and time as before") {
      const auto time = std::filesystem::last_write_time(shard);
      source.write(sample("a", 1) + sample("b", 3));
      std::filesystem::last_write_time(shard, time);
      check(open(), false, 3);
      check(open(), true, 3);
    }
    SUBCASE("another file of the same size and time in its place") {
      const auto time = std::filesystem::last_write_time(shard);
      const std::string other = source.write(sample("a", 1) + sample("b", 3), "other");
      std::filesystem::last_write_time(other, time);
      std::filesystem::rename(other, shard);
      check(open(), false, 3);
    }
    SUBCASE("a cache that lies, with a checksum that does not") {
      const Scan honest = *read_cached_scan(cache, File(shard));
      const auto refused = [&](auto lie) {
        Scan scan = honest;
        lie(scan);
        REQUIRE(write_cached_scan(cache, File(shard), scan));
        const auto read = read_cached_scan(cache, File(shard));
        return !read || !open_shard(shard)->could_have(*read);
      };
      CHECK(!refused([](Scan&) {}));
      CHECK(refused([](Scan& scan) { scan.samples[1].offset = 1 << 20; }));
      CHECK(refused([](Scan& scan) { scan.samples[1].size = 1 << 20; }));
      CHECK(refused([](Scan& scan) { scan.samples[1].header = 100; }));
      CHECK(refused([](Scan& scan) { scan.samples[1].header = 0; }));
      CHECK(refused([](Scan& scan) { scan.samples[1].label = most_classes; }));
      CHECK(refused([](Scan& scan) { scan.samples[1].label = -7; }));
      CHECK(refused([](Scan& scan) { scan.label_sets = {5, 1}, scan.samples[1].label = -1; }));
      CHECK(refused([](Scan& scan) { scan.label_sets = {1, -2}, scan.samples[1].label = -1; }));
      CHECK(refused([](Scan& scan) { scan.labels = LabelKind::class_position; }));
      CHECK(refused([](Scan& scan) { scan.labels = LabelKind(3); }));
      CHECK(refused([](Scan& scan) { scan.links.push_back({1, 0}); }));
      check(open(), false, 2);
    }
    SUBCASE("any damaged byte") {
      std::string bytes(std::filesystem::file_size(cache_file()), '\0');
      std::ifstream(cache_file(), std::ios::binary).read(bytes.data(), std::streamsize(bytes.size()));
      for (size_t i = 0; i < bytes.size(); i++) {
        std::string damaged = bytes;
        damaged[i] ^= 4;
        write_file(cache_file(), damaged);
        CHECK(!read_cached_scan(cache, File(shard)));
      }
      for (const size_t size : {size_t(0), size_t(10), bytes.size() - 1}) {
        write_file(cache_file(), bytes.substr(0, size));
        check(open(), false, 2);
        check(open(), true, 2);
      }
    }
    SUBCASE("another shard under the same name in the cache") {
      const std::string other = source.write(sample("x", 5) + sample("y", 6), "o.tar");
      const auto first = cache_file();
      std::filesystem::last_write_time(other, std::filesystem::last_write_time(shard));
      Index::open(other, source.path("cache2"));
      const auto second = std::filesystem::directory_iterator(source.path("cache2"))->path();
      std::filesystem::copy_file(first, second, std::filesystem::copy_options::overwrite_existing);
      check(Index::open(other, source.path("cache2")), false, 6);
    }
  }

  TEST_CASE("a cache that cannot be written is no failure, and is told") {
    const ShardFolder source;
    const std::string shard = source.write(sample("a", 1)), blocked = source.write("a file", "blocked");
    const Index index = Index::open(shard, blocked + "/cache");
    CHECK(index.size() == 1);
    CHECK(contains(index.summary(), "cannot be written"));
  }

  TEST_CASE("where the cache lies") {
    const auto set = [](const char* name, const char* value) { value ? ::setenv(name, value, 1) : ::unsetenv(name); };
    const char* const names[] = {"XDG_CACHE_HOME", "HOME"};
    std::optional<std::string> before[2];
    for (int i = 0; i < 2; i++)
      if (const char* value = std::getenv(names[i])) before[i] = value;
    const auto with = [&](const char* cache, const char* home) {
      set(names[0], cache);
      set(names[1], home);
      return default_cache_dir().string();
    };
    CHECK(with("/c", "/h") == "/c/relucent");
    CHECK(with("", "/h") == "/h/.cache/relucent");
    CHECK(with("relative", "/h") == "/h/.cache/relucent");
    CHECK(with(nullptr, "/h") == "/h/.cache/relucent");
    CHECK(with(nullptr, nullptr) == "");
    for (int i = 0; i < 2; i++) set(names[i], before[i] ? before[i]->c_str() : nullptr);
  }
}

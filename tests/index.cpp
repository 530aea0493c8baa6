// From shards to samples: grouping, labels, and what is refused.
#include "data/index.h"

#include <atomic>
#include <doctest/doctest.h>
#include <thread>

#include "data/paths.h"
#include "data/shard_writer.h"
#include "data/source.h"
#include "tests/error_of.h"
#include "tests/index_contents.h"
#include "tests/real_data.h"
#include "tests/tar_builder.h"
#include "tests/temp_dir.h"

namespace {
struct Source : ShardFolder {
  Index open(const std::string& bytes) const { return Index::open(write(bytes), ""); }
  // the message that names shard, member and offset
  std::string refusal(const std::string& bytes) const {
    return error_of(ExitCode::data, [&] { open(bytes); });
  }
};

}

TEST_SUITE("index") {
  TEST_CASE("a member's name is cut at the first dot of its last component") {
    const std::tuple<const char*, const char*, const char*> table[] = {
        {"/a/22.0/1.1.png", "/a/22.0/1", "1.png"}, {"a.jpg", "a", "jpg"}, {"./a.seg.png", "./a", "seg.png"},
        {"x/y.", "x/y", ""},                       {"a b/c-d_e.CLS", "a b/c-d_e", "CLS"}};
    for (const auto& [name, expected_key, expected_extension] : table) {
      CAPTURE(name);
      std::string_view key, extension;
      REQUIRE(split_member_name(name, key, extension));
      CHECK(key == expected_key);
      CHECK(extension == expected_extension);
    }
    for (const char* name : {"noext", "22.0/noext", ".hidden", "a/._a.jpg", "", "a.b/"}) {
      CAPTURE(name);
      std::string_view key, extension;
      CHECK(!split_member_name(name, key, extension));
    }
  }

  TEST_CASE("adjacent members with one key are a sample") {
    const Source source;
    const std::string long_name(150, 'k');
    const Index index = source.open(
        tar_entry("a/22.0/1.JPG", "first") + tar_entry("a/22.0/1.json", "{}") + tar_entry("a/22.0/1.Cls", "7\n") +
        tar_entry("__meta__", "m") + tar_entry("__info__/x.jpg", "m") + tar_entry("d/", "", '5') +
        tar_entry("README", "r") + tar_entry("b.cls", "0") + tar_entry("b.webp", "webp") + tar_entry("b.jpg", "jpg") +
        tar_entry("._b.png", "mac") + tar_entry("b.png", "png") + tar_entry("text.txt", "no image") +
        tar_entry("dots.1.png", "not png") + tar_entry("dots.cls", "3") + tar_entry("long", long_name + ".jpg", 'L') +
        tar_entry("cut", "third") + tar_entry("long", long_name + ".cls", 'L') + tar_entry("cut", "12") + tar_end());
    REQUIRE(index.size() == 3);
    CHECK(index.key(0) == "a/22.0/1");
    CHECK(index.where(0) == source.path("s.tar").string() + ":a/22.0/1.JPG");
    CHECK(index.where(1) == source.path("s.tar").string() + ":b.jpg");
    CHECK(index.key(2) == long_name);
    CHECK(bytes_of(index, 0) == "first");
    CHECK(bytes_of(index, 1) == "jpg");
    CHECK(bytes_of(index, 2) == "third");
    CHECK((index.label(0) == 7 && index.label(1) == 0 && index.label(2) == 12));
    CHECK(index.max_label() == 12);
    CHECK(index.summary() ==
          "1 shard, 3 samples, without an image skipped: 2 (1 .png, 1 .txt), other members skipped: 5 (1 folder, 1 "
          "hidden, 2 notes "
          "of WebDataset, 1 without an extension)");
  }

  TEST_CASE("samples of several shards, in their order; a shard's end ends a sample") {
    const Source source;
    source.write(sample("a", 0, "a0") + sample("b", 1, "b0"), "x-0.tar");
    source.write(sample("b", 2, "b1"), "x-1.tar");
    source.write(tar_entry("only.txt", ""), "x-2.tar");
    source.write(sample("c", 3, "c3"), "x-3.tar");
    const Index index = Index::open(source.path("x-{0..3}.tar").string(), "");
    REQUIRE(index.size() == 4);
    const std::string images[] = {"a0", "b0", "b1", "c3"};
    for (int i = 0; i < 4; i++) CHECK((index.label(i) == i && bytes_of(index, i) == images[i]));
    CHECK(contains(index.where(3), "x-3.tar:c.jpg"));
    CHECK(contains(index.summary(), "4 shards, 4 samples"));
  }

  TEST_CASE("what is wrong with a sample is named with shard, member and offset") {
    const Source source;
    const std::string good = sample("good", 1);    // 2048 bytes
    const auto names = [](const std::string& message, const std::string& member, const std::string& why) {
      CAPTURE(message);
      CHECK(contains(message, "s.tar:" + member));
      CHECK(contains(message, why));
    };
    names(source.refusal(good + tar_entry("a.jpg", "i")), "a.jpg at offset 2560", "no .cls");
    names(source.refusal(tar_entry("a.jpg", "i") + good), "a.jpg at offset 512", "no .cls");
    for (const char* label : {"", "x", "-1", "1.5", "+1", "1 x", "0x1", "2147483648", "99999999999999999999", "\n"})
      names(source.refusal(good + tar_entry("a.cls", label) + tar_entry("a.jpg", "i")), "a.cls at offset 2560",
            label == std::string("2147483648") ? "expected at most 1048575" : "expected a label");
    names(source.refusal(good + tar_entry("a.cls", "100000000") + tar_entry("a.jpg", "i")), "a.cls at offset 2560",
          "label 100000000, expected at most 1048575");
    names(source.refusal(good + tar_entry("a.cls", std::string(5000, '0'))), "a.cls", "got 5000 bytes");
    names(source.refusal(tar_entry("a.jpg", "1") + tar_entry("a.JPG", "2")), "a.JPG at offset 1536", "twice");
    names(source.refusal(good + sample("b", 1) + good), "good.cls at offset 4608", "its key appears before");
    names(source.refusal(tar_entry("a.cls", "1") + tar_entry("b.cls", "1") + tar_entry("a.jpg", "")), "a.jpg", "sort");
    CHECK(contains(source.refusal(good + sample("b", 2).substr(0, 1200)), "cut off"));
    CHECK(contains(source.refusal(tar_entry("only.txt", "")), "no images"));
    CHECK(contains(source.refusal(""), "no images"));
  }

  TEST_CASE("of several damaged shards the first is named") {
    const Source source;
    std::string long_scan;
    for (int i = 0; i < 2000; i++) long_scan += sample(std::to_string(i), 0);
    for (int i = 0; i < 20; i++)
      source.write((i == 2 ? long_scan : "") + (i < 2 ? sample("a", 0) : tar_entry("bad.jpg", "")),
                   fmt::format("x-{:02}.tar", i));
    for (int repeat = 0; repeat < 20; repeat++)
      CHECK(contains(error_of(ExitCode::data, [&] { Index::open(source.path("x-*.tar").string(), ""); }), "x-02"));
  }

  TEST_CASE("a label that the model has no class for") {
    const Source source;
    const Index index = source.open(sample("a", 3) + sample("b", 10) + sample("c", 11));
    index.require_labels_below(12);
    const std::string message = error_of(ExitCode::data, [&] { index.require_labels_below(10); });
    CHECK(contains(message, "s.tar:b.jpg: label 10, expected 0 to 9"));
  }

  TEST_CASE("a shard that shrinks while in use is an error that names the image") {
    const Source source;
    const Index index = source.open(sample("a", 0, std::string(3000, 'a')) + sample("b", 1, std::string(3000, 'b')));
    std::filesystem::resize_file(source.path("s.tar"), 6000);
    CHECK(bytes_of(index, 0) == std::string(3000, 'a'));
    CHECK(contains(error_of(ExitCode::data, [&] { bytes_of(index, 1); }), "s.tar:(offset"));
    std::filesystem::resize_file(source.path("s.tar"), 100);
    CHECK(contains(error_of(ExitCode::data, [&] { bytes_of(index, 1); }), "0 of 3000 bytes"));
  }

  TEST_CASE("threads read at once") {
    const Source source;
    std::string bytes;
    for (int i = 0; i < 100; i++) bytes += sample(std::to_string(i), i, std::string(2000 + i, char(i)));
    const Index index = source.open(bytes);
    std::atomic<int> wrong = 0;
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; t++)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 1000; i++) {
          const int n = (i * 7 + t) % 100;
          wrong += bytes_of(index, n) != std::string(2000 + n, char(n));
        }
      });
    threads.clear();
    CHECK(wrong == 0);
  }

  TEST_CASE("what the shard writer writes, the index reads") {
    TempDir dir;
    const auto write = [&](const std::string& folder) {
      ShardWriter writer(dir.path() / folder, "train", 3);
      for (int i = 0; i < 7; i++)
        writer.add(std::string(i == 6 ? 120 : 0, 'd') + "/key" + std::to_string(i),
                   {{"jpg", std::string(i * 300, 'j')}, {"cls", std::to_string(i)}});
      writer.close();
    };
    write("a");
    const Index index = Index::open((dir.path() / "a/train-{0000..0002}.tar").string(), "");
    REQUIRE(index.size() == 7);
    for (int i = 0; i < 7; i++) CHECK((index.label(i) == i && bytes_of(index, i) == std::string(i * 300, 'j')));
    CHECK(index.key(6) == std::string(120, 'd') + "/key6");
    CHECK(contains(index.where(6), "train-0002.tar"));

    write("b");
    for (const char* name : {"train-0000.tar", "train-0001.tar", "train-0002.tar"}) {
      std::ifstream a(dir.path() / "a" / name, std::ios::binary), b(dir.path() / "b" / name, std::ios::binary);
      CHECK(std::string(std::istreambuf_iterator<char>(a), {}) == std::string(std::istreambuf_iterator<char>(b), {}));
    }
    CHECK(contains(error_of(ExitCode::usage, [&] { write("a"); }), "exists"));
    ShardWriter writer(dir.path() / "c", "train", 3);
    error_of(ExitCode::data, [&] { writer.add("a.b", {{"jpg", ""}}); });
    error_of(ExitCode::data, [&] { writer.add(std::string(200, 'n'), {{"jpg", ""}}); });
    error_of(ExitCode::data, [&] { writer.add("/" + std::string(150, 'n'), {{"jpg", ""}}); });
    error_of(ExitCode::failed, [&] { ShardWriter(write_file(dir.path() / "file", "") / "x", "train", 3); });
  }

  TEST_CASE("real shards have the samples that are told of them") {
    if (real_data("cifar10-train-0000.tar").empty()) return;
    const std::filesystem::path data = real_data("cifar10-train-0000.tar").parent_path();
    const std::tuple<const char*, size_t, int> sets[] = {
        {"cifar10-train-{0000..0009}", 50'000, 10}, {"cifar10-val-{0000..0001}", 10'000, 10},
        {"imagenet-sample-0000", 100, 1000},        {"imagenette224-train-0000", 300, 10},
        {"imagenette224-val-0000", 200, 10},        {"caltech101-train-0000", 1010, 101},
        {"caltech101-val-0000", 505, 101},          {"dtd10-train-0000", 100, 10},
        {"dtd10-val-0000", 50, 10},                 {"flowers12-train-0000", 480, 12},
        {"flowers12-val-0000", 168, 12},            {"signdigits-train-0000", 300, 10},
        {"signdigits-val-0000", 200, 10},           {"mnist-png-train-0000", 200, 10},
        {"mnist-png-val-0000", 200, 10}};
    for (const auto& [name, samples, classes] : sets) {
      CAPTURE(name);
      const std::string source = (data / name).string() + ".tar";
      const Index index = Index::open(source, "");
      CHECK(index.size() == samples);
      CHECK(index.classes().size() == size_t(classes));
      index.require_labels_below(classes);
      for (const size_t i : {size_t(0), index.size() / 2, index.size() - 1}) {
        const std::string image = bytes_of(index, i);
        CHECK((image.starts_with("\xFF\xD8\xFF") || image.starts_with("\x89PNG")));
      }
    }
  }
}

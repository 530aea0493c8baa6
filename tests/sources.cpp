// What people have besides WebDataset shards: ILSVRC2012's own tars, image folders, CIFAR's binaries, lists of splits.
#include <doctest/doctest.h>

#include "data/encode.h"
#include "data/index.h"
#include "data/loader.h"
#include "data/source.h"
#include "tests/error_of.h"
#include "tests/index_contents.h"
#include "tests/tar_builder.h"
#include "tests/temp_dir.h"

namespace {
struct Place {
  TempDir dir;
  std::string path(const std::string& name) const { return (dir.path() / name).string(); }
  std::string write(const std::string& name, const std::string& bytes) const {
    return write_file(dir.path() / name, bytes).string();
  }
  Index open(const std::string& name) const { return Index::open(path(name), ""); }
  std::string refusal(const std::string& name, ExitCode code = ExitCode::data) const {
    return error_of(code, [&] { open(name); });
  }
};

using Names = std::vector<std::string>;

std::string class_tar(const std::string& wnid, int images) {
  std::string tar;
  for (int i = 0; i < images; i++)
    tar += tar_entry(fmt::format("{}_{}.JPEG", wnid, i), fmt::format("{} {}", wnid, i));
  return tar + tar_end();
}

std::string validation(std::initializer_list<int> numbers) {
  std::string tar;
  for (int number : numbers) tar += tar_entry(fmt::format("ILSVRC2012_val_{:08}.JPEG", number), std::to_string(number));
  return tar + tar_end();
}

// A record whose planes hold 1, 2 and 3, but in their corner 10, 20, 30.
std::string cifar_record(const std::string& labels) {
  std::string record = labels;
  for (int plane = 1; plane <= 3; plane++) record += char(10 * plane) + std::string(1023, char(plane));
  return record;
}
}

TEST_SUITE("sources") {
  TEST_CASE("ILSVRC2012's training tar: tars of classes, labels by sorted wnid, read in place") {
    const Place place;
    const std::string cache = place.path("cache");
    const std::string n01 = tar_entry("README", "") + class_tar("n01", 3);
    const std::string tar = place.write(
        "t.tar", tar_entry("d/", "", '5') + tar_entry("n02.tar", class_tar("n02", 2)) + tar_entry("._n02.tar", "mac") +
                     tar_entry("./n01.tar", n01) + tar_entry("notes.txt", "") +
                     tar_entry("n10.tar", class_tar("n10", 1)) + tar_end());
    for (const bool cached : {false, true}) {
      const Index index = Index::open(tar, cache);
      CHECK(index.from_cache() == cached);
      CHECK(labels_of(index) == std::vector<int>{0, 0, 0, 1, 1, 2});
      CHECK(index.classes() == Names{"n01", "n02", "n10"});
      CHECK(bytes_of(index, 1) == "n01 1");
      CHECK(bytes_of(index, 5) == "n10 0");
      CHECK(index.where(4) == tar + ":n02_1.JPEG");
      CHECK(index.key(4) == "n02_1");
      CHECK(index.max_label() == 2);
      CHECK(contains(index.summary(),
                     "1 shard, 6 samples, 3 classes by sorted name, other members skipped: 4 (1 .txt, "));
    }
    place.write("classes.txt", "0\tn00\tzero\n1\tn02\ttwo, deux\n2\tn01\tone\n3\tn10\n");    // not in the cache
    const Index listed = Index::open(tar, cache);
    CHECK(labels_of(listed) == std::vector<int>{2, 2, 2, 1, 1, 3});
    CHECK(listed.classes() == Names{"n00 zero", "n02 two, deux", "n01 one", "n10"});
    CHECK(!contains(listed.summary(), "sorted"));
    place.write("classes.txt", "0\tn01\n1\tn02\n");
    CHECK(contains(place.refusal("t.tar"), "class 'n10' is none of the 2"));
    place.write("classes.txt", "0\tn01\n1\tn02 a\n2\tn02 b\n3\tn10\n");
    CHECK(contains(place.refusal("t.tar"), "several lines of the class list are named 'n02'"));
  }

  TEST_CASE("tars of classes in several tars are numbered together") {
    const Place place;
    place.write("a.tar", tar_entry("n03.tar", class_tar("n03", 1)));
    place.write("b.tar", tar_entry("n01.tar", class_tar("n01", 1)) + tar_entry("n04.tar", class_tar("n04", 1)));
    CHECK(labels_of(place.open("{a,b}.tar")) == std::vector<int>{1, 0, 2});
  }

  TEST_CASE("what is wrong in a tar of tars is named with its offset") {
    const Place place;
    const auto refusal = [&](const std::string& tar) {
      place.write("t.tar", tar);
      return place.refusal("t.tar");
    };
    const std::string good = tar_entry("n01.tar", class_tar("n01", 1));    // 512 + 1024 + 1024
    CHECK(contains(refusal(good + tar_entry("n02.tar", tar_end())), "t.tar:n02.tar at offset 3072: no image"));
    CHECK(contains(refusal(good + tar_entry("x/n01.tar", class_tar("n01", 1))), "x/n01.tar at offset 3072: a second"));
    CHECK(contains(refusal(good + tar_entry("n02.tar", std::string(512, 'x'))), "no header at offset 3072"));
    CHECK(contains(refusal(good.substr(0, 1800)), "cut off"));
    std::string beyond = class_tar("n02", 1);
    beyond.resize(700);    // the image's bytes go on after its class's tar
    CHECK(contains(refusal(tar_entry("n02.tar", beyond) + good), "n02_0.JPEG at offset 1024 is cut off"));
  }

  TEST_CASE("ILSVRC2012's validation tar takes labels from a file beside, by the image's number") {
    const Place place;
    const std::string cache = place.path("cache");
    place.write("v.tar", validation({3, 1, 2, 5}));
    const auto labels = [&] { return labels_of(Index::open(place.path("v.tar"), cache)); };

    const std::string missing = place.refusal("v.tar");
    for (const char* name : {"v-labels.txt", "2012_validation_ground_truth.txt", "ILSVRC2012_wnids.txt", "line k"})
      CHECK(contains(missing, name));

    const std::string truth = place.write("ILSVRC2012_validation_ground_truth.txt", "3\n1\n1\n2\n2\n");
    CHECK(contains(place.refusal("v.tar"), "without labels"));
    const std::string ids = place.write("ILSVRC2012_wnids.txt", "n02119789 kit fox\r\nn02100735\nn01440764\n");
    CHECK(labels() == std::vector<int>{2, 0, 2, 1});
    CHECK(place.open("v.tar").classes() == Names{"n01440764", "n02100735", "n02119789"});
    CHECK(bytes_of(place.open("v.tar"), 0) == "3");
    place.write("ILSVRC2012_validation_ground_truth.txt", "3\n1\n0\n2\n2\n");
    CHECK(contains(place.refusal("v.tar"), truth + ":3: expected a number from 1 to 3, got '0'"));
    place.write("ILSVRC2012_wnids.txt", "n1\nn1\n");
    CHECK(contains(place.refusal("v.tar"), ids + ": a wnid stands in two lines"));

    const std::string lines = place.write("v-labels.txt", "7\n0\n2\n9\n5\n");
    CHECK(labels() == std::vector<int>{2, 7, 0, 5});
    place.write("v-labels.txt", "n3\nn1\nn2\nn2\nn9\n");
    CHECK(labels() == std::vector<int>{1, 2, 0, 3});
    place.write("classes.txt", "0\tn9 x\n1\tn1\n2\tn2\n3\tn3\n");
    CHECK(labels() == std::vector<int>{2, 3, 1, 0});
    place.write("v-labels.txt", "7\n0\n2\n9\n");
    CHECK(contains(place.refusal("v.tar"), lines + " has 4 lines"));
    place.write("v-labels.txt", "7\n0\nn2\n9\n5\n");
    CHECK(contains(place.refusal("v.tar"), lines + ":3: expected a number"));
    place.write("v-labels.txt", "n7\n\nn2\nn2\nn2\n");
    CHECK(contains(place.refusal("v.tar"), lines + ": an empty line"));
    place.write("v-labels.txt", "");
    CHECK(contains(place.refusal("v.tar"), "has 0 lines"));
  }

  TEST_CASE("validation images with their own .cls need no file; a mixture, or another name, does not pass") {
    const Place place;
    const std::string cls = tar_entry("ILSVRC2012_val_00000001.cls", "4");
    place.write("v.tar", cls + validation({1}));
    CHECK(labels_of(place.open("v.tar")) == std::vector<int>{4});
    place.write("v.tar", cls + validation({1, 2}));
    CHECK(contains(place.refusal("v.tar"), "00000002.JPEG at offset 2560: no .cls"));
    for (const char* name : {"ILSVRC2012_val_0000000x.JPEG", "ILSVRC2012_val_1.JPEG", "ILSVRC2012_val_00000000.JPEG"}) {
      place.write("v.tar", tar_entry(name, "i"));
      CHECK(contains(place.refusal("v.tar"), "no .cls"));
    }
  }

  TEST_CASE("a folder of class folders") {
    const Place place;
    for (const char* name : {"cat/b.jpeg", "cat/a.1.JPG", "bird/x.png", "dog breed/z.webp", "cat/.hidden.jpg",
                             "cat/notes.txt", ".git/x.jpg", "bird/deep/y.png", "README"})
      place.write(std::string("set/train/") + name, name);
    const Index index = place.open("set/train/");
    CHECK(labels_of(index) == std::vector<int>{0, 1, 1, 2});
    CHECK(index.classes() == Names{"bird", "cat", "dog breed"});
    CHECK(index.where(1) == place.path("set/train/cat/a.1.JPG"));
    CHECK(index.key(2) == "cat/b");
    CHECK(bytes_of(index, 1) == "cat/a.1.JPG");
    CHECK(bytes_of(index, 3) == "dog breed/z.webp");
    CHECK(index.summary() ==
          "1 shard, 4 samples, 3 classes by sorted name, other members skipped: 3 (1 .txt, 1 folder, "
          "1 hidden)");
    std::filesystem::remove(place.path("set/train/cat/b.jpeg"));
    CHECK(contains(error_of(ExitCode::data, [&] { bytes_of(index, 2); }), "cat/b.jpeg"));
    const Index again = place.open("set/train");
    CHECK(again.size() == 3);

    place.write("set/classes.txt", "0\tdog breed\n1\tcat\n2\tbird\n");
    CHECK(labels_of(place.open("set/train/")) == std::vector<int>{2, 1, 0});
    CHECK(place.open("set/train/").classes() == Names{"dog breed", "cat", "bird"});
    place.write("set/train/classes.txt", "0\tcat\n1\tdog breed\n2\tbird\n");
    CHECK(labels_of(place.open("set/train")) == std::vector<int>{2, 0, 1});
    std::filesystem::remove(place.path("set/classes.txt"));
    std::filesystem::remove(place.path("set/train/classes.txt"));

    CHECK(contains(place.refusal("set/train/*a*"), "no folder of a class in " + place.path("set/train/cat")));
    CHECK(contains(place.refusal("set"), "no image in " + place.path("set/train") + ": expected"));
    place.write("set/train/empty/x.txt", "");
    CHECK(contains(place.refusal("set/train"), "no image in " + place.path("set/train/empty")));
    place.write("numbered.tar", tar_entry("a.cls", "1") + tar_entry("a.jpg", "i"));
    std::filesystem::remove_all(place.path("set/train/empty"));
    CHECK(contains(place.refusal("numbered.tar::" + place.path("set/train")), "mixes classes by name"));
  }

  TEST_CASE("CIFAR's binaries: labels, and planes as an image") {
    const Place place;
    place.write("data_batch_1.bin", cifar_record("\x01") + cifar_record("\x09"));
    place.write("data_batch_2.bin", cifar_record(std::string(1, '\0')));
    place.write("batches.meta.txt", "airplane\nautomobile\n\n");
    const Index ten = place.open("data_batch_{1..2}.bin");
    CHECK(labels_of(ten) == std::vector<int>{1, 9, 0});
    CHECK(ten.classes() == Names{"airplane", "automobile"});
    CHECK(ten.where(1) == place.path("data_batch_1.bin:1"));
    place.write("100/train.bin", cifar_record("\x13\x05") + cifar_record("\x01\x63"));
    place.write("100/fine_label_names.txt", "apple\n");
    const Index hundred = place.open("100/train.bin");
    CHECK(labels_of(hundred) == std::vector<int>{5, 99});
    CHECK(hundred.classes() == Names{"apple"});
    CHECK(hundred.where(1) == place.path("100/train.bin:1"));

    std::vector<uint8_t> bytes;
    for (const Index* index : {&ten, &hundred}) {
      const Image image = index->image(1, bytes);
      CHECK((image.height == 32 && image.width == 32 && image.rgb.size() == 3072));
      CHECK(std::vector(image.rgb.begin(), image.rgb.begin() + 6) == std::vector<uint8_t>{10, 20, 30, 1, 2, 3});
    }
    std::filesystem::resize_file(place.path("100/train.bin"), 5000);
    CHECK(contains(error_of(ExitCode::data, [&] { hundred.image(1, bytes); }), "train.bin:1: got"));
    CHECK(contains(place.refusal("100/train.bin"), "5000 bytes are no whole number of CIFAR-100's records of 3074"));
    place.write("test_batch.bin", cifar_record("\x01") + cifar_record("\x0A"));
    CHECK(contains(place.refusal("test_batch.bin"), "record 1 at offset 3073: label 10, expected 0 to 9"));
    CHECK(contains(place.refusal("100"), "data_batch_{1..5}.bin"));
  }

  TEST_CASE("the loader gives images of every source") {
    const Place place;
    const std::string jpeg = encode_jpeg({8, 8, std::vector<uint8_t>(8 * 8 * 3, 200)}, 95);
    place.write("folder/a/1.jpg", jpeg);
    place.write("nested.tar", tar_entry("a.tar", tar_entry("a_1.JPEG", jpeg)));
    place.write("test_batch.bin", '\x00' + std::string(3072, char(200)));
    place.write("folder-bad/a/1.jpg", "no image");
    LoaderOptions options;
    options.preprocess.image_size = 8;
    for (const char* name : {"folder", "nested.tar", "test_batch.bin"}) {
      CAPTURE(name);
      const Index index = place.open(name);
      Loader loader(index, options);
      Batch batch;
      REQUIRE(loader.next(batch));
      CHECK(batch.images.front() == doctest::Approx(200).epsilon(0.02));
    }
    const Index bad = place.open("folder-bad");
    Loader loader(bad, options);
    Batch batch;
    CHECK(contains(error_of(ExitCode::data, [&] { loader.next(batch); }), "folder-bad/a/1.jpg: "));
  }

  TEST_CASE("a list of splits beside the shards") {
    const Place place;
    for (const char* name : {"a-0.tar", "a-1.tar", "b-0.tar"})
      place.write(name, tar_entry("x.cls", "1") + tar_entry("x.jpg", name));
    const auto info = [&](const std::string& splits) {
      return place.write("_info.json", "{\"splits\": " + splits + "}");
    };
    const std::string train = R"("train": {"name": "train", "num_samples": 2, "filenames": ["a-1.tar", "a-0.tar"],
                                "shard_lengths": [1, 1], "alt_label": ""})";
    const std::string file = info("{" + train + R"(, "validation": {"filenames": ["b-0.tar"]}})");
    using Paths = std::vector<std::filesystem::path>;
    const Paths expected = {place.path("a-1.tar"), place.path("a-0.tar")};
    CHECK(expand_source(file + ":train") == expected);
    CHECK(expand_source(file + ":validation") == Paths{place.path("b-0.tar")});
    CHECK(expand_source(file + ":train::" + file + ":validation").size() == 3);
    for (const std::string& source : {file, place.path(""), file + ":test"}) {
      const std::string message = error_of(ExitCode::data, [&] { expand_source(source); });
      CHECK(contains(message, "has the splits train, validation"));
      CHECK(contains(message, "_info.json:train"));
    }
    info("{" + train + "}");
    CHECK(expand_source(file) == expected);
    CHECK(expand_source(place.path("")) == expected);

    const auto refusal = [&](const std::string& splits) {
      info(splits);
      return error_of(ExitCode::data, [&] { expand_source(file); });
    };
    CHECK(contains(refusal(R"({"t": {"filenames": ["c.tar"]}})"), "c.tar, which is not there"));
    CHECK(contains(refusal(R"({"t": {"filenames": ["a-0.tar"], "alt_label": "real"}})"), "\"real\""));
    for (const char* split : {"{}", "3", R"({"filenames": []})", R"({"filenames": ["a-0.tar", 1]})"})
      CHECK(contains(refusal(fmt::format(R"({{"t": {}}})", split)), "expected the split's 'filenames'"));
    const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
    for (const std::string& splits : {std::string("{}"), std::string("[]"), std::string("{"), std::string("3"), deep})
      CHECK(contains(refusal(splits), "expected a JSON object"));
    place.write("info.json", "");
    CHECK(contains(place.refusal("info.json:x"), "expected a JSON object"));
  }
}

// build/pack: folders, archives and the transfer sets become shards with the right labels, parts, order and bytes.
// The orders below were computed with Python's hashlib, apart from this code.
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "data/encode.h"
#include "data/index.h"
#include "data/tiff.h"
#include "tests/archive_builder.h"
#include "tests/error_of.h"
#include "tests/tar_builder.h"

namespace {
using Lines = std::vector<std::string>;

Image picture(int seed, int height = 6, int width = 9) {
  Image image{height, width, std::vector<uint8_t>(size_t(height) * size_t(width) * 3)};
  for (size_t i = 0; i < image.rgb.size(); i++) image.rgb[i] = uint8_t(i * 7 + size_t(seed) * 31 + i * i % 13);
  return image;
}
std::string jpeg(int seed) { return encode_jpeg(picture(seed), 90); }

std::string bytes_of(const Index& index, size_t i) {
  std::vector<uint8_t> bytes;
  index.read(i, bytes);
  return {bytes.begin(), bytes.end()};
}

struct Packing {
  TempDir dir;
  std::string path(const std::string& name) const { return (dir.path() / name).string(); }
  Ended run(Lines arguments, const std::string& out = "out") const {
    arguments.insert(arguments.end(), {"--out", path(out)});
    return run_program("pack", arguments);
  }
  Index open(const std::string& part, const std::string& out = "out") const {
    return Index::open(path(out + "/" + part + "-*.tar"), "");
  }
  Lines lines(const std::string& part, const std::string& out = "out") const {    // "key label"
    const Index index = open(part, out);
    Lines lines;
    for (size_t i = 0; i < index.size(); i++) lines.push_back(fmt::format("{} {}", index.key(i), index.label(i)));
    return lines;
  }
  // packs the set and expects it to work
  Ended transfer(const std::string& set, Lines archives) const {
    archives.insert(archives.begin(), {"transfer", set});
    const Ended ended = run(archives);
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    return ended;
  }
};

const Files two_classes = {{"x/cat/a.1.jpg", jpeg(1)},  {"x/cat/b.png", encode_png(picture(2))},
                           {"x/cat/c.tif", tiff(picture(3))}, {"x/dog/a.1.jpg", jpeg(4)},
                           {"x/dog/b.png", encode_png(picture(5))}, {"x/dog/c.tif", tiff(picture(6))}};
const Lines two_classes_packed = {"dog/b 1", "dog/c 1", "cat/b 0", "cat/c 0", "dog/a_1 1", "cat/a_1 0"};

void check_two_classes(const Packing& packing, const std::string& out) {
  CHECK(packing.lines("train", out) == two_classes_packed);
  const Index index = packing.open("train", out);
  CHECK(index.classes() == Lines{"cat", "dog"});
  CHECK(bytes_of(index, 4) == two_classes[3].second);    // kept
  CHECK(bytes_of(index, 0) == two_classes[4].second);
  std::vector<uint8_t> bytes;
  CHECK(index.image(1, bytes).rgb == picture(6).rgb);    // TIFF became PNG
  CHECK(index.image(3, bytes).rgb == picture(3).rgb);
}
}

TEST_SUITE("pack") {
  TEST_CASE("TIFF: the pixels, gray and 16 bits too; damage is refused") {
    const Image image = picture(1, 7, 5);
    for (const int compression : {COMPRESSION_NONE, COMPRESSION_LZW, COMPRESSION_ADOBE_DEFLATE, COMPRESSION_PACKBITS})
      for (const int bits : {8, 16}) {
        const std::string bytes = tiff(image, uint16_t(compression), 3, bits);
        CHECK(decode_tiff({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}).rgb == image.rgb);
      }
    const std::string gray = tiff(image, COMPRESSION_LZW, 1);
    const Image decoded = decode_tiff({reinterpret_cast<const uint8_t*>(gray.data()), gray.size()});
    CHECK((decoded.height == 7 && decoded.width == 5));
    for (size_t i = 0; i < decoded.rgb.size(); i++) CHECK(decoded.rgb[i] == image.rgb[i / 3 * 3]);

    const auto refusal = [](const std::string& bytes) {
      return error_of(ExitCode::data, [&] { decode_tiff({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}); });
    };
    const std::string whole = tiff(image, COMPRESSION_NONE);
    std::string huge = whole, cut = whole;
    const size_t directory = whole.find(std::string("\x00\x01\x04\x00\x01\x00\x00\x00\x05", 9));    // width, a short or long
    huge.replace(directory == whole.npos ? whole.find(std::string("\x00\x01\x03\x00", 4)) + 8 : directory + 8, 2, "\xFF\xFF");
    CHECK(contains(refusal(huge), "TIFF"));
    CHECK(contains(refusal(whole.substr(0, 60)), "damaged TIFF"));
    CHECK(contains(refusal("II*"), "damaged TIFF"));
    cut.replace(8, 60, 60, '\0');    // pixels stand before the directory: other pixels, no error
    CHECK(refusal(cut) == "no error");
  }

  TEST_CASE("folders, tars and zips of any wrapping give the same shards") {
    const Packing packing;
    for (const auto& [name, bytes] : two_classes) write_file(packing.path("in/" + name), bytes);
    for (const char* stray : {"in/x/stray.jpg", "in/x/cat/deep/y.jpg", "in/x/.git/z/y.jpg", "in/x/cat/notes.txt"})
      write_file(packing.path(stray), jpeg(9));
    const Ended folder = packing.run({"folder", packing.path("in/x")}, "folder");
    REQUIRE_MESSAGE(folder.code == 0, folder.err);
    CHECK(contains(folder.out, "2 classes; 2 images encoded anew, 0 left out, 3 other files passed over"));
    check_two_classes(packing, "folder");
    const std::string shard = read_text(packing.path("folder/train-0000.tar"));

    Files wrapped = two_classes;
    wrapped.push_back({"x/.hidden/y.jpg", jpeg(9)});
    wrapped.push_back({"__MACOSX/x/._y.jpg", jpeg(9)});
    const std::string tar = read_text(make_archive(packing.path("in.tar"), wrapped));
    make_archive(packing.path("named.zip"), wrapped, "pax", ARCHIVE_FILTER_XZ);
    make_archive(packing.path("in.tgz"), wrapped, "ustar", ARCHIVE_FILTER_GZIP);
    make_archive(packing.path("in.zip"), wrapped, "zip");
    make_archive(packing.path("tar-in-zip"), {{"a/b.bin", tar}, {"a/readme.md", "text"}}, "zip");
    make_archive(packing.path("tgz-in-tar"), {{"in.jpg", read_text(packing.path("in.tgz"))}});
    make_archive(packing.path("zip-in-tgz"), {{"1", read_text(packing.path("in.zip"))}}, "ustar", ARCHIVE_FILTER_GZIP);
    for (const char* name : {"in.tar", "named.zip", "in.tgz", "in.zip", "tar-in-zip", "tgz-in-tar", "zip-in-tgz"}) {
      CAPTURE(name);
      const std::string out = std::string("out-") + name;
      const Ended ended = packing.run({"archive", packing.path(name)}, out);
      CHECK_MESSAGE(ended.code == 0, ended.err);
      CHECK(read_text(packing.path(out + "/train-0000.tar")) == shard);
    }
  }

  TEST_CASE("parts: folders named so, or the last of the md5 order; a class list; a shorter side") {
    const Packing packing;
    for (const auto& [name, bytes] : two_classes) {
      write_file(packing.path("in/" + name), bytes);
      write_file(packing.path("parts/train/" + name.substr(2)), bytes);
      write_file(packing.path("parts/valid/" + name.substr(2)), bytes);
    }
    REQUIRE(packing.run({"folder", packing.path("in/x"), "--split", "0.3"}).code == 0);
    CHECK(packing.lines("train") == Lines(two_classes_packed.begin(), two_classes_packed.begin() + 4));
    CHECK(packing.lines("val") == Lines(two_classes_packed.begin() + 4, two_classes_packed.end()));
    const Ended again = packing.run({"folder", packing.path("in/x")});
    CHECK(again.code == int(ExitCode::usage));
    CHECK(contains(again.err, "train-0000.tar exists"));

    REQUIRE(packing.run({"folder", packing.path("parts")}, "parts-out").code == 0);
    CHECK(packing.lines("train", "parts-out") == two_classes_packed);
    CHECK(packing.lines("val", "parts-out").size() == 6);
    CHECK(packing.run({"folder", packing.path("parts"), "--split", "0.3"}, "p").code == int(ExitCode::usage));

    write_file(packing.path("in/x/classes.txt"), "0\tdog\n1\tbird\n2\tcat\n");
    REQUIRE(packing.run({"folder", packing.path("in/x"), "--size", "4"}, "small").code == 0);
    const Index index = packing.open("train", "small");
    CHECK(index.classes() == Lines{"dog", "bird", "cat"});
    std::vector<uint8_t> bytes;
    for (size_t i = 0; i < 6; i++) {
      CHECK(index.label(i) == (index.key(i)[0] == 'd' ? 0 : 2));
      CHECK((index.image(i, bytes).height == 4 && index.image(i, bytes).width == 6));
    }
  }

  TEST_CASE("hostile and damaged archives: names are only keys, bombs and damage stop with one line") {
    const Packing packing;
    const std::string name_of_300(300, 'n');
    make_archive(packing.path("evil.tar"),
                 {{"../../../evil/a.jpg", jpeg(1)}, {"/abs/../evil/a.jpg", jpeg(2)}, {"__meta__/b.jpg", jpeg(3)},
                  {"evil/new\nline.jpg", jpeg(4)}, {"evil/" + name_of_300 + ".jpg", jpeg(5)}, {"evil/\xC3\xB6.jpg", jpeg(6)}}, "pax");
    const Ended ended = packing.run({"archive", packing.path("evil.tar")});
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    Lines keys;
    for (const std::string& line : packing.lines("train")) keys.push_back(line.substr(0, line.rfind(' ')));
    std::sort(keys.begin(), keys.end());
    REQUIRE(keys.size() == 6);
    CHECK(keys[0] == "class__meta__/b");
    CHECK((keys[1] == "evil/a" && keys[2] == "evil/a_2" && keys[3] == "evil/new_line" && keys[5] == "evil/\xC3\xB6"));
    CHECK((keys[4].starts_with("evil/nnnn") && keys[4].size() < 100));
    CHECK(!std::filesystem::exists(packing.dir.path().parent_path() / "evil"));

    const auto refusal = [&](const std::string& file) {
      const Ended ended = packing.run({"archive", file}, "never");
      CHECK(ended.code == int(ExitCode::data));
      CHECK(ended.err.ends_with('\n'));
      CHECK(std::count(ended.err.begin(), ended.err.end(), '\n') == 1);
      return ended.err;
    };
    const std::string bomb = make_archive(packing.path("bomb.tgz"), {{"a/b.jpg", jpeg(1) + std::string(300 << 20, '\0')}},
                                          "ustar", ARCHIVE_FILTER_GZIP);
    CHECK(contains(refusal(bomb), "bomb.tgz unpacks to more than 250 times its size"));
    CHECK(contains(refusal(make_archive(packing.path("nested.zip"), {{"x/y.zip", read_text(bomb)}}, "zip")), "nested.zip unpacks"));
    std::string deep = make_archive(packing.path("d"), {{"a/b.jpg", jpeg(1)}});
    for (int i = 0; i < 4; i++) deep = make_archive(packing.path(fmt::format("d{}", i)), {{"in", read_text(deep)}});
    CHECK(contains(refusal(deep), "an archive within 4 others"));

    Files many;
    for (int i = 0; i < 40; i++) many.push_back({fmt::format("a/{}.jpg", i), encode_jpeg(picture(i, 64, 64), 95)});
    const std::string tgz = read_text(make_archive(packing.path("ok.tgz"), many, "ustar", ARCHIVE_FILTER_GZIP));
    CHECK(contains(refusal(write_file(packing.path("cut.tgz"), tgz.substr(0, tgz.size() / 2)).string()), "truncated gzip input"));
    const std::string outer = make_archive(packing.path("outer.tar"), {{"in.tgz", tgz.substr(0, tgz.size() / 2)}});
    CHECK(contains(refusal(outer), "outer.tar:in.tgz:a/"));
    const std::string cut = read_text(make_archive(packing.path("outer.tgz"), {{"in.tar", read_text(make_archive(packing.path("in.tar"), many))}},
                                                   "ustar", ARCHIVE_FILTER_GZIP));
    CHECK(contains(refusal(write_file(packing.path("cut2.tgz"), cut.substr(0, cut.size() / 2)).string()), "cut2.tgz:in.tar: damaged"));
    CHECK(contains(refusal(write_file(packing.path("text"), "text").string()), "text is no tar or zip"));
    CHECK(contains(refusal(packing.path("none")), "no such file"));
    CHECK(contains(refusal(make_archive(packing.path("no.tar"), {{"a/b.txt", "x"}})), "no images, 1 other files"));
    const Ended bad = packing.run({"archive", make_archive(packing.path("bad.tar"), {{"a/b.jpg", "x"}})}, "bad");
    CHECK(bad.code == int(ExitCode::data));
    CHECK(contains(bad.err, "left out: " + packing.path("bad.tar:a/b.jpg")));
  }

  TEST_CASE("birds, dtd and pets: the lists of the set, in the order of TensorFlow Datasets") {
    const Packing packing;
    SUBCASE("birds") {
      Files files;
      std::string images, split;
      const char* parts = "10100111";
      for (int i = 0; i < 8; i++) {
        const std::string name = fmt::format("{0}/{1}_{2}.jpg", i < 4 ? "001.Auk" : "002.Jay", i < 4 ? "Auk" : "Jay", i % 4);
        files.push_back({"CUB_200_2011/images/" + name, jpeg(i)});
        images += fmt::format("{} {}\n", i + 1, name);
        split += fmt::format("{} {}\n", i + 1, parts[i]);
      }
      files.push_back({"CUB_200_2011/images.txt", images});
      files.push_back({"CUB_200_2011/train_test_split.txt", split});
      const Ended ended = packing.transfer("birds", {make_archive(packing.path("CUB.tgz"), files, "ustar", ARCHIVE_FILTER_GZIP)});
      CHECK(contains(ended.out, "the whole set has 5994 images in train, here are 5"));
      CHECK(packing.lines("train") == Lines{"001.Auk/Auk_0 0", "002.Jay/Jay_2 1", "002.Jay/Jay_1 1", "002.Jay/Jay_3 1",
                                            "001.Auk/Auk_2 0"});
      CHECK(packing.lines("test") == Lines{"001.Auk/Auk_3 0", "001.Auk/Auk_1 0", "002.Jay/Jay_0 1"});
      CHECK(packing.open("train").classes() == Lines{"Auk", "Jay"});
      files.erase(files.begin());
      const Ended missing = packing.run({"transfer", "birds", make_archive(packing.path("less.tgz"), files)}, "less");
      CHECK(missing.code == int(ExitCode::data));
      CHECK(contains(missing.err, "no 001.Auk/Auk_0.jpg in what was given"));
    }
    SUBCASE("dtd, a plain tar named .tar.gz") {
      Files files;
      for (int i = 0; i < 6; i++)
        for (const char* name : {"zigzagged", "banded"}) files.push_back({fmt::format("dtd/images/{0}/{0}_{1}.jpg", name, i), jpeg(i)});
      const char* lists[] = {"train1", "val1", "test1"};
      for (int i = 0; i < 3; i++)
        files.push_back({fmt::format("dtd/labels/{}.txt", lists[i]),
                         fmt::format("banded/banded_{0}.jpg\nbanded/banded_{1}.jpg\nzigzagged/zigzagged_{0}.jpg\r\nzigzagged/zigzagged_{1}.jpg", 2 * i, 2 * i + 1)});
      packing.transfer("dtd", {make_archive(packing.path("dtd-r1.0.1.tar.gz"), files)});
      CHECK(packing.lines("train") == Lines{"zigzagged/zigzagged_1 1", "banded/banded_0 0", "banded/banded_1 0", "zigzagged/zigzagged_0 1"});
      CHECK(packing.lines("val") == Lines{"banded/banded_2 0", "zigzagged/zigzagged_3 1", "banded/banded_3 0", "zigzagged/zigzagged_2 1"});
      CHECK(packing.lines("test") == Lines{"banded/banded_4 0", "zigzagged/zigzagged_5 1", "zigzagged/zigzagged_4 1", "banded/banded_5 0"});
    }
    SUBCASE("pets, one of them no JPEG") {
      Files images, lists;
      std::string trainval = "# a comment\n", test;
      for (int i = 1; i <= 4; i++) {
        images.push_back({fmt::format("images/Abyssinian_{}.jpg", i), i == 2 ? "GIF89a, in truth" : jpeg(i)});
        images.push_back({fmt::format("images/beagle_{}.jpg", i), jpeg(10 + i)});
        (i < 3 ? trainval : test) += fmt::format("Abyssinian_{0} 1 1 1\nbeagle_{0} 2 2 1\n", i);
        lists.push_back({fmt::format("annotations/trimaps/beagle_{}.png", i), encode_png(picture(i))});
      }
      lists.push_back({"annotations/trainval.txt", trainval});
      lists.push_back({"annotations/._trainval.txt", "mac"});
      lists.push_back({"annotations/test.txt", test});
      const Lines archives = {make_archive(packing.path("images.tar.gz"), images), make_archive(packing.path("annotations.tar.gz"), lists)};
      const Ended ended = packing.transfer("pets", archives);
      CHECK(contains(ended.err, "Abyssinian_2.jpg: expected a JPEG or PNG image, got GIF"));
      CHECK(contains(ended.out, "1 left out"));
      CHECK(packing.lines("train") == Lines{"images/Abyssinian_1 0", "images/beagle_1 1", "images/beagle_2 1"});
      CHECK(packing.lines("test") == Lines{"images/Abyssinian_4 0", "images/Abyssinian_3 0", "images/beagle_4 1", "images/beagle_3 1"});
      CHECK(packing.open("test").classes() == Lines{"Abyssinian", "beagle"});
      const Ended strict = packing.run({"transfer", "pets", archives[0], archives[1], "--on-bad-image", "error"}, "strict");
      CHECK(strict.code == int(ExitCode::data));
      CHECK(contains(packing.run({"transfer", "pets", archives[0], archives[1], archives[1]}, "twice").err, "is there twice"));
    }
  }

  TEST_CASE("cars196 from MATLAB or CSV, cifar100 from its binaries") {
    const Packing packing;
    SUBCASE("cars196") {
      Files train, test;
      for (int i = 1; i <= 4; i++) train.push_back({fmt::format("cars_train/{:05}.jpg", i), jpeg(i)});
      for (int i = 1; i <= 3; i++) test.push_back({fmt::format("cars_test/{:05}.jpg", i), jpeg(10 + i)});
      const Lines images = {make_archive(packing.path("train.tgz"), train), make_archive(packing.path("test.tgz"), test)};
      const std::string devkit = make_archive(packing.path("devkit.tgz"), {{"devkit/cars_train_annos.mat", car_annotations({3, 1, 2, 2})}});
      const std::string labels = write_file(packing.path("cars_test_annos_withlabels.mat"), car_annotations({1, 3, 2})).string();
      const Lines expected_train = {"cars_train/00001 2", "cars_train/00003 1", "cars_train/00004 1", "cars_train/00002 0"};
      const Lines expected_test = {"cars_test/00002 2", "cars_test/00001 0", "cars_test/00003 1"};
      SUBCASE("MATLAB") {
        packing.transfer("cars196", {images[0], images[1], devkit, labels});
        const std::string cut = write_file(packing.path("cut/cars_test_annos_withlabels.mat"), read_text(labels).substr(0, 150)).string();
        CHECK(packing.run({"transfer", "cars196", images[0], images[1], devkit, cut}, "cut").code == int(ExitCode::data));
      }
      SUBCASE("CSV") {
        packing.transfer("cars196", {images[0], images[1], write_file(packing.path("cars.csv"), "file,class,split\n"
            "00001.jpg,3,train\n00002.jpg,1,train\n00003.jpg,2,train\ncars_train/00004.jpg,2\n"
            "00001.jpg,1,test\r\n00002.jpg,3,test\ncars_test/00003.jpg,2\n").string()});
      }
      CHECK(packing.lines("train") == expected_train);
      CHECK(packing.lines("test") == expected_test);
    }
    SUBCASE("cifar100") {
      const auto records = [](int n) {
        std::string bytes;
        for (int i = 0; i < n; i++) bytes += std::string(1, '\0') + char(10 * i + n) + std::string(3072, char(i + 1));
        return bytes;
      };
      std::string names;
      for (int i = 0; i < 100; i++) names += fmt::format("c{}\n", i);
      packing.transfer("cifar100", {make_archive(packing.path("cifar"), {{"c/train.bin", records(5)}, {"c/test.bin", records(3)},
                                                                         {"c/fine_label_names.txt", names}}, "ustar", ARCHIVE_FILTER_GZIP)});
      CHECK(packing.lines("train") == Lines{"train/00004 45", "train/00000 5", "train/00003 35", "train/00001 15", "train/00002 25"});
      CHECK(packing.lines("test") == Lines{"test/00001 13", "test/00002 23", "test/00000 3"});
      std::vector<uint8_t> bytes;
      CHECK(packing.open("train").image(0, bytes).rgb == std::vector<uint8_t>(3072, 5));
    }
  }

  TEST_CASE("caltech101, col_hist and uc_merced: one split of TensorFlow Datasets, cut in its md5 order") {
    const Packing packing;
    Files files;
    const auto first_and_last = [&](size_t train) {
      const Lines lines = packing.lines("train");
      REQUIRE(lines.size() == train);
      return Lines{lines[0], lines[1], lines.back()};
    };
    SUBCASE("caltech101, a tar.gz in a zip") {
      for (int i = 0; i < 31; i++)
        for (const char* name : {"Faces", "BACKGROUND_Google"}) files.push_back({fmt::format("101_ObjectCategories/{}/image_{:04}.jpg", name, i), jpeg(i)});
      files.push_back({"101_ObjectCategories/BACKGROUND_Google/tmp", "junk"});
      const std::string tgz = read_text(make_archive(packing.path("t"), files, "ustar", ARCHIVE_FILTER_GZIP));
      const Ended ended = packing.transfer("caltech101", {make_archive(packing.path("caltech-101.zip"), {{"caltech-101/101_ObjectCategories.tar.gz", tgz}}, "zip")});
      CHECK(contains(ended.out, "cannot be repeated"));
      CHECK(first_and_last(60)[1] == "Faces/image_0007 1");
      CHECK(packing.lines("test") == Lines{"BACKGROUND_Google/image_0008 0", "Faces/image_0001 1"});
      CHECK(packing.open("train").classes() == Lines{"background_google", "faces"});
    }
    const std::string tile = tiff(picture(1, 2, 2));
    SUBCASE("col_hist") {
      for (const char* name : {"02_STROMA", "01_TUMOR"})
        for (int i = 0; i < 1001; i++) files.push_back({fmt::format("Kather_texture_2016_image_tiles_5000/{}/{:04}_CRC.tif_Row_1.tif", name, i), tile});
      packing.transfer("col_hist", {make_archive(packing.path("k.zip"), files, "zip")});
      CHECK(first_and_last(2000) == Lines{"01_TUMOR/0279_CRC_tif_Row_1 0", "01_TUMOR/0945_CRC_tif_Row_1 0", "02_STROMA/0038_CRC_tif_Row_1 1"});
      CHECK(packing.lines("test") == Lines{"01_TUMOR/0920_CRC_tif_Row_1 0", "01_TUMOR/0822_CRC_tif_Row_1 0"});
      CHECK(packing.open("train").classes() == Lines{"tumor", "stroma"});
    }
    SUBCASE("uc_merced") {
      for (const char* name : {"river", "beach"})
        for (int i = 0; i < 501; i++) files.push_back({fmt::format("UCMerced_LandUse/Images/{0}/{0}{1:04}.tif", name, i), tile});
      packing.transfer("uc_merced", {make_archive(packing.path("UC.zip"), files, "zip")});
      CHECK(first_and_last(1000) == Lines{"river/river0081 1", "beach/beach0208 0", "beach/beach0500 0"});
      CHECK(packing.lines("test") == Lines{"river/river0064 1", "river/river0154 1"});
    }
  }

  TEST_CASE("check: counts, sizes, damage, copies whose labels disagree, keys twice") {
    const Packing packing;
    const auto sample = [](const std::string& key, int label, const std::string& image) {
      return tar_entry(key + ".cls", std::to_string(label)) + tar_entry(key + ".jpg", image);
    };
    const std::string gray = encode_png({4, 20, std::vector<uint8_t>(240, 7)});
    write_file(packing.path("a.tar"), sample("1", 0, jpeg(1)) + sample("2", 0, jpeg(2)) + sample("3", 2, jpeg(1)) + sample("4", 0, gray));
    write_file(packing.path("b.tar"), sample("1", 0, jpeg(2)) + sample("5", 2, jpeg(3).substr(0, 200)));
    write_file(packing.path("classes.txt"), "0\tcat\n1\tdog\n");
    const Ended text = run_program("pack", {"check", packing.path("{a,b}.tar")});
    CHECK(text.code == int(ExitCode::data));
    for (const char* part : {"2 shards, 6 samples", "6, 1 of them gray", "3, 0 to 4 images each", "4 to 6, median 6", "9 to 20, median 9",
                             "1 dog", "unnamed     2 images", "LABELS DISAGREE: 0, 2", "b.tar:5.jpg: damaged JPEG",
                             "1 damaged, 2 copied, 1 of them with labels that disagree, 1 keys twice"})
      CHECK_MESSAGE(contains(text.out, part), part << " is not in\n" << text.out);
    const auto json = nlohmann::json::parse(run_program("pack", {"check", packing.path("{a,b}.tar"), "--json"}).out);
    CHECK(json["images"] == 6);
    CHECK(json["gray"] == 1);
    CHECK(json["classes"][0] == nlohmann::json{{"name", "cat"}, {"images", 4}});
    CHECK(json["damaged"].size() == 1);
    CHECK(json["copies"].size() == 2);
    CHECK(json["same_key"][0]["where"] == Lines{packing.path("a.tar:1.jpg"), packing.path("b.tar:1.jpg")});
    CHECK(run_program("pack", {"check", packing.path("a.tar")}).code == 0);
  }
}

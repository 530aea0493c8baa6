// build/pack transfer: each of the eight sets from archives of its layout, with the labels, parts and order of
// TensorFlow Datasets. The orders below were computed with Python's hashlib, apart from this code.
#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/packing.h"
#include "tests/tar_builder.h"

TEST_SUITE("pack") {
  TEST_CASE("birds, dtd and pets: the lists of the set, in the order of TensorFlow Datasets") {
    const Packing packing;
    SUBCASE("birds") {
      Files files;
      std::string images, split;
      const char* parts = "10100111";
      for (int i = 0; i < 8; i++) {
        const std::string name =
            fmt::format("{0}/{1}_{2}.jpg", i < 4 ? "001.Auk" : "002.Jay", i < 4 ? "Auk" : "Jay", i % 4);
        files.push_back({"CUB_200_2011/images/" + name, jpeg(i)});
        images += fmt::format("{} {}\n", i + 1, name);
        split += fmt::format("{} {}\n", i + 1, parts[i]);
      }
      files.push_back({"CUB_200_2011/images.txt", images});
      files.push_back({"CUB_200_2011/train_test_split.txt", split});
      const Ended ended =
          packing.transfer("birds", {make_archive(packing.path("CUB.tgz"), files, "ustar", ARCHIVE_FILTER_GZIP)});
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
        for (const char* name : {"zigzagged", "banded"})
          files.push_back({fmt::format("dtd/images/{0}/{0}_{1}.jpg", name, i), jpeg(i)});
      const char* lists[] = {"train1", "val1", "test1"};
      for (int i = 0; i < 3; i++)
        files.push_back({fmt::format("dtd/labels/{}.txt", lists[i]),
                         fmt::format("banded/banded_{0}.jpg\nbanded/banded_{1}.jpg\nzigzagged/"
                                     "zigzagged_{0}.jpg\r\nzigzagged/zigzagged_{1}.jpg",
                                     2 * i, 2 * i + 1)});
      packing.transfer("dtd", {make_archive(packing.path("dtd-r1.0.1.tar.gz"), files)});
      CHECK(packing.lines("train") ==
            Lines{"zigzagged/zigzagged_1 1", "banded/banded_0 0", "banded/banded_1 0", "zigzagged/zigzagged_0 1"});
      CHECK(packing.lines("val") ==
            Lines{"banded/banded_2 0", "zigzagged/zigzagged_3 1", "banded/banded_3 0", "zigzagged/zigzagged_2 1"});
      CHECK(packing.lines("test") ==
            Lines{"banded/banded_4 0", "zigzagged/zigzagged_5 1", "zigzagged/zigzagged_4 1", "banded/banded_5 0"});
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
      const Lines archives = {make_archive(packing.path("images.tar.gz"), images),
                              make_archive(packing.path("annotations.tar.gz"), lists)};
      const Ended ended = packing.transfer("pets", archives);
      CHECK(contains(ended.err, "Abyssinian_2.jpg: expected a JPEG or PNG image, got GIF"));
      CHECK(contains(ended.out, "1 left out"));
      CHECK(packing.lines("train") == Lines{"images/Abyssinian_1 0", "images/beagle_1 1", "images/beagle_2 1"});
      CHECK(packing.lines("test") ==
            Lines{"images/Abyssinian_4 0", "images/Abyssinian_3 0", "images/beagle_4 1", "images/beagle_3 1"});
      CHECK(packing.open("test").classes() == Lines{"Abyssinian", "beagle"});
      const Ended strict =
          packing.run({"transfer", "pets", archives[0], archives[1], "--on-bad-image", "error"}, "strict");
      CHECK(strict.code == int(ExitCode::data));
      CHECK(contains(packing.run({"transfer", "pets", archives[0], archives[1], archives[1]}, "twice").err,
                     "is there twice"));
    }
  }

  TEST_CASE("cars196 from MATLAB or CSV, cifar100 from its binaries") {
    const Packing packing;
    SUBCASE("cars196") {
      Files train, test;
      for (int i = 1; i <= 4; i++) train.push_back({fmt::format("cars_train/{:05}.jpg", i), jpeg(i)});
      for (int i = 1; i <= 3; i++) test.push_back({fmt::format("cars_test/{:05}.jpg", i), jpeg(10 + i)});
      const Lines images = {make_archive(packing.path("train.tgz"), train),
                            make_archive(packing.path("test.tgz"), test)};
      const std::string devkit =
          make_archive(packing.path("devkit.tgz"), {{"devkit/cars_train_annos.mat", car_annotations({3, 1, 2, 2})}});
      const std::string labels =
          write_file(packing.path("cars_test_annos_withlabels.mat"), car_annotations({1, 3, 2})).string();
      const Lines expected_train = {"cars_train/00001 2", "cars_train/00003 1", "cars_train/00004 1",
                                    "cars_train/00002 0"};
      const Lines expected_test = {"cars_test/00002 2", "cars_test/00001 0", "cars_test/00003 1"};
      SUBCASE("MATLAB") {
        packing.transfer("cars196", {images[0], images[1], devkit, labels});
        const std::string cut =
            write_file(packing.path("cut/cars_test_annos_withlabels.mat"), read_text(labels).substr(0, 150)).string();
        CHECK(packing.run({"transfer", "cars196", images[0], images[1], devkit, cut}, "cut").code ==
              int(ExitCode::data));
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
      packing.transfer(
          "cifar100",
          {make_archive(packing.path("cifar"),
                        {{"c/train.bin", records(5)}, {"c/test.bin", records(3)}, {"c/fine_label_names.txt", names}},
                        "ustar", ARCHIVE_FILTER_GZIP)});
      CHECK(packing.lines("train") ==
            Lines{"train/00004 45", "train/00000 5", "train/00003 35", "train/00001 15", "train/00002 25"});
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
        for (const char* name : {"Faces", "BACKGROUND_Google"})
          files.push_back({fmt::format("101_ObjectCategories/{}/image_{:04}.jpg", name, i), jpeg(i)});
      files.push_back({"101_ObjectCategories/BACKGROUND_Google/tmp", "junk"});
      const std::string tgz = read_text(make_archive(packing.path("t"), files, "ustar", ARCHIVE_FILTER_GZIP));
      const Ended ended = packing.transfer(
          "caltech101",
          {make_archive(packing.path("caltech-101.zip"), {{"caltech-101/101_ObjectCategories.tar.gz", tgz}}, "zip")});
      CHECK(contains(ended.out, "cannot be repeated"));
      CHECK(first_and_last(60)[1] == "Faces/image_0007 1");
      CHECK(packing.lines("test") == Lines{"BACKGROUND_Google/image_0008 0", "Faces/image_0001 1"});
      CHECK(packing.open("train").classes() == Lines{"background_google", "faces"});
    }
    const std::string tile = tiff(picture(1, 2, 2));
    SUBCASE("col_hist") {
      for (const char* name : {"02_STROMA", "01_TUMOR"})
        for (int i = 0; i < 1001; i++)
          files.push_back(
              {fmt::format("Kather_texture_2016_image_tiles_5000/{}/{:04}_CRC.tif_Row_1.tif", name, i), tile});
      packing.transfer("col_hist", {make_archive(packing.path("k.zip"), files, "zip")});
      CHECK(first_and_last(2000) ==
            Lines{"01_TUMOR/0279_CRC_tif_Row_1 0", "01_TUMOR/0945_CRC_tif_Row_1 0", "02_STROMA/0038_CRC_tif_Row_1 1"});
      CHECK(packing.lines("test") == Lines{"01_TUMOR/0920_CRC_tif_Row_1 0", "01_TUMOR/0822_CRC_tif_Row_1 0"});
      CHECK(packing.open("train").classes() == Lines{"tumor", "stroma"});
    }
    SUBCASE("uc_merced") {
      for (const char* name : {"river", "beach"})
        for (int i = 0; i < 501; i++)
          files.push_back({fmt::format("UCMerced_LandUse/Images/{0}/{0}{1:04}.tif", name, i), tile});
      packing.transfer("uc_merced", {make_archive(packing.path("UC.zip"), files, "zip")});
      CHECK(first_and_last(1000) == Lines{"river/river0081 1", "beach/beach0208 0", "beach/beach0500 0"});
      CHECK(packing.lines("test") == Lines{"river/river0064 1", "river/river0154 1"});
    }
  }
}

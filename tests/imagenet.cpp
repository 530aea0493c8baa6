// Classes by wnid: the lists of ImageNet, labels held against them, several labels or none, and a choice of classes.
#include <doctest/doctest.h>

#include <numeric>

#include "data/imagenet.h"
#include "data/synthetic.h"
#include "models/classes.h"
#include "models/evaluate.h"
#include "tests/error_of.h"
#include "tests/tar_builder.h"
#include "tests/temp_dir.h"
#include "tests/test_device.h"

namespace {
struct Shards {
  TempDir dir;
  std::string write(const std::string& name, const std::string& bytes) const {
    return write_file(dir.path() / name, bytes).string();
  }
};

std::string sample(const std::string& key, const std::string& label) {
  return tar_entry(key + ".cls", label) + tar_entry(key + ".jpg", key);
}

std::vector<std::vector<int>> labels_of(const Index& index) {
  std::vector<std::vector<int>> all;
  for (size_t i = 0; i < index.size(); i++) all.emplace_back(index.labels(i).begin(), index.labels(i).end());
  return all;
}
using Sets = std::vector<std::vector<int>>;
}

TEST_SUITE("imagenet") {
  TEST_CASE("the lists are sorted and have the classes they are known by") {
    const std::pair<const char*, size_t> sizes[] = {
        {"1k", 1000}, {"21k", 21843}, {"22k", 21841}, {"12k", 11821}, {"10k", 10450}};
    REQUIRE(imagenet_lists().size() == 5);
    for (size_t i = 0; i < 5; i++) {
      const ImagenetList& list = imagenet_lists()[i];
      CHECK(list.name == sizes[i].first);
      CHECK(list.wnids.size() == sizes[i].second);
      CHECK(std::is_sorted(list.wnids.begin(), list.wnids.end()));
      CHECK(imagenet_list_of(int(sizes[i].second)) == &list);
      CHECK(imagenet_list_with(list.wnids) == &list);
    }
    CHECK(imagenet_lists()[0].wnids.front() == "n01440764");
    CHECK(imagenet_lists()[0].wnids[850] == "n04399382");
    CHECK(imagenet_lists()[1].wnids.front() == "n00004475");
    CHECK(imagenet_lists()[1].wnids.back() == "n15102894");
    CHECK(imagenet_list_of(999) == nullptr);
  }

  TEST_CASE("ImageNet-1k among BigVision's 21,843 classes: all but the teddy bear") {
    const auto [classes, columns, absent] = restrict_to("1k", {"M", 21843, {}});
    CHECK(classes.names == imagenet_lists()[0].wnids);
    REQUIRE(columns.size() == 1000);
    CHECK(absent == std::vector<std::string>{"n04399382"});
    CHECK(columns[850] == -1);
    CHECK(std::vector<int>(columns.begin(), columns.begin() + 8) ==
          std::vector<int>{359, 368, 460, 475, 486, 492, 496, 514});
    CHECK(columns[849] == 11137);
    CHECK(columns[851] == 11168);
    CHECK(columns[999] == 21817);
    CHECK(std::accumulate(columns.begin(), columns.end(), 0) + 1 == 6367948);
  }

  TEST_CASE("classes are found by their names, and what cannot be chosen from is said") {
    const Shards shards;
    const std::string wanted = shards.write("wanted.txt", "n02084071 dog\n\nboat\r\n");
    const Restriction both = restrict_to(wanted, {"M", 3, {"boat", "n02084071", "tree"}}),
                      one = restrict_to(wanted, {"M", 2, {"car", "n02084071"}});
    CHECK(both.columns == std::vector<int>{1, 0});
    CHECK(both.classes.names == std::vector<std::string>{"n02084071 dog", "boat"});
    CHECK(both.absent.empty());
    CHECK(one.columns == std::vector<int>{1, -1});
    CHECK(one.absent == std::vector<std::string>{"boat"});
    CHECK(contains(error_of(ExitCode::usage, [&] { restrict_to("2k", {"M", 1, {"a"}}); }),
                   "'2k' is neither one of 1k, 21k, 22k, 12k, 10k, nor a file"));
    CHECK(contains(error_of(ExitCode::usage, [&] { restrict_to("1k", {"M", 7, {}}); }), "does not name its 7 classes"));
    CHECK(contains(error_of(ExitCode::usage, [&] { restrict_to(wanted, {"M", 1, {"x"}}); }), "none of its 2 classes"));
    const std::string twice = error_of(ExitCode::usage, [&] { restrict_to(wanted, {"M", 2, {"boat", "boat"}}); });
    CHECK(contains(twice, "'boat' stands twice"));
  }

  TEST_CASE("a wnid is nine characters at the start of the name") {
    CHECK(wnid_of("a/n01440764_10026") == "n01440764");
    CHECK(wnid_of("n01440764") == "n01440764");
    CHECK(wnid_of("n01440764 tench") == "n01440764");
    for (const char* other : {"n0144076", "n014407641", "m01440764", "n0144076x_1", "n01440764-1", "", "n01440764/"})
      CHECK(wnid_of(other) == "");
  }

  TEST_CASE("wnids in keys tell the list, and labels that do not follow it are refused") {
    const Shards shards;
    const std::string right = shards.write(
        "right.tar", sample("n01440764_1", "0") + sample("n01443537_1", "1") + sample("n15075141_9", "999"));
    const std::string shifted = shards.write("shifted.tar", sample("n01440764_1", "1") + sample("n01443537_1", "2"));
    CHECK(contains(Index::open(right, "").summary(), "labels as in ImageNet-1k"));
    CHECK(contains(Index::open(right, "", 1000).summary(), "3 samples"));
    CHECK(contains(Index::open(shifted, "").summary(), "labels as in no list of ImageNet"));
    CHECK(contains(error_of(ExitCode::data, [&] { Index::open(shifted, "", 1000); }),
                   "shifted.tar:n01440764_1.jpg: label 1 for n01440764, but ImageNet-1k has n01443537 there"));
    CHECK(contains(error_of(ExitCode::data, [&] { Index::open(right + "::" + shifted, ""); }),
                   "label 1 for n01440764, but other shards for n01443537"));
    const std::string both = shards.write("both.tar", sample("n01440764_1", "0") + sample("n01443537_1", "0"));
    CHECK(contains(error_of(ExitCode::data, [&] { Index::open(both, ""); }),
                   "label 0 for n01443537, but for n01440764 before it"));
    shards.write("classes.txt", "0\tn01443537 goldfish\n1\tn01440764 tench\n");
    CHECK(contains(error_of(ExitCode::data, [&] { Index::open(right, ""); }),
                   "label 0 for n01440764, but the class list has n01443537 goldfish there"));
  }

  TEST_CASE("a part of ImageNet is numbered as the whole where the model has its classes") {
    const Shards shards;
    for (const char* name : {"n01443537/a.jpg", "n15075141/b.jpg"}) shards.write(std::string("set/") + name, "x");
    const std::string source = (shards.dir.path() / "set").string();
    CHECK(labels_of(Index::open(source, "")) == Sets{{0}, {1}});
    const Index whole = Index::open(source, "", 1000);
    CHECK(labels_of(whole) == Sets{{1}, {999}});
    CHECK(whole.classes().size() == 1000);
    CHECK(contains(whole.summary(), "1000 classes of ImageNet-1k"));
    CHECK(labels_of(Index::open(source, "", 10)) == Sets{{0}, {1}});
  }

  TEST_CASE("several labels of an image, also from the cache, and as a vector of ones") {
    const Shards shards;
    const std::string tar =
        shards.write("t.tar", sample("a", "3") + sample("b", "7, 2\n9") + sample("c", "1 1") + sample("d", "0"));
    for (const bool cached : {false, true}) {
      const Index index = Index::open(tar, shards.dir.path() / "cache");
      CHECK(index.from_cache() == cached);
      CHECK(labels_of(index) == Sets{{3}, {7, 2, 9}, {1, 1}, {0}});
      CHECK(index.max_label() == 9);
      CHECK(contains(error_of(ExitCode::data, [&] { index.require_labels_below(9); }), "t.tar:b.jpg: label 9"));
    }
    const int labels[] = {2, 0, 1, 1};
    CHECK(multi_hot(std::vector<Labels>{{labels, 2}, {labels + 2, 2}, {}}, 3) ==
          std::vector<float>{1, 0, 1, 0, 1, 0, 0, 0, 0});
    CHECK(contains(error_of(ExitCode::data, [&] { Index::open(shards.write("bad.tar", sample("a", "1 x")), ""); }),
                   "expected a label"));
  }

  TEST_CASE("ReaL labels by the number of the image; none for some") {
    const Shards shards;
    const std::string tar =
        shards.write("v.tar", sample("ILSVRC2012_val_00000003", "5") + sample("ILSVRC2012_val_00000001", "4") +
                                  sample("ILSVRC2012_val_00000002", "4"));
    Index index = Index::open(tar, "");
    index.take_real_labels(shards.write("real.json", "[[1], [], [2, 8]]"));
    CHECK(labels_of(index) == Sets{{2, 8}, {1}, {}});
    CHECK(index.max_label() == 8);
    CHECK(contains(error_of(ExitCode::data, [&] { index.take_real_labels(shards.write("short.json", "[[1]]")); }),
                   "ILSVRC2012_val_00000003.jpg"));
    for (const char* wrong : {"", "{}", "[1]", "[[\"a\"]]", "[[-1]]"}) {
      CAPTURE(wrong);
      CHECK(contains(error_of(ExitCode::data, [&] { index.take_real_labels(shards.write("wrong.json", wrong)); }),
                     "wrong.json"));
    }
    CHECK(contains(error_of(ExitCode::data, [&] { index.take_real_labels("/none.json"); }), "cannot open"));
  }

  TEST_CASE(
      "evaluation: any of the labels is right, images without one do not count, and only given classes are chosen "
      "from") {
    TempDir dir;
    write_drawn_set(dir.path() / "set", 50, 40, 32, 1);
    Index index = Index::open((dir.path() / "set" / "val-0000.tar").string(), {});
    auto device = make_cpu(2);
    ViT vit(*device,
            {.image_size = 32, .patch = 8, .width = 16, .depth = 1, .heads = 2, .mlp_width = 16, .classes = 10});
    vit.initialise(1);
    vit.parameters().set("head.bias", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});  // the head's weights are zero: logits are these
    const LoaderOptions options{.batch = 16, .preprocess = {.image_size = 32, .crop = "none"}};
    const auto result = [&](std::span<const int> columns) {
      Loader loader(index, options);
      return evaluate(vit, loader, "softmax", [](uint64_t) { return true; }, nullptr, columns);
    };
    const auto with = [&](int label) {
      uint64_t n = 0;
      for (size_t i = 0; i < index.size(); i++) n += index.label(i) == label;
      return n;
    };
    CHECK(result({}).correct == with(9));
    CHECK(result({}).correct5 == with(5) + with(6) + with(7) + with(8) + with(9));
    // label 2 has the largest logit, then 6, 0, 5, 4
    const Evaluation chosen = result(std::vector<int>{3, -1, 5, 0, 1, 2, 4, -1, -1, -1});
    CHECK(chosen.correct == with(2));
    CHECK(chosen.correct5 == with(2) + with(6) + with(0) + with(5) + with(4));
    CHECK(result(std::vector<int>{3, -1, 5, -1, -1, -1, -1, -1, -1, -1}).correct5 == with(2) + with(0));
    CHECK(chosen.count == 40);
    CHECK(std::isnan(chosen.loss));
  }
}

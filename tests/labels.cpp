// Labels of two sources meet by name: class lists, folders named by number, joined shards, what labels are to count.
#include <doctest/doctest.h>

#include "data/index.h"
#include "tests/error_of.h"
#include "tests/index_contents.h"
#include "tests/tar_builder.h"
#include "tests/temp_dir.h"

namespace {
using Names = std::vector<std::string>;

struct Place {
  TempDir dir;
  std::string path(const std::string& name) const { return (dir.path() / name).string(); }
  void write(const std::string& name, const std::string& bytes) const { write_file(dir.path() / name, bytes); }
  Index open(const std::string& name) const { return Index::open(path(name), ""); }
  std::string refusal(const std::string& source) const {
    return error_of(ExitCode::data, [&] { Index::open(source, ""); });
  }
};

std::string sample(const std::string& key, const std::string& label) {
  return tar_entry(key + ".cls", label) + tar_entry(key + ".jpg", key);
}

std::string refusal(Index index, const Classes& wanted) {
  return error_of(ExitCode::data, [&] { index.count_as(wanted); });
}
}

TEST_SUITE("labels") {
  TEST_CASE("names of classes: numbers sort as numbers, all else as text; the same name or wnid is the same class") {
    const auto sorted = [](Names names) { return sort_classes(names), names; };
    CHECK(sorted({"10", "9", "0", "9", "11"}) == Names{"0", "9", "10", "11"});
    CHECK(sorted({"010", "002", "1", "01"}) == Names{"1", "01", "002", "010"});
    CHECK(sorted({"10", "9", "x"}) == Names{"10", "9", "x"});
    CHECK(sorted({"10", "9", "-1", ""}) == Names{"", "-1", "10", "9"});
    const Names large = {"99999999999999999999999", "100000000000000000000000"};
    CHECK(sorted({large[1], large[0]}) == large);
    CHECK_FALSE(all_numbers({}));

    using Map = std::vector<int32_t>;
    CHECK(class_map({"dog", "cat", "cow"}, {"bird", "cat", "dog"}) == Map{2, 1, no_class});
    CHECK(class_map({"n01440764", "n01443537_goldfish"}, {"n01443537 goldfish", "n01440764 tench"}) == Map{1, 0});
    CHECK(class_map({"sea"}, {"sea lion"}) == Map{no_class});
    CHECK(class_map({"crane", "crane"}, {"crane", "crane"}) == Map{0, 1});
    CHECK(class_map({"crane"}, {"crane", "crane"}) == Map{several_classes});
    CHECK(class_map({"crane", "crane"}, {"crane"}) == Map{several_classes, several_classes});
  }

  TEST_CASE("labels in terms of other classes: a part, another order, several an image; unknown names are refused") {
    const Place place;
    place.write("a.tar", sample("0", "0") + sample("1", "1 2") + tar_end());
    place.write("classes.txt", "0\tcat\n1\tdog\n2\tbird\n3\tant\n");
    Index index = place.open("a.tar");
    CHECK(index.count_as({"M", 5, {"bird", "cow", "cat", "dog", "eel"}}) == "");
    CHECK(labels_of(index) == std::vector<int>{2, 3});
    CHECK(std::vector<int>(index.labels(1).begin(), index.labels(1).end()) == std::vector<int>{3, 0});
    CHECK(index.max_label() == 3);
    CHECK(index.classes().size() == 5);
    const std::string unknown = refusal(place.open("a.tar"), {"M", 2, {"bird", "cat"}});
    CHECK(says(unknown, {"a.tar:1.jpg", "'dog' is none of the 2 of M (bird, cat)"}));
    CHECK(contains(refusal(place.open("a.tar"), {"M", 3, {"bird", "cat", "bird"}}), "'dog' is none"));
    CHECK(contains(refusal(place.open("a.tar"), {"M", 4, {"bird", "cat", "dog", "dog"}}), "'dog' stands twice"));
    const std::string note = place.open("a.tar").count_as({"M", 4, {}});
    CHECK(note == "labels are taken by place, label k as class k: M names no classes");
    place.write("b/b.tar", sample("0", "5"));
    place.write("b/classes.txt", "0\tcat\n");
    CHECK(contains(refusal(place.open("b/b.tar"), {"M", 2, {"bird", "cat"}}), "label 5 has no name"));
    place.write("c/c.tar", sample("n01440764_1", "0"));
    Index nameless = place.open("c/c.tar");
    CHECK(contains(nameless.count_as({"M", 2, {"bird", "cat"}}), "the images name no classes"));
    CHECK(contains(refusal(place.open("c/c.tar"), {"M", 2, {"n01443537", "n01440764"}}), "but M has n01443537 there"));
    CHECK(contains(nameless.count_as({"M", 2, {"n01440764 tench", "n01443537"}}), "by place"));
  }

  TEST_CASE("folders named by number: in that order where all are, and those classes where a model names none") {
    const Place place;
    for (const int k : {0, 1, 2, 9, 10, 11}) place.write(fmt::format("v/{}/x.jpg", k), std::to_string(k));
    for (const char* k : {"000", "002", "010"}) place.write(fmt::format("padded/{}/x.jpg", k), k);
    Index index = place.open("v");
    CHECK(index.classes() == Names{"0", "1", "2", "9", "10", "11"});
    CHECK(bytes_of(index, 4) == "10");
    CHECK(contains(index.count_as({"M", 12, {}}), "taken by place, folder k as class k: M names no classes"));
    CHECK(labels_of(index) == std::vector<int>{0, 1, 2, 9, 10, 11});
    Index all = place.open("v");                                         // as many as the model has: their order
    CHECK(contains(all.count_as({"M", 6, {}}), "label k as class k"));
    CHECK(labels_of(all) == std::vector<int>{0, 1, 2, 3, 4, 5});
    CHECK(contains(refusal(place.open("v"), {"M", 11, {}}), "folder 11: expected numbers from 0 to 10"));
    CHECK(contains(refusal(place.open("v"), {"M", 2, {"bird", "cat"}}), "a classes.txt beside the folders"));
    CHECK(place.open("padded").classes() == Names{"000", "002", "010"});
    std::string tar;
    for (const char* k : {"10", "9", "0"}) tar += tar_entry(std::string(k) + ".tar", tar_entry("x.jpg", k) + tar_end());
    place.write("nested.tar", tar + tar_end());
    const Index nested = place.open("nested.tar");
    CHECK(nested.classes() == Names{"0", "9", "10"});
    CHECK(bytes_of(nested, 2) == "10");
    place.write("v/classes.txt", "0\ta\n1\tb\n2\tc\n3\td\n4\te\n5\tf\n6\tg\n7\th\n8\ti\n9\tj\n10\tk\n11\tl\n");
    CHECK(labels_of(place.open("v")) == std::vector<int>{0, 1, 2, 9, 10, 11});
    CHECK(place.open("v").classes()[9] == "j");
  }

  TEST_CASE("joined shards with class lists of their own") {
    const Place place;
    place.write("a/a.tar", sample("bird", "0") + sample("cat", "1"));
    place.write("a/classes.txt", "0\tbird\n1\tcat\n");
    place.write("b/b.tar", sample("cat", "0") + sample("dog", "1"));
    place.write("b/classes.txt", "0\tcat\n1\tdog\n");
    place.write("c/c.tar", sample("x", "0"));
    place.write("d/cat/x.jpg", "x");
    const std::string a = place.path("a/a.tar"), b = place.path("b/b.tar"), c = place.path("c/c.tar");
    const std::string d = place.path("d");
    const Index both = Index::open(a + "::" + b, "");
    CHECK(both.classes() == Names{"bird", "cat", "dog"});
    CHECK(labels_of(both) == std::vector<int>{0, 1, 1, 2});
    CHECK(labels_of(Index::open(b + "::" + a, "")) == std::vector<int>{0, 1, 2, 0});
    CHECK(labels_of(Index::open(d + "::" + a + "::" + b, "")) == std::vector<int>{1, 0, 1, 1, 2});
    CHECK(contains(Index::open(c + "::" + a, "").summary(), "labels of 1 shard without a class list taken by place"));
    CHECK(Index::open(c + "::" + a, "").classes() == Names{"bird", "cat"});
    CHECK(says(place.refusal(a + "::" + b + "::" + c), {"c.tar: no class list says what its labels count", "differ"}));
    place.write("d/cow/x.jpg", "x");
    CHECK(contains(place.refusal(a + "::" + d), "its class 'cow' is none of the 2"));
    place.write("e/e.tar", sample("x", "2"));
    place.write("e/classes.txt", "0\tdog\n1\tcat\n");
    CHECK(contains(place.refusal(a + "::" + place.path("e/e.tar")), "label 2, but the class list beside it names 2"));
    place.write("e/classes.txt", "0\tdog\n1\tcat\n2\tcat\n");
    CHECK(contains(place.refusal(a + "::" + place.path("e/e.tar")), "'cat' stands twice"));
    place.write("f/f.tar", sample("n01440764_1", "0"));
    place.write("f/classes.txt", "0\tn01440764 tench\n");
    place.write("g/g.tar", sample("n01443537_1", "0") + sample("n01440764_1", "1"));
    place.write("g/classes.txt", "0\tn01443537 goldfish\n1\tn01440764\n");
    const Index wnids = Index::open(place.path("f/f.tar") + "::" + place.path("g/g.tar"), "");
    CHECK(labels_of(wnids) == std::vector<int>{0, 1, 0});
    place.write("h/h.tar", sample("x", "1"));
    const Index nameless = Index::open(c + "::" + place.path("h/h.tar"), "");
    CHECK(contains(nameless.summary(), "labels of 2 shards without a class list taken by place"));
  }
}

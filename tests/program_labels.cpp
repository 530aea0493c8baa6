// Labels of two sources meet by name in the programs: training and validation, a model and data, two sources of a task,
// two packs.
#include <doctest/doctest.h>

#include "engine/json.h"
#include "tests/packing.h"
#include "tests/run_program.h"
#include "tests/tar_builder.h"

namespace {
using Names = std::vector<std::string>;

constexpr int colours[][3] = {{220, 30, 30}, {30, 200, 30}, {40, 40, 230}, {220, 220, 40}};
constexpr int red = 0, green = 1, blue = 2, yellow = 3;

// A picture in one of four colours, and no two pictures alike.
std::string coloured(int colour, int number) {
  Image image{8, 8, {}};
  for (int i = 0; i < 64; i++)
    for (const int value : colours[colour]) image.rgb.push_back(uint8_t(value - (i * 7 + number * 5) % 25));
  return encode_png(image);
}

struct Place {
  TempDir dir;
  std::string path(const std::string& name) const { return (dir.path() / name).string(); }
  void write(const std::string& name, const std::string& bytes) const { write_file(dir.path() / name, bytes); }
  // SET/CLASS/0.png ..., each class of names in the colour of its number in `colour_of`
  void folders(const std::string& set, const Names& names, const std::vector<int>& colour_of, int images = 8) const {
    for (size_t c = 0; c < names.size(); c++)
      for (int i = 0; i < images; i++)
        write(fmt::format("{}/{}/{}.png", set, names[c], i), coloured(colour_of[c], i));
  }
  Ended train(const std::string& data, const std::string& out, Flags more = {}) const {
    more.merge(Flags{{"--train", path(data)}, {"--out", path(out)}, {"--image-size", "8"}, {"--patch", "4"},
                     {"--width", "16"}, {"--depth", "1"}, {"--heads", "1"}, {"--batch", "8"}, {"--crop", "none"},
                     {"--steps", "100"},
                     {"--lr", "3e-3"}, {"--threads", "1"}});
    return ::train(more);
  }
  Ended probe(const std::string& run, const std::string& known, const std::string& asked) const {
    const std::string task = fmt::format("t={},{}", path(known), path(asked));
    const Flags flags{{"--task", task}, {"--shots", "4"}, {"--json", ""}};
    return eval("fewshot", eval_flags(path(run + "/last.safetensors"), flags));
  }
  Ended accuracy(const std::string& run, const std::string& data, Flags more = {}) const {
    more.merge(Flags{{"--data", path(data)}, {"--json", ""}});
    return eval("accuracy", eval_flags(path(run + "/last.safetensors"), more));
  }
};

// 1.0 where all are right; -1 where it failed
double top1(const Ended& ended) { return ended.code ? -1 : nlohmann::json::parse(ended.out)["top1"].get<double>(); }

}

TEST_SUITE("programs: labels") {
  TEST_CASE("validation, evaluation and probes find classes by name: a part, another order; others are refused") {
    const Place place;
    place.folders("train", {"bird", "cat", "dog"}, {red, green, blue});
    place.folders("part", {"cat", "dog"}, {green, blue});
    place.folders("order", {"bird", "cat", "dog"}, {red, green, blue});
    place.write("order/classes.txt", "0\tdog\n1\tbird\n2\tcat\n");
    place.folders("more", {"cat", "yak"}, {green, yellow});
    const Ended part = place.train("train", "run", {{"--val", place.path("part")}});
    REQUIRE_MESSAGE(part.code == 0, part.err);
    CHECK(contains(part.out, "100.00 %"));
    CHECK(!contains(part.err, "note "));
    for (const char* data : {"train", "part", "order"}) {
      const Ended ended = place.accuracy("run", data);
      CHECK_MESSAGE(top1(ended) == 1, data << ": " << ended.out << ended.err);
      CHECK(!contains(ended.err, "note "));
      const Ended probe = place.probe("run", "train", data);
      REQUIRE_MESSAGE(probe.code == 0, probe.err);
      CHECK(nlohmann::json::parse(probe.out)["mean"]["4"] == 1.0);
    }
    const Ended more = place.train("train", "other", {{"--val", place.path("more")}});
    CHECK(more.code == 3);
    CHECK(contains(more.err, "its class 'yak' is none of the 3 of --train (bird, cat, dog)"));
    const Ended unknown = place.accuracy("run", "more");
    CHECK(unknown.code == 3);
    CHECK(contains(unknown.err, "more/yak/0.png: its class 'yak' is none of the 3 of " + place.path("run/last")));
    const auto look = [&](const std::string& data) {
      const Flags flags{{"--data", place.path(data)}, {"--out", place.path("look")}};
      return eval("inspect", eval_flags(place.path("run/last.safetensors"), flags));
    };
    const Ended seen = look("part");
    CHECK_MESSAGE(seen.code == 0, seen.err);
    CHECK(look("more").code == 3);
    const Ended probe = place.probe("run", "train", "more");
    CHECK(probe.code == 3);
    CHECK(contains(probe.err, "'yak' is none of the 3 of the training images of task t"));

    place.write("chosen.txt", "dog\ncat\nyak\n");                     // in any order, and one that the model has not
    const Ended chosen = place.accuracy("run", "more", {{"--restrict-to", place.path("chosen.txt")}});
    CHECK(top1(chosen) == 0.5);
    CHECK(top1(place.accuracy("run", "part", {{"--restrict-to", place.path("chosen.txt")}})) == 1);
    const Ended outside = place.accuracy("run", "train", {{"--restrict-to", place.path("chosen.txt")}});
    CHECK(contains(outside.err, "'bird' is none of the 3 of --restrict-to"));
  }

  TEST_CASE("weights without names: places are taken and a note says so once; folder k is class k") {
    const Place place;
    std::string tar;
    for (int i = 0; i < 8; i++)
      for (int c = 0; c < 12; c++) {
        const std::string key = fmt::format("{}-{}", i, c);
        tar += tar_entry(key + ".cls", std::to_string(c));
        tar += tar_entry(key + ".png", coloured(c == 10 ? green : c == 2 ? blue : red, i));
      }
    place.write("train.tar", tar + tar_end());
    place.folders("v2", {"0", "2", "10"}, {red, blue, green});
    place.folders("words", {"a", "b"}, {red, blue});
    const Ended run = place.train("train.tar", "run", {{"--val", place.path("v2")}});
    REQUIRE_MESSAGE(run.code == 0, run.err);
    CHECK(contains(run.err, "note    labels are taken by place, folder k as class k: --train names no classes"));
    const Ended v2 = place.accuracy("run", "v2"), words = place.accuracy("run", "words");
    CHECK_MESSAGE(nlohmann::json::parse(v2.out)["top1"].get<double>() >= 0.66, v2.out);    // red is one of ten classes
    const std::string note = "last.safetensors names no classes\n";
    CHECK(contains(v2.err, note));
    CHECK(words.err.find(note) != words.err.npos);
    CHECK(words.err.find(note) == words.err.rfind(note));
  }

  TEST_CASE("packing into a folder that holds a set: by its class list, which stays") {
    const Place place;
    place.folders("train", {"bird", "cat"}, {red, green});
    place.folders("val/val", {"cat"}, {green});
    place.folders("ant/val", {"ant", "bird"}, {blue, red});
    const std::string out = place.path("shards");
    REQUIRE(run_program("pack", {"folder", place.path("train"), "--out", out}).code == 0);
    const auto before = snapshot(out);
    const Ended ant = run_program("pack", {"folder", place.path("ant"), "--out", out});
    CHECK(ant.code == 3);
    CHECK(contains(ant.err, "classes.txt: its 2 classes, which number the images beside it, have no class 'ant'"));
    CHECK(snapshot(out) == before);
    const Ended drawn = run_program("pack", {"drawn", "--images", "10", "--out", place.path("drawn")});
    CHECK(drawn.code == 0);
    REQUIRE(run_program("pack", {"folder", place.path("val"), "--out", out}).code == 0);
    CHECK(read_text(out + "/classes.txt") == before.at("classes.txt"));
    const Index val = Index::open(out + "/val-*.tar", "");
    for (size_t i = 0; i < val.size(); i++) CHECK(val.label(i) == 1);
    place.write("mine/train-0000.tar", tar_entry("a.cls", "7") + tar_entry("a.png", coloured(red, 0)) + tar_end());
    const Ended nameless = run_program("pack", {"folder", place.path("val"), "--out", place.path("mine")});
    CHECK(nameless.code == 3);
    CHECK(contains(nameless.err, "train-0000.tar is there already, and no classes.txt says what its labels count"));
    CHECK(!std::filesystem::exists(place.path("mine/classes.txt")));
  }

  TEST_CASE("folders named by number are packed in the order of the numbers") {
    const Place place;
    place.folders("in", {"0", "2", "10"}, {red, green, blue}, 1);
    std::string tar;
    for (const char* name : {"10", "2", "0"}) tar += tar_entry(std::string(name) + "/a.png", coloured(red, 0));
    place.write("in.tar", tar + tar_end());
    for (const auto& [kind, source] : {std::pair{"folder", "in"}, {"archive", "in.tar"}}) {
      const std::string out = place.path(kind);
      REQUIRE(run_program("pack", {kind, place.path(source), "--out", out}).code == 0);
      CHECK(read_text(out + "/classes.txt") == "0\t0\n1\t2\n2\t10\n");
    }
  }

  TEST_CASE("a head goes on by name, anew for other classes; a run with other names is not resumed") {
    const Place place;
    place.folders("a", {"bird", "cat", "dog"}, {red, green, blue});
    place.folders("b", {"bird", "cat", "dog"}, {red, green, blue});
    place.write("b/classes.txt", "0\tdog\n1\tbird\n2\tcat\n");
    place.folders("c", {"bird", "cat", "yak"}, {red, green, yellow});
    REQUIRE(place.train("a", "run").code == 0);
    const auto from = [&](const std::string& data, const std::string& out) {
      const std::string weights = place.path("run/last.safetensors");
      return place.train(data, out, {{"--init", weights}, {"--steps", "1"}, {"--lr", "1e-9"}});
    };
    const Ended ordered = from("b", "ordered"), other = from("c", "other");
    REQUIRE_MESSAGE(ordered.code == 0, ordered.err);
    CHECK(!contains(ordered.err, "initialised anew"));
    CHECK(top1(place.accuracy("ordered", "a")) == 1);
    CHECK(contains(other.err, "initialised anew: head.weight, head.bias"));

    std::filesystem::rename(place.path("a/cat"), place.path("a/cow"));
    const Ended resumed = place.train("a", "run", {{"--resume", ""}});
    CHECK(resumed.code == 2);
    CHECK(contains(resumed.err, "the run was started with class 1 'cat', now it is 'cow'"));
  }
}

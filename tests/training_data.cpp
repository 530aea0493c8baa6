// Where the images of a training come from: a folder with both parts, images held out, sets of one class.
#include <set>

#include "data/index.h"
#include "tests/error_of.h"
#include "tests/run_program.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;

std::string val() { return drawn_set() / "val-*.tar"; }

// The drawn set as FOLDER/train/CLASS/IMAGE and FOLDER/val/CLASS/IMAGE.
fs::path split_folder(const fs::path& folder) {
  for (const char* part : {"train", "val"}) {
    const Index index = Index::open(drawn_set() / (std::string(part) + "-*.tar"), {});
    std::vector<uint8_t> bytes;
    for (size_t i = 0; i < index.size(); i++) {
      index.read(i, bytes);
      const fs::path classes = folder / part / index.classes()[size_t(index.label(i))];
      fs::create_directories(classes);
      write_file(classes / (std::to_string(i) + ".jpg"), {bytes.begin(), bytes.end()});
    }
  }
  return folder;
}
}  // namespace

TEST_SUITE("training data") {
  TEST_CASE("a folder with train/ and val/ is taken as that, and a set of one class gets a note") {
    const TempDir dir;
    const std::string folder = split_folder(dir.path() / "set");
    const Flags flags{{"--train", folder}, {"--steps", "2"}};
    const Ended both = train(train_flags(dir.path() / "both", flags));
    REQUIRE_MESSAGE(both.code == 0, both.err);
    CHECK(says(both.err, {"is a split: --train ", "/train --val ", "60 samples", "12 samples", "best    step"}));
    CHECK(contains(read_text(dir.path() / "both" / "config.toml"), folder + "/train\""));
    CHECK(run_program("train", {"--resume", dir.path() / "both"}).code == 0);
    Flags own = train_flags(dir.path() / "own", flags);
    own["--val"] = folder + "/train";
    CHECK(!contains(train(own).err, "12 samples"));
    for (const char* name : {"train", "val"}) {  // classes of these names
      fs::create_directories(dir.path() / "vehicles");
      fs::copy(folder + "/train/disc", dir.path() / "vehicles" / name, fs::copy_options::recursive);
    }
    const Ended classes =
        train(train_flags(dir.path() / "classes", {{"--train", dir.path() / "vehicles"}, {"--steps", "2"}}));
    CHECK_MESSAGE(classes.code == 0, classes.err);
    CHECK(says(classes.err, {"2 classes"}));
    fs::remove_all(dir.path() / "vehicles" / "val");
    CHECK(says(train(train_flags(dir.path() / "one", {{"--train", dir.path() / "vehicles"}, {"--steps", "2"}})).err,
               {"note    all images are of one class"}));
  }

  TEST_CASE("--holdout takes images out of training, the same ones each time, and is part of what a run is") {
    const TempDir dir;
    Index all = Index::open(drawn_set() / "train-*.tar", {});
    const Index whole = all, held = all.hold_out(15);
    CHECK(held.size() == 15);
    CHECK(all.size() == 45);
    CHECK(held.classes() == whole.classes());
    std::set<std::string> keys;
    std::set<int> classes;
    for (const Index* part : {&held, static_cast<const Index*>(&all)})
      for (size_t i = 0; i < part->size(); i++) keys.insert(part->where(i));
    for (size_t i = 0; i < held.size(); i++) classes.insert(held.label(i));
    CHECK(keys.size() == 60);
    CHECK(classes.size() > 5);  // the set's classes follow each other with a period of ten
    Index again = whole;
    CHECK(again.hold_out(15).where(7) == held.where(7));
    for (const size_t count : {0, 60, 100})
      CHECK(says(error_of(ExitCode::usage, [&] { Index(whole).hold_out(count); }), {"--holdout", "of 60 images"}));

    const fs::path run = dir.path() / "run";
    Flags flags = train_flags(run, {{"--holdout", "25%"}, {"--steps", "6"}});
    const Ended ended = train(flags);
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    CHECK(says(ended.err, {"val     15 images of --train are held out, 45 are left", "(1.07 epochs)", "/15), loss",
                           "best    step"}));
    CHECK(contains(read_text(run / "config.toml"), "holdout=\"25%\"\n"));
    CHECK(run_program("train", {"--resume", run}).code == 0);
    CHECK(says(run_program("train", {"--resume", run, "--holdout", "10"}).err, {"25%", "10"}));
    flags["--val"] = val(), flags["--out"] = dir.path() / "both";
    CHECK(says(train(flags).err, {"--val and --holdout are both given"}));
    for (const char* wrong : {"x", "0", "100%", "60", "-1", "1.5"}) {
      const Ended refused = train(train_flags(dir.path() / "wrong", {{"--holdout", wrong}}));
      CHECK(refused.code == 2);
      CHECK(says(refused.err, {"--holdout"}));
    }
  }
}

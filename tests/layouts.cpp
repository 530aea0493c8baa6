// Sets as people have them: links, folders within class folders, files of other kinds; what is taken and what is said.
#include <doctest/doctest.h>
#include <filesystem>

#include "data/class_folder.h"
#include "data/index.h"
#include "tests/error_of.h"
#include "tests/packing.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;

// A tar in which `link` is a hard link to `target`.
std::string make_linked(const Packing& packing, const Files& files, const std::string& link,
                        const std::string& target) {
  const std::string path = make_archive(packing.path("linked.tar"), files);
  std::string bytes = read_text(path), header = tar_entry(link, "", '1');
  header.replace(157, target.size(), target);
  header.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const unsigned char c : header) sum += c;
  header.replace(148, 8, fmt::format("{:06o}", sum) + '\0' + ' ');
  while (bytes.ends_with(std::string(512, '\0'))) bytes.resize(bytes.size() - 512);
  write_file(path, bytes + header + tar_end());
  return path;
}
}

TEST_SUITE("pack") {
  TEST_CASE("linked class folders and images are followed, also by train; a circle is left, and counted") {
    const Packing packing;
    for (int i = 0; i < 2; i++)
      for (const char* name : {"cat", "dog", "owl"})
        write_file(packing.path(fmt::format("all/{}/{}.jpg", name, i)), jpeg(i + name[0]));
    fs::create_directories(packing.path("set"));
    fs::create_directory_symlink(packing.path("all/cat"), packing.path("set/cat"));
    fs::create_directory_symlink("../all/dog", packing.path("set/dog"));
    fs::create_directories(packing.path("set/owl"));
    fs::create_symlink(packing.path("all/owl/0.jpg"), packing.path("set/owl/x.jpg"));
    fs::create_symlink("nowhere.jpg", packing.path("set/owl/y.jpg"));
    fs::create_directory_symlink("..", packing.path("set/owl/up"));
    const Ended packed = packing.run({"folder", packing.path("set")});
    REQUIRE_MESSAGE(packed.code == 0, packed.err);
    CHECK(says(packed.out,
               {"3 classes", "other files passed over: 2 (1 link to a folder around them, 1 link to nothing)"}));
    CHECK(packing.lines("train").size() == 5);
    const Index index = Index::open(packing.path("set"), "");
    CHECK(index.size() == 5);
    CHECK(
        says(index.summary(), {"3 classes by sorted name", "other members skipped: 2 (1 folder, 1 link to nothing)"}));
  }

  TEST_CASE("CLASS/images/NAME: the class is the first folder, in folders and in archives, and that is said") {
    const Packing packing;
    const Files files = {
        {"x/cat/images/a.jpg", jpeg(1)}, {"x/cat/images/b.jpg", jpeg(2)}, {"x/dog/images/a.jpg", jpeg(3)}};
    for (const auto& [name, bytes] : files) write_file(packing.path(name), bytes);
    const Ended folder = packing.run({"folder", packing.path("x")}, "folder");
    REQUIRE_MESSAGE(folder.code == 0, folder.err);
    CHECK(says(
        folder.out,
        {"2 classes", "note: 3 images lie in a folder images within their class's: the class is the first folder"}));
    const Ended archive = packing.run({"archive", make_archive(packing.path("in.zip"), files, "zip")}, "archive");
    REQUIRE_MESSAGE(archive.code == 0, archive.err);
    CHECK(says(archive.out,
               {"2 classes", "note: all images lie in folders named 'images'", "as 'cat' of in/x/cat/images/a.jpg"}));
    CHECK(packing.lines("train", "folder") == packing.lines("train", "archive"));
    CHECK(packing.open("train", "folder").classes() == Lines{"cat", "dog"});

    const Index index = Index::open(packing.path("x"), "");
    CHECK(labels_of(index) == std::vector<int>{0, 0, 1});
    CHECK(index.where(0) == packing.path("x/cat/images/a.jpg"));
    CHECK(contains(index.summary(), "3 in folders within their class's"));
    write_file(packing.path("x/owl/photos/a.jpg"), jpeg(4));    // which of the two levels has the classes?
    CHECK(contains(error_of(ExitCode::data, [&] { Index::open(packing.path("x"), ""); }),
                   "no image in " + packing.path("x/owl")));
  }

  TEST_CASE("which folder names the class") {
    const auto names = [](ClassFolders (&find)(const std::vector<std::string_view>&),
                          const std::vector<std::string_view>& paths) {
      Lines lines;
      for (const auto& [part, name] : find(paths).places) lines.push_back(part + ":" + name);
      return lines;
    };
    CHECK(names(nearest_folders, {"s/train/cat/1", "s/valid/dog/1", "s/test/cat/2"}) ==
          Lines{"train:cat", "val:dog", "test:cat"});
    CHECK(names(nearest_folders, {"s/train/cat/images/1", "s/train/dog/images/1", "s/val/images/1"}) ==
          Lines{"train:cat", "train:dog", "val:"});
    CHECK(names(nearest_folders, {"s/train/images/1", "s/val/images/2"}) == Lines{"train:images", "val:images"});
    CHECK(names(nearest_folders, {"s/images/1"}) == Lines{":images"});
    CHECK(names(first_folders, {"cat/1", "cat/images/1", "train/cat/images/1"}) == Lines{":cat", ":", "train:cat"});
    CHECK(names(first_folders, {"a/x/1", "b/x/1", "c/1", "c/y/2"}) == Lines{":a", ":b", ":c", ":"});
    CHECK(names(first_folders, {"animals/cat/1", "animals/dog/1", "things/car/1"}) == Lines{":", ":", ":"});
    CHECK(contains(nearest_folders({"s/a/cat/1", "s/b/cat/1", "s/dog/1"}).note,
                   "'cat' has the images of 2 folders, s/a/cat and s/b/cat"));
    CHECK(nearest_folders({"s/cat/1", "s/dog/1"}).note.empty());
  }

  TEST_CASE("hard links in archives and shards are the files that they name") {
    const Packing packing;
    const std::string archive = make_linked(
        packing, {{"cat/a.jpg", jpeg(1)}, {"dog/b.jpg", jpeg(2)}, {"dog/notes.txt", "x"}}, "dog/c.jpg", "cat/a.jpg");
    const Ended packed = packing.run({"archive", archive});
    REQUIRE_MESSAGE(packed.code == 0, packed.err);
    CHECK(packing.lines("train").size() == 3);
    CHECK(contains(packed.out, "other files passed over: 1 (1 .txt)"));

    const std::string shard =
        make_linked(packing, {{"a.png", "image"}, {"a.cls", "3"}, {"b.cls", "1"}}, "b.png", "a.png");
    for (int cached = 0; cached < 2; cached++) {
      const Index index = Index::open(shard, packing.path("cache"));
      CHECK(index.from_cache() == bool(cached));
      REQUIRE(index.size() == 2);
      CHECK(labels_of(index) == std::vector<int>{3, 1});
      CHECK(bytes_of(index, 1) == "image");
      CHECK(index.key(1) == "b");
      CHECK(index.where(1) == shard + ":b.png");
    }
  }

  TEST_CASE("files of other kinds are named where they are counted") {
    const Packing packing;
    write_file(packing.path("set/cat/a.jpg"), jpeg(1));
    for (const char* name : {"cat/b.gif", "cat/c.bmp", "cat/d.bmp", "cat/sub/e.jpg", "cat/odd name"})
      write_file(packing.path(std::string("set/") + name), "x");
    CHECK(contains(Index::open(packing.path("set"), "").summary(),
                   "other members skipped: 5 (2 .bmp, 1 .gif, 1 folder, 1 without an extension)"));
    fs::remove(packing.path("set/cat/a.jpg"));
    fs::remove_all(packing.path("set/cat/sub"));
    CHECK(says(error_of(ExitCode::data, [&] { Index::open(packing.path("set"), ""); }),
               {"no image in", "images jpg, jpeg or png; other members: 4 (2 .bmp, 1 .gif, 1 without an extension)"}));
  }
}

// build/pack: folders and archives become shards with the right labels, parts, order and bytes; check.
// The order below was computed with Python's hashlib, apart from this code.
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "data/tiff.h"
#include "tests/error_of.h"
#include "tests/packing.h"
#include "tests/tar_builder.h"

namespace {
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
      return error_of(ExitCode::data,
                      [&] { decode_tiff({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}); });
    };
    const std::string whole = tiff(image, COMPRESSION_NONE);
    std::string huge = whole, cut = whole;
    const size_t directory =
        whole.find(std::string("\x00\x01\x04\x00\x01\x00\x00\x00\x05", 9));    // width, a short or long
    huge.replace(directory == whole.npos ? whole.find(std::string("\x00\x01\x03\x00", 4)) + 8 : directory + 8, 2,
                 "\xFF\xFF");
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
    CHECK(contains(folder.out,
                   "2 classes; 2 images encoded anew, 0 left out, other files passed over: 3 (1 .txt, 1 image in "
                   "folders within their class's, 1 image in no class's folder)"));
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
                 {{"../../../evil/a.jpg", jpeg(1)},
                  {"/abs/../evil/a.jpg", jpeg(2)},
                  {"__meta__/b.jpg", jpeg(3)},
                  {"evil/new\nline.jpg", jpeg(4)},
                  {"evil/" + name_of_300 + ".jpg", jpeg(5)},
                  {"evil/\xC3\xB6.jpg", jpeg(6)}},
                 "pax");
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
    std::string zip = read_text(make_archive(packing.path("utf8.zip"), {{"evil/\xC3\xB6.jpg", jpeg(1)}}, "zip"));
    const auto says_utf8 = [&](const char* header, size_t flags) { zip[zip.find(header) + flags + 1] |= 8; };
    says_utf8("PK\3\4", 6);
    says_utf8("PK\1\2", 8);
    write_file(packing.path("utf8.zip"), zip);
    CHECK(packing.run({"archive", packing.path("utf8.zip")}, "utf8").code == 0);
    CHECK(packing.lines("train", "utf8") == Lines{"evil/\xC3\xB6 0"});

    const auto refusal = [&](const std::string& file) {
      const Ended ended = packing.run({"archive", file}, "never");
      CHECK(ended.code == int(ExitCode::data));
      CHECK(ended.err.ends_with('\n'));
      CHECK(std::count(ended.err.begin(), ended.err.end(), '\n') == 1);
      return ended.err;
    };
    const std::string bomb = make_archive(
        packing.path("bomb.tgz"), {{"a/b.jpg", jpeg(1) + std::string(300 << 20, '\0')}}, "ustar", ARCHIVE_FILTER_GZIP);
    CHECK(contains(refusal(bomb), "bomb.tgz unpacks to more than 250 times its size"));
    CHECK(contains(refusal(make_archive(packing.path("nested.zip"), {{"x/y.zip", read_text(bomb)}}, "zip")),
                   "nested.zip unpacks"));
    std::string deep = make_archive(packing.path("d"), {{"a/b.jpg", jpeg(1)}});
    for (int i = 0; i < 4; i++) deep = make_archive(packing.path(fmt::format("d{}", i)), {{"in", read_text(deep)}});
    CHECK(contains(refusal(deep), "an archive within 4 others"));

    Files many;
    for (int i = 0; i < 40; i++) many.push_back({fmt::format("a/{}.jpg", i), encode_jpeg(picture(i, 64, 64), 95)});
    const std::string tgz = read_text(make_archive(packing.path("ok.tgz"), many, "ustar", ARCHIVE_FILTER_GZIP));
    CHECK(contains(refusal(write_file(packing.path("cut.tgz"), tgz.substr(0, tgz.size() / 2)).string()),
                   "truncated gzip input"));
    const std::string outer = make_archive(packing.path("outer.tar"), {{"in.tgz", tgz.substr(0, tgz.size() / 2)}});
    CHECK(contains(refusal(outer), "outer.tar:in.tgz:a/"));
    const std::string cut = read_text(make_archive(packing.path("outer.tgz"),
                                                   {{"in.tar", read_text(make_archive(packing.path("in.tar"), many))}},
                                                   "ustar", ARCHIVE_FILTER_GZIP));
    CHECK(contains(refusal(write_file(packing.path("cut2.tgz"), cut.substr(0, cut.size() / 2)).string()),
                   "cut2.tgz:in.tar: damaged"));
    CHECK(contains(refusal(write_file(packing.path("text"), "text").string()), "text is no tar or zip"));
    CHECK(contains(refusal(packing.path("none")), "no such file"));
    CHECK(contains(refusal(make_archive(packing.path("no.tar"), {{"a/b.txt", "x"}})),
                   "no images, other files: 1 (1 .txt)"));
    const Ended bad = packing.run({"archive", make_archive(packing.path("bad.tar"), {{"a/b.jpg", "x"}})}, "bad");
    CHECK(bad.code == int(ExitCode::data));
    CHECK(contains(bad.err, "left out: " + packing.path("bad.tar:a/b.jpg")));
  }

  TEST_CASE("check: counts, sizes, damage, copies whose labels disagree, keys twice") {
    const Packing packing;
    const auto sample = [](const std::string& key, int label, const std::string& image) {
      return tar_entry(key + ".cls", std::to_string(label)) + tar_entry(key + ".jpg", image);
    };
    const std::string gray = encode_png({4, 20, std::vector<uint8_t>(240, 7)});
    write_file(packing.path("a.tar"),
               sample("1", 0, jpeg(1)) + sample("2", 0, jpeg(2)) + sample("3", 2, jpeg(1)) + sample("4", 0, gray));
    write_file(packing.path("b.tar"), sample("1", 0, jpeg(2)) + sample("5", 2, jpeg(3).substr(0, 200)));
    write_file(packing.path("classes.txt"), "0\tcat\n1\tdog\n");
    const Ended text = run_program("pack", {"check", packing.path("{a,b}.tar")});
    CHECK(text.code == int(ExitCode::data));
    for (const char* part :
         {"2 shards, 6 samples", "6, 1 of them gray", "3, 0 to 4 images each", "4 to 6, median 6", "9 to 20, median 9",
          "1 dog", "unnamed     2 images", "LABELS DISAGREE: 0, 2", "b.tar:5.jpg: damaged JPEG",
          "1 damaged, 2 images more than once, 1 of them with labels that disagree, 1 keys more than once"})
      CHECK_MESSAGE(contains(text.out, part), part << " is not in\n" << text.out);
    const auto json = nlohmann::json::parse(run_program("pack", {"check", packing.path("{a,b}.tar"), "--json"}).out);
    CHECK(json["images"] == 6);
    CHECK(json["gray"] == 1);
    CHECK(json["classes"][0] == nlohmann::json{{"name", "cat"}, {"images", 4}});
    CHECK(json["damaged"].size() == 1);
    CHECK(json["copies"].size() == 2);
    REQUIRE(json["same_key"].size() == 1);
    CHECK(json["same_key"][0]["where"] == Lines{packing.path("a.tar:1.jpg"), packing.path("b.tar:1.jpg")});
    CHECK(run_program("pack", {"check", packing.path("a.tar")}).code == 0);
  }

  TEST_CASE("check counts an image with several labels in each of its classes") {
    const Packing packing;
    const auto sample = [](const std::string& key, const std::string& labels) {
      return tar_entry(key + ".cls", labels) + tar_entry(key + ".jpg", jpeg(1));
    };
    write_file(packing.path("a.tar"), sample("1", "0 2") + sample("2", "0 2"));
    const auto check = [&] {
      return nlohmann::json::parse(run_program("pack", {"check", packing.path("a.tar"), "--json"}).out);
    };
    const auto json = check();
    CHECK(json["classes"][0]["images"] == 2);
    CHECK(json["classes"][1]["images"] == 0);
    CHECK(json["classes"][2]["images"] == 2);
    CHECK(json["copies"][0]["labels"] == Lines{"0 2"});
    write_file(packing.path("a.tar"), sample("1", "0 2") + sample("2", "0"));
    CHECK(check()["copies"][0]["labels"] == Lines{"0", "0 2"});
  }
}

// The tar reader on archives made by hand and by libarchive, whole and damaged.
#include "data/shards/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/tar_builder.h"
#include "tests/temp_dir.h"

using namespace std::string_literals;

namespace {
struct Entry {
  std::string name, bytes;
  bool regular = true;
  bool operator==(const Entry&) const = default;
};

std::vector<Entry> entries(const std::filesystem::path& path, uint64_t begin = 0, uint64_t end = 0) {
  const File file(path);
  TarReader reader(file, begin, end ? end : file.size());
  std::vector<Entry> found;
  for (TarMember member; reader.next(member);) {
    found.push_back({member.name, std::string(reader.content(member)), member.regular});
    CHECK(TarReader::name_at(file, member.header) == member.name);    // `header` leads back to the member
  }
  return found;
}

// A pax record: its length counts itself.
std::string pax(const std::string& key, const std::string& value) {
  const std::string rest = " " + key + "=" + value + "\n";
  size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) length++;
  return std::to_string(length) + rest;
}

std::string refusal(const std::string& bytes) {
  TempDir dir;
  const auto path = write_file(dir.path() / "x.tar", bytes);
  const std::string message = error_of(ExitCode::data, [&] { entries(path); });
  CHECK(contains(message, "x.tar"));
  return message;
}

std::vector<Entry> read_back(const std::string& bytes) {
  TempDir dir;
  return entries(write_file(dir.path() / "x.tar", bytes));
}
}

TEST_SUITE("tar") {
  TEST_CASE("members, prefixes, folders and links") {
    std::string all = tar_entry("a.jpg", "image") + tar_entry("dir/", "", '5') + tar_entry("old/", "", '\0') +
                      tar_entry("link", "", '2', "00000001000 ") + tar_entry("b", std::string(512, 'b'), '\0') +
                      tar_entry("c", "cc", '7', "", "long/folder") +
                      tar_entry("d", "", '0', "", "junk", std::string("ustar  \0", 8)) + tar_entry("e", "");
    const std::vector<Entry> expected = {{"a.jpg", "image"},        {"dir/", "", false}, {"old/", "", false},
                                         {"link", "", false},       {"b", std::string(512, 'b')},
                                         {"long/folder/c", "cc"},   {"d", ""},           {"e", ""}};
    CHECK(read_back(all + tar_end()) == expected);
    CHECK(read_back(all) == expected);    // the end mark is often missing
    CHECK(read_back(all + std::string(512, '\0')) == expected);
    CHECK(read_back("").empty());
  }

  TEST_CASE("long names and sizes: GNU, pax, base-256") {
    const std::string name(300, 'n'), base256 = '\x80' + std::string(10, '\0') + '\3';
    CHECK(read_back(tar_entry("././@LongLink", name + '\0', 'L') + tar_entry("cut", "1") + tar_entry("next", "")) ==
          std::vector<Entry>{{name, "1"}, {"next", ""}});
    CHECK(read_back(tar_entry("target", name + '\0', 'K') + tar_entry("x", "1")) == std::vector<Entry>{{"x", "1"}});
    CHECK(read_back(tar_entry("x", "abc", '0', base256)) == std::vector<Entry>{{"x", "abc"}});
    CHECK(read_back(tar_entry("x", "abc", '0', "         3 \0"s)) == std::vector<Entry>{{"x", "abc"}});
    const std::string records = pax("path", "folder/long=name") + pax("comment", "two\nlines") + pax("size", "3");
    CHECK(read_back(tar_entry("pax", records, 'x') + tar_entry("cut", "abc", '0', "00000000000\0"s) +
                    tar_entry("next", "")) == std::vector<Entry>{{"folder/long=name", "abc"}, {"next", ""}});
    CHECK(read_back(tar_entry("g", pax("path", "ignored"), 'g') + tar_entry("x", "")) == std::vector<Entry>{{"x", ""}});
  }

  TEST_CASE("a hard link is the member before it that it names, by whatever header says it") {
    const auto link = [](const std::string& name, const std::string& target, const std::string& before = "") {
      std::string header = tar_entry(name, "", '1');
      header.replace(157, target.size(), target);
      header.replace(148, 8, "        ");
      unsigned sum = 0;
      for (const unsigned char c : header) sum += c;
      header.replace(148, 8, fmt::format("{:06o}", sum) + '\0' + ' ');
      return before + header;
    };
    const std::string a = tar_entry("d/a.jpg", "image"), b = tar_entry("b.cls", "1"), long_name(150, 'n');
    CHECK(read_back(a + b + link("c.jpg", "d/a.jpg") + link("e.cls", "b.cls") + link("f", "c.jpg") +
                    tar_entry("g", "g") + link("h", "./g") + tar_end()) == std::vector<Entry>{{"d/a.jpg", "image"},
                                                                                              {"b.cls", "1"},
                                                                                              {"c.jpg", "image"},
                                                                                              {"e.cls", "1"},
                                                                                              {"f", "image"},
                                                                                              {"g", "g"},
                                                                                              {"h", "g"}});
    CHECK(read_back(tar_entry("l", long_name, 'L') + tar_entry("cut", "xyz") +
                    link("k", "cut", tar_entry("l", long_name + '\0', 'K')) +
                    link("p", "cut", tar_entry("pax", pax("linkpath", long_name), 'x'))) ==
          std::vector<Entry>{{long_name, "xyz"}, {"k", "xyz"}, {"p", "xyz"}});
    CHECK(says(refusal(link("c.jpg", "d/a.jpg") + a),
               {"c.jpg at offset 0", "hard link to d/a.jpg, which is not before it"}));
    CHECK(says(refusal(a + tar_entry("c.jpg", "", '1')), {"a hard link to nothing"}));
  }

  TEST_CASE("sparse members, whose bytes do not lie in one piece, are refused by name") {
    CHECK(says(refusal(tar_entry("s.jpg", "x", 'S')), {"member s.jpg at offset 0 is sparse", "without --sparse"}));
    const std::string records = pax("GNU.sparse.major", "1") + pax("GNU.sparse.name", "s.jpg");
    CHECK(says(refusal(tar_entry("pax", records, 'x') + tar_entry("GNUSparseFile.0/s.jpg", "x")), {"is sparse"}));
  }

  TEST_CASE("a range of a file is an archive of its own") {
    TempDir dir;
    const std::string inner = tar_entry("a.JPEG", "aa") + tar_entry("b.JPEG", "b") + tar_end();
    const std::string outer = tar_entry("n01.tar", inner) + tar_entry("after", "") + tar_end();
    const auto path = write_file(dir.path() / "outer.tar", outer);
    CHECK(entries(path, 512, 512 + inner.size()) == std::vector<Entry>{{"a.JPEG", "aa"}, {"b.JPEG", "b"}});
    error_of(ExitCode::data, [&] { entries(path, 512, 1024 + 100); });
  }

  TEST_CASE("archives of libarchive, all formats, long names, members near and far") {
    TempDir dir;
    for (const int format : {ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FORMAT_TAR_GNUTAR, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE}) {
      CAPTURE(format);
      const std::string path = (dir.path() / "x.tar").string();
      std::vector<Entry> expected;
      archive* writer = archive_write_new();
      archive_write_set_format(writer, format);
      REQUIRE(archive_write_open_filename(writer, path.c_str()) == ARCHIVE_OK);
      for (size_t i = 0; i < 200; i++) {
        const std::string folder = i % 7 == 0 ? std::string(90, 'd') + "/" + std::string(40, 'e') + "/" : "";
        const size_t size = i % 50 == 0 ? 300'000 + i : i * 37;
        expected.push_back({fmt::format("{}{}.jpg", folder, i), std::string(size, char(i))});
        archive_entry* entry = archive_entry_new();
        archive_entry_set_pathname(entry, expected.back().name.c_str());
        archive_entry_set_size(entry, int64_t(expected.back().bytes.size()));
        archive_entry_set_filetype(entry, AE_IFREG);
        REQUIRE(archive_write_header(writer, entry) == ARCHIVE_OK);
        archive_write_data(writer, expected.back().bytes.data(), expected.back().bytes.size());
        archive_entry_free(entry);
      }
      REQUIRE(archive_write_free(writer) == ARCHIVE_OK);
      CHECK(entries(path) == expected);
    }
  }

  TEST_CASE("every cut is noticed unless it falls between members") {
    const std::string a = tar_entry("a", std::string(700, 'a')), b = tar_entry("././@LongLink", "long", 'L') +
                      tar_entry("b", "b"), whole = a + b;
    for (size_t size = 1; size < whole.size(); size++)
      if (size != a.size()) {
        CAPTURE(size);
        CHECK(contains(refusal(whole.substr(0, size)), "cut off"));
      }
    CHECK(read_back(a).size() == 1);
  }

  TEST_CASE("damage is named with its place") {
    const std::string good = tar_entry("good", "x");
    std::string flipped = tar_entry("bad", "x");
    flipped[3] ^= 1;
    CHECK(contains(refusal(good + flipped), "damaged header at offset 1024"));
    CHECK(contains(refusal(flipped), "is no tar"));
    CHECK(contains(refusal("\xFF\xD8\xFF" + std::string(2000, 'j')), "is no tar"));
    CHECK(contains(refusal(good + tar_entry("huge", "", '0', "77777777777\0"s)), "member huge at offset 1536 is cut"));
    CHECK(contains(refusal(tar_entry("huge", "", '0', '\x80' + std::string(11, '\xFF'))), "bad size"));
    CHECK(contains(refusal(tar_entry("huge", "", '0', "\x80\0\0\0"s + std::string(8, '\xFF'))), "is cut off"));
    CHECK(contains(refusal(tar_entry("odd", "", '0', "12x\0\0\0\0\0\0\0\0\0"s)), "bad size"));
    CHECK(contains(refusal(tar_entry("name", std::string(5000, 'n'), 'L') + good), "too long"));
    CHECK(contains(refusal(tar_entry("pax", pax("path", std::string(5000, 'n')), 'x') + good), "name of 5000 bytes"));
    CHECK(contains(refusal(tar_entry("pax", std::string(2 << 20, 'n'), 'x') + good), "too long"));
    for (const char* records : {"9 path=a\nx", "99 path=a\n", "path=a\n", "9 pathaaa\n", "10 size=x1\n",
                                "3 \n", "0 a=b\n"})
      CHECK(contains(refusal(tar_entry("pax", records, 'x') + good), "damaged pax header at offset 0"));
    CHECK(contains(refusal(good + tar_end() + good), "more data at offset 2048"));
    CHECK(contains(refusal(good + tar_entry("long", "name", 'L')), "a long name without its member"));
  }
}

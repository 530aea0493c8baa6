// Packing into a folder of its own, and what the shards then hold, for tests.
// defines: Lines, picture, jpeg, Packing
#pragma once
#include "data/encode.h"
#include "data/index.h"
#include "tests/archive_builder.h"
#include "tests/index_contents.h"

using Lines = std::vector<std::string>;

inline Image picture(int seed, int height = 6, int width = 9) {
  Image image{height, width, std::vector<uint8_t>(size_t(height) * size_t(width) * 3)};
  for (size_t i = 0; i < image.rgb.size(); i++) image.rgb[i] = uint8_t(i * 7 + size_t(seed) * 31 + i * i % 13);
  return image;
}
inline std::string jpeg(int seed) { return encode_jpeg(picture(seed), 90); }

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

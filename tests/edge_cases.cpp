// Real files that exercise decoders: old, odd, damaged and fuzzed ones, each against what its index says of it.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <doctest/doctest.h>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>

#include "data/loader.h"
#include "data/shard_writer.h"
#include "engine/error.h"
#include "tests/real_data.h"
#include "tests/temp_dir.h"

namespace {
namespace fs = std::filesystem;

struct Case {
  std::string name, mode, mean, expect;    // mode and mean colour as Pillow has them, empty where it refuses the file
  int width, height;                       // as stored: EXIF orientation turns nothing
  std::string bytes;
};

// Empty, with a message, where the files are absent.
std::vector<Case> edge_cases() {
  const fs::path folder = real_data("edge-cases");
  if (folder.empty()) return {};
  std::ifstream index(folder / "INDEX.tsv");
  REQUIRE(index);
  std::vector<Case> cases;
  std::string line;
  std::getline(index, line);
  while (std::getline(index, line)) {
    std::vector<std::string> column;
    std::istringstream columns(line);
    for (std::string field; std::getline(columns, field, '\t');) column.push_back(field);
    REQUIRE(column.size() >= 16);
    std::ifstream file(folder / column[0], std::ios::binary);
    REQUIRE_MESSAGE(file, column[0]);
    cases.push_back({column[0], column[9], column[13], column[15], std::atoi(column[10].c_str()),
                     std::atoi(column[11].c_str()), {std::istreambuf_iterator<char>(file), {}}});
  }
  return cases;
}

// The image, or nothing where it is refused as a user should see it: one line that says where, what, and what to do.
std::optional<Image> decoded(const Case& file) {
  try {
    return decode_image({reinterpret_cast<const uint8_t*>(file.bytes.data()), file.bytes.size()}, file.name);
  } catch (const Error& error) {
    const std::string message = error.what();
    INFO(message);
    CHECK(error.code == ExitCode::data);
    CHECK(message.starts_with(file.name + ": "));
    CHECK(message.find('\n') == message.npos);
    const auto advises = [&](const char* step) { return message.find(std::string("; ") + step) != message.npos; };
    CHECK((advises("fetch it again") || advises("convert it") || advises("make it smaller")));
    return {};
  }
}

double mean_of(const Image& image, size_t channel) {
  double sum = 0;
  for (size_t i = channel; i < image.rgb.size(); i += 3) sum += image.rgb[i];
  return sum * 3 / double(image.rgb.size());
}

// Beyond stb_image, which refuses them in words: progressive scans under a baseline header; a height that comes after
// the pixels.
const std::set<std::string> beyond = {"050_wuffs_182_0-original.jpg", "069_TwelveMonkeys_dnl-marker.jpg"};
}  // namespace

TEST_SUITE("edge cases") {
  TEST_CASE("each file is decoded or refused as its index says") {
    int decodes = 0, refusals = 0, compared = 0;
    for (const Case& file : edge_cases()) {
      INFO(file.name, " ", file.expect);
      const std::optional<Image> image = decoded(file);
      ++(image ? decodes : refusals);
      const bool must_decode = file.expect.starts_with("decode") && file.expect != "decode-or-refuse";
      if (must_decode) CHECK(image.has_value() != beyond.contains(file.name));
      if (!image) continue;
      REQUIRE(image->rgb.size() == size_t(image->width) * size_t(image->height) * 3);
      if (!file.width) continue;    // Pillow refuses it
      CHECK(image->width == file.width);
      CHECK(image->height == file.height);
      if (file.mode == "I;16") continue;    // of 16 bits Pillow clips, where we take the upper 8
      compared++;
      // The index has whole numbers: 0.5. Chroma upsampled by another filter and CMYK rounded otherwise: less than 0.5.
      for (size_t c = 0, at = 0; c < 3; c++, at = file.mean.find(',', at) + 1)
        CHECK(std::abs(mean_of(*image, c) - std::atoi(file.mean.c_str() + at)) <= 1);
    }
    if (decodes)
      MESSAGE(decodes << " decoded, " << compared << " of them compared with Pillow's; " << refusals << " refused");
  }

  TEST_CASE("training over shards of them goes on, and counts those that are refused") {
    const std::vector<Case> files = edge_cases();
    if (files.empty()) return;
    TempDir dir;
    ShardWriter writer(dir.path() / "set", "train", 50);
    std::set<std::string> refused;
    for (const Case& file : files) {
      const std::string key = file.name.substr(0, 3);
      writer.add(key, {{"jpg", file.bytes}, {"cls", std::to_string(std::stoi(key))}});
      if (!decoded(file)) refused.insert(key);
    }
    writer.close();
    const Index index = Index::open((dir.path() / "set").string(), "");
    REQUIRE(index.size() == files.size());
    LoaderOptions options;
    options.batch = int(files.size());    // a batch is an epoch: every file is drawn once
    options.train = true;
    options.on_bad = OnBadImage::replace;
    options.workers = 2;
    options.preprocess.image_size = 16;
    Loader loader(index, options);
    Batch batch;
    for (int epoch = 0; epoch < 2; epoch++) {
      REQUIRE(loader.next(batch));
      CHECK(batch.size == options.batch);
      std::set<std::string> counted;
      for (const auto& [sample, reason] : loader.bad_samples()) counted.insert(index.key(sample));
      CHECK(counted == refused);
      CHECK(std::none_of(batch.labels.begin(), batch.labels.end(),
                         [&](Labels labels) { return refused.contains(fmt::format("{:03}", labels[0])); }));
    }
    MESSAGE(refused.size() << " of " << files.size() << " files refused, each replaced");
  }
}

#include "engine/tensorboard.h"

#include <doctest/doctest.h>
#include <set>

#include "engine/files.h"
#include "tests/error_of.h"
#include "tests/hex.h"
#include "tests/temp_dir.h"

namespace {
std::set<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::set<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.insert(entry.path());
  return files;
}

std::string hex_of(const std::filesystem::path& path) {
  const MappedFile file(path);
  return to_hex({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
}
}  // namespace

TEST_SUITE("tensorboard") {
  // The expected bytes are those of TensorBoard's own record writer and protocol buffers.
  TEST_CASE("records are TensorBoard's, in the file at once") {
    const TempDir dir;
    EventFile events(dir.path() / "new" / "folder");
    const auto files = files_in(dir.path() / "new" / "folder");
    REQUIRE(files.size() == 1);
    CHECK(files.begin()->filename().string().starts_with("events.out.tfevents."));
    const std::string start = hex_of(*files.begin());
    REQUIRE(start.size() == 2 * 40);
    CHECK(start.starts_with("1800000000000000a37f4b2209"));                          // length, its checksum, wall time
    CHECK(start.substr(42, 30) == "1a0d627261696e2e4576656e743a32");                 // brain.Event:2
    events.scalar("train/loss", 0.5, 300, 2.0);
    CHECK(hex_of(*files.begin()).substr(start.size()) ==
          "2100000000000000017becf609000000000000004010ac022a130a110a0a747261696e2f6c6f7373150000003f188b4d93");
  }

  TEST_CASE("a histogram is TensorBoard's, with empty buckets in its gaps") {
    const TempDir dir;
    EventFile events(dir.path());
    const size_t start = hex_of(*files_in(dir.path()).begin()).size();
    Histogram counted;
    for (const float x : {-3.0f, 1.0f, 1.0f}) counted.counts[Histogram::bin_of(x)]++;
    events.histogram("h", counted, -3, 1, -1, 11, 300, 2.0);
    CHECK(hex_of(*files_in(dir.path()).begin()).substr(start) ==
          "860000000000000070011d5c09000000000000004010ac022a780a760a01682a710900000000000008c011000000000000f03f190000"
          "00000000084021000000000000f0bf29000000000000264032200000000000000ac000000000000008c0000000000000f03f00000000"
          "0000f23f3a200000000000000000000000000000f03f00000000000000000000000000000040488ecf5d");
  }

  TEST_CASE("each start has a file of its own") {
    const TempDir dir;
    const EventFile first(dir.path());
    const auto before = *files_in(dir.path()).begin();
    const EventFile second(dir.path());
    CHECK(files_in(dir.path()).size() == 2);
    CHECK(*files_in(dir.path()).begin() == before);    // in the order of their names
  }

  TEST_CASE("a folder that cannot be is named") {
    const TempDir dir;
    write_atomically(dir.path() / "x", [](Writer&) {});
    CHECK(says(error_of(ExitCode::failed, [&] { EventFile(dir.path() / "x"); }), {"cannot write", "x/events.out"}));
  }

  TEST_CASE("a file that goes on says from which step, as TensorBoard has it") {
    const TempDir dir;
    const EventFile events(dir.path(), 301);
    const std::string start = hex_of(*files_in(dir.path()).begin()).substr(2 * 40);
    CHECK(start.starts_with("10000000000000"));              // 16 bytes: wall time, step, SessionLog
    CHECK(start.substr(2 * (12 + 9), 2 * 7) == "10ad023a020801");
  }
}

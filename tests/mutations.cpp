// Every reader of files on damaged ones: an error of one line about the file or a result, in bounded time and memory.
// RELUCENT_MUTATIONS: how many for each reader (200).
#include <cstdlib>
#include <cstring>
#include <doctest/doctest.h>
#include <functional>
#include <zlib.h>

#include "data/encode.h"
#include "data/imagenet.h"
#include "data/labels.h"
#include "data/matlab.h"
#include "data/members.h"
#include "data/shards/scan_cache.h"
#include "data/shards/shard.h"
#include "data/source.h"
#include "data/tiff.h"
#include "engine/hash.h"
#include "engine/npy.h"
#include "models/checkpoint.h"
#include "models/run_config.h"
#include "models/run_log.h"
#include "models/weights.h"
#include "tests/archive_builder.h"
#include "tests/memory.h"
#include "tests/mutate.h"
#include "tests/packing.h"
#include "tests/tar_builder.h"
#include "tests/test_device.h"
#include "tests/tiny_files.h"

namespace {
namespace fs = std::filesystem;
using Read = std::function<void(const fs::path& file, std::span<const uint8_t> bytes)>;
using Repair =
    std::function<void(std::string& bytes)>;    // makes checksums right again, so that what is behind them is read

constexpr double most_seconds = 2;
constexpr uint64_t most_memory = 500'000'000;    // of files of some kilobytes

uint64_t mutations() {
  const char* text = std::getenv("RELUCENT_MUTATIONS");
  return text ? std::strtoull(text, nullptr, 10) : 200;
}

// Number `number` of this reader, as often as it is asked for.
void read_one(const fs::path& file, const std::string& bytes, uint64_t number, const Read& read) {
  write_file(file, bytes);
  const double begin = cpu_seconds();
  try {
    read(file, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  } catch (const Error& error) {
    const std::string message = error.what();
    INFO("number ", number, ": ", message);
    CHECK((error.code == ExitCode::data || error.code == ExitCode::usage));
    CHECK(message.find('\n') == message.npos);
  } catch (const std::exception& error) {
    FAIL("number ", number, ": ", error.what());
  }
  const double seconds = cpu_seconds() - begin;
  if (seconds > most_seconds) FAIL_CHECK("number ", number, ": ", seconds, " s");
}

void on_mutations(
    const std::string& name, const std::vector<std::string>& seeds, const Read& read,
    const Repair& repair = [](std::string&) {}) {
  const TempDir dir;
  const uint64_t before = peak_bytes();
  for (const std::string& seed : seeds) {    // each is one that can be read
    write_file(dir.path() / name, seed);
    CHECK_NOTHROW(read(dir.path() / name, {reinterpret_cast<const uint8_t*>(seed.data()), seed.size()}));
  }
  for (uint64_t number = 0; number < mutations(); number++) {
    std::string bytes = mutated(seeds, number);
    if (number % 2) repair(bytes);
    read_one(dir.path() / name, bytes, number, read);
  }
  CHECK(peak_bytes() - before < most_memory);
}

void write_big_endian(std::string& bytes, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; i++) bytes[at + i] = char(value >> (24 - 8 * i));
}

void repair_png(std::string& bytes) {
  const auto byte = [&](size_t i) { return size_t(uint8_t(bytes[i])); };
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const size_t size = byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3);
    if (size > bytes.size() - at - 12) return;
    write_big_endian(bytes, at + 8 + size,
                     uint32_t(crc32(0, reinterpret_cast<const Bytef*>(&bytes[at + 4]), uInt(size + 4))));
    at += 12 + size;
  }
}

void repair_tar(std::string& bytes) {
  for (size_t at = 0; at + 512 <= bytes.size(); at += 512) {
    if (bytes.compare(at + 257, 5, "ustar") != 0) continue;
    bytes.replace(at + 148, 8, "        ");
    unsigned sum = 0;
    for (size_t i = 0; i < 512; i++) sum += uint8_t(bytes[at + i]);
    bytes.replace(at + 148, 8, fmt::format("{:06o}", sum) + '\0' + ' ');
  }
}

void repair_cache(std::string& bytes) {
  if (bytes.size() < 8) return;
  const uint64_t sum = fnv1a(std::string_view(bytes).substr(0, bytes.size() - 8));
  std::memcpy(&bytes[bytes.size() - 8], &sum, sizeof sum);
}

std::string shard_with_everything() {
  return tar_entry("a/1.jpg", "image") + tar_entry("a/1.cls", "7 3\n") + tar_entry("d/", "", '5') +
         tar_entry("././@LongLink", std::string(150, 'k') + ".txt", 'L') + tar_entry("cut", "third") +
         tar_entry("pax", "21 path=folder/x.cls\n", 'x') + tar_entry("cut", "12") + tar_entry("y.cls", "1") +
         tar_entry("pax", "20 linkpath=a/1.jpg\n", 'x') + tar_entry("y.jpg", "", '1') + tar_end();
}

const std::string archive_of(const Files& files, const char* format, int filter = ARCHIVE_FILTER_NONE) {
  const TempDir dir;
  return read_text(make_archive(dir.path() / "x", files, format, filter));
}
}    // namespace

TEST_SUITE("mutations") {
  TEST_CASE("images") {
    const auto decode = [](const fs::path&, std::span<const uint8_t> bytes) { decode_image(bytes); };
    on_mutations("x.jpg", {gray_jpeg, cmyk_jpeg, progressive_jpeg, jpeg(1), gzipped(gray_jpeg)}, decode);
    on_mutations("x.png", {png_16_bit, png_palette, encode_png(picture(1))}, decode, repair_png);
    on_mutations("x.tif", {tiff(picture(1)), tiff(picture(2), COMPRESSION_ADOBE_DEFLATE, 1, 16)},
                 [](const fs::path&, std::span<const uint8_t> bytes) { decode_tiff(bytes); });
  }

  TEST_CASE("tars and their indexes") {
    on_mutations(
        "x.tar",
        {shard_with_everything(),
         tar_entry("n01440764.tar", tar_entry("n01440764_1.JPEG", "one") + tar_end()) + tar_end()},
        [](const fs::path& path, auto) {
          const auto shard = open_shard(path);
          const Scan scan = shard->scan();
          for (size_t k = 0; k < scan.samples.size(); k++) {
            CHECK(scan.samples[k].offset + scan.samples[k].size <= fs::file_size(path));
            shard->name_of(scan, k);
          }
        },
        repair_tar);

    const TempDir dir;
    const fs::path shard = write_file(dir.path() / "s.tar", shard_with_everything()), cache = dir.path() / "cache";
    write_cached_scan(cache, File(shard), open_shard(shard)->scan());
    const fs::path kept = fs::directory_iterator(cache)->path();
    on_mutations(
        "x.scan", {read_text(kept)},
        [&](const fs::path&, std::span<const uint8_t> bytes) {
          write_file(kept, {bytes.begin(), bytes.end()});
          const auto scan = read_cached_scan(cache, File(shard));
          for (const Sample& sample : scan ? scan->samples : std::vector<Sample>()) {
            CHECK(sample.offset + sample.size <= fs::file_size(shard));
            for (const int32_t label : scan->labels_of(sample)) CHECK((label >= 0 && label < most_classes));
          }
          if (const auto opened = open_shard(shard); scan && opened->could_have(*scan))
            for (size_t k = 0; k < scan->samples.size(); k++) CHECK(!opened->where(*scan, k).empty());
        },
        repair_cache);
  }

  TEST_CASE("archives") {
    const Files files = {{"a/cat/1.jpg", jpeg(1)}, {"a/dog/notes.txt", std::string(300, 'n')}};
    const Files nested = {{"in.zip", archive_of(files, "zip")}};
    on_mutations("x.zip",
                 {archive_of(files, "zip"), archive_of(files, "pax", ARCHIVE_FILTER_GZIP), archive_of(nested, "ustar")},
                 [](const fs::path& path, auto) {
                   const TempDir scratch;
                   Members members(scratch.path());
                   members.add_archive(path, is_packable_image);
                   for (const Member& member : members.all()) members.read(member);
                 });
  }

  TEST_CASE("MATLAB files") {
    on_mutations("x.mat", {car_annotations({3, 1, 2})}, [](const fs::path& path, std::span<const uint8_t> bytes) {
      read_car_annotations({bytes.begin(), bytes.end()}, path.string());
    });
  }

  TEST_CASE("arrays and weights") {
    const auto read_arrays = [](const fs::path& path, auto) {
      for (const auto& [name, array] : read_npz(path))
        array.dtype.starts_with('F') || array.dtype == "BF16" ? void(array.floats()) : void(array.ints());
    };
    on_mutations("x.npz", {compressed_npz, stored_npz}, read_arrays);
    const TempDir dir;
    write_npy(dir.path() / "x.npy", {2, 3}, std::vector<float>{0, 1, 2, 3, 4, 5});
    on_mutations("x.npy", {read_text(dir.path() / "x.npy")},
                 [](const fs::path& path, auto) { read_npy(path).floats(); });

    ViTConfig config{.image_size = 8, .patch = 4, .width = 8, .depth = 1, .heads = 2, .mlp_width = 16, .classes = 3};
    const auto device = test_device();
    ViT vit(*device, config);
    save_weights(dir.path() / "w.safetensors", vit, {}, {"a", "b", "c"});
    on_mutations(
        "w.safetensors", {read_text(dir.path() / "w.safetensors")},
        [&](const fs::path& path, auto) {
          const Weights weights = read_weights(path, all_fields(config), true);
          class_names(weights.metadata, weights.config.classes, path);
        },
        right_checksum);
  }

  TEST_CASE("what a run keeps") {
    const TempDir dir;
    const ViTConfig config{
        .image_size = 8, .patch = 4, .width = 8, .depth = 1, .heads = 2, .mlp_width = 16, .classes = 3};
    const auto device = test_device();
    ViT vit(*device, config);
    Adam adam(vit.parameters(), {});
    const Metadata identity = field_texts(config);
    save_state(dir.path() / "last.state", vit, adam, {.step = 7, .window = {}, .logs = {{"metrics.csv", 12}}},
               identity);
    on_mutations(
        "last.state", {read_text(dir.path() / "last.state")},
        [&](const fs::path& path, auto) {
          const TrainingState state = load_state(path, vit, adam, identity);
          CHECK((state.step >= 0 && state.step == saved_step(path) && state.window.steps >= 0));
        },
        right_checksum);

    const std::string rows =
        "{\"step\":1,\"loss\":2.5,\"images_per_second\":100}\n{\"step\":2,\"val_accuracy\":0.5,\"val_loss\":null}\n";
    on_mutations("metrics.jsonl", {rows}, [](const fs::path& path, auto) {
      for (const RunRow& row : read_rows(path).rows) CHECK((row.step >= 0 && row.val_accuracy.value_or(0) <= 1));
    });
    on_mutations("config.toml", {"attention=\"relu\"\nalpha=1\n# a comment\ntrain=\"a#b.tar\"\n[x]\nlist=[1, 2]\n"},
                 [](const fs::path& path, auto) { read_config(path.parent_path()); });
  }

  TEST_CASE("lists beside images") {
    on_mutations("_info.json", {R"({"splits": {"train": {"filenames": ["_info.json"], "shard_lengths": [2]}}})"},
                 [](const fs::path& path, auto) { expand_source(path.string()); });
    on_mutations("classes.txt", {"0\tn01440764 tench\n1\tgoldfish\n"},
                 [](const fs::path& path, auto) { class_list(path.parent_path() / "x.tar"); });
    on_mutations("list.txt", {"# shards\n_{a,b}\n", "{0..2}.tar\n"}, [](const fs::path& path, auto) {
      try {
        expand_source(path.string());
      } catch (const Error& error) {    // none of these shards is there
        if (std::string(error.what()).find("no such file") == std::string::npos) throw;
      }
    });
    on_mutations("real.json", {"[[1, 2], [], [7]]"}, [](const fs::path& path, auto) { read_real_labels(path); });
  }
}

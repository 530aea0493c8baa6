// Which file a path that should name weights means.
#include <doctest/doctest.h>

#include <fstream>

#include "tests/error_of.h"
#include "tests/numbered_weights.h"
#include "tests/temp_dir.h"

namespace {
namespace fs = std::filesystem;

// A run's folder with these weights in it.
void add_weights(const fs::path& folder, const char* name, float head_bias) {
  ViTConfig config = tiny("gap");
  config.head_bias = head_bias;
  fs::create_directories(folder);
  write_weights(folder / name, config, numbered_weights(config));
}
}    // namespace

TEST_SUITE("weights") {
  TEST_CASE("a run's folder is its best weights, else its last, which is said") {
    const TempDir dir;
    const fs::path run = dir.path() / "run";
    add_weights(run, "last.safetensors", 1);
    const Weights last = read_weights(run);
    CHECK(last.config.head_bias == 1);
    REQUIRE(last.notes.size() == 1);
    CHECK(says(last.notes[0], {"run has no best.safetensors", "--val", "last.safetensors"}));
    CHECK(says(error_of(ExitCode::failed, [&] { read_weights(run / "best.safetensors"); }),
               {"run/best.safetensors", "--val", "take", "run/last.safetensors"}));
    add_weights(run, "best.safetensors", 2);
    CHECK(read_weights(run).config.head_bias == 2);
    CHECK(read_weights(run).notes.empty());
  }

  TEST_CASE("a folder without weights is refused, and a folder of runs names one") {
    const TempDir dir;
    CHECK(says(error_of(ExitCode::data, [&] { read_weights(dir.path()); }), {"neither", "best.safetensors"}));
    add_weights(dir.path() / "relu-alpha1", "last.safetensors", 1);
    add_weights(dir.path() / "softmax", "last.safetensors", 1);
    CHECK(says(error_of(ExitCode::data, [&] { read_weights(dir.path()); }), {"2 runs", "relu-alpha1"}));
  }

  TEST_CASE("a training state and files of torch.save are refused with the next step") {
    const TempDir dir;
    write_foreign(dir.path() / "last.state", {}, {{state_key, "20"}});
    CHECK(says(error_of(ExitCode::data, [&] { read_weights(dir.path() / "last.state"); }),
               {"last.state is a training state", "last.safetensors"}));
    const std::string zip = std::string("PK\3\4", 4) + std::string(26, '\0') + "archive/data.pkl" + "rest";
    const std::string pickle = "\x80\x02}q\x01.";
    for (const auto& [name, bytes] : {std::pair{"t.pth", zip}, {"t.bin", pickle}}) {
      std::ofstream(dir.path() / name, std::ios::binary) << bytes;
      CHECK(says(error_of(ExitCode::data, [&] { read_weights(dir.path() / name); }),
                 {name, "torch.save", "python3 -c", "save_file", "t.safetensors"}));
    }
  }
}

// What bench kernels reads of ncu's output.
#include <doctest/doctest.h>
#include <fstream>
#include "tests/bench/kernels.h"
#include "tests/error_of.h"
#include "tests/temp_dir.h"
#include "tests/tiny_files.h"

TEST_SUITE_BEGIN("traffic");

namespace {

const std::string header =
    "\"ID\",\"Kernel Name\",\"Grid "
    "Size\",\"dram__bytes_read.sum\",\"dram__bytes_write.sum\",\"gpu__time_duration.sum\"\n";
const std::string units = "\"\",\"\",\"\",\"byte\",\"byte\",\"ns\"\n";

std::string row(const std::string& name, const char* read, const char* written, const char* ns) {
  return "\"0\",\"" + name + "\",\"(1, 1, 1)\",\"" + read + "\",\"" + written + "\",\"" + ns + "\"\n";
}
std::string rows_kernel(const std::string& body) {
  return "void <unnamed>::rows_kernel<" + body + ">(T1, unsigned long)";
}

std::filesystem::path write(const TempDir& dir, const std::string& text) {
  const std::filesystem::path path = dir.path() / "ncu.csv";
  std::ofstream(path) << text;
  return path;
}

} // namespace

TEST_CASE("one step is cut out, from update to update, and its kernels are told apart") {
  TempDir dir;
  std::string text = "==PROF== Connected to process 12\n{\"ready\": 1}\n" + header + units;
  for (int step = 0; step < 3; step++) {
    text += row("nvjet_hsh \"\"128x256\"\"", step == 2 ? "2,000,000" : "1", "500", "1000");
    text += row(rows_kernel("LayerNormForward"), "300", "100", "10") +
            row(rows_kernel("LayerNormForward"), "300", "100", "10");
    text += row(rows_kernel("AdamStep"), "7", "5", "3") + row(rows_kernel("AdamStep"), "7", "5", "3");
  }
  text += row(rows_kernel("LabelRanks"), "9", "9", "9") + "==PROF== Disconnected\n";
  const std::vector<Kernel> all = read_kernels(write(dir, text)), step = last_step(all);
  CHECK(all.size() == 16);
  REQUIRE(step.size() == 5);
  CHECK(step[0].read == 2e6);
  const auto parts = measured_parts(step);
  CHECK(parts.size() == 3);
  CHECK(parts.at("products").seconds == doctest::Approx(1e-6));
  CHECK(parts.at("normalisation").launches == 2);
  CHECK(parts.at("normalisation").read == 600);
  CHECK(parts.at("optimizer").bytes() == 24);
  const std::string table = kernels_table(step, {});
  for (const char* expected : {"normalisation", "LayerNormForward     ", "nvjet_hsh \"128x256\"", "AdamStep  "})
    CHECK_MESSAGE(table.find(expected) != table.npos, table);
}

TEST_CASE("what is not ncu's, or holds no step, is refused with its line") {
  TempDir dir;
  CHECK(says(error_of(ExitCode::data, [&] { read_kernels(dir.path() / "none.csv"); }), {"none.csv", "cannot be read"}));
  CHECK(says(error_of(ExitCode::data, [&] { read_kernels(write(dir, "hello\n")); }), {"ncu.csv", "Kernel Name"}));
  CHECK(says(error_of(ExitCode::data, [&] { read_kernels(write(dir, "\"ID\",\"Kernel Name\"\n")); }),
             {"line 1", "gpu__time_duration.sum"}));
  CHECK(says(error_of(ExitCode::data, [&] { read_kernels(write(dir, header + units + row("k", "many", "1", "1"))); }),
             {"line 3", "'many'", "a number"}));
  CHECK(says(
      error_of(
          ExitCode::data,
          [&] { last_step(read_kernels(write(dir, header + units + row(rows_kernel("AdamStep"), "1", "1", "1")))); }),
      {"1 of them", "two steps"}));
}

TEST_SUITE_END();

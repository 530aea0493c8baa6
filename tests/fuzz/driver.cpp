// What all fuzz targets share: writes the seeds, runs inputs, and tells errors that a user may see from findings.
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "engine/error.h"
#include "tests/fuzz/fuzz.h"
#include "tests/temp_dir.h"

namespace fs = std::filesystem;

namespace {
void write(const fs::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), std::streamsize(bytes.size()));
}
}  // namespace

fs::path scratch(const std::string& name, const std::string& bytes) {
  static const TempDir dir;
  write(dir.path() / name, bytes);
  return dir.path() / name;
}

// The last argument is the folder of inputs, or one input that is to be run again.
extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  const fs::path corpus = (*arguments)[*count - 1];
  int number = 0;
  if (fs::is_directory(corpus))
    for (const std::string& seed : seeds()) write(corpus / fmt::format("seed-{}", number++), seed);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    run({data, size});
  } catch (const Error& error) {
    const std::string message = error.what();
    const bool blames_input = error.code == ExitCode::data || error.code == ExitCode::usage;
    if (!blames_input || message.find('\n') != message.npos) {
      std::fprintf(stderr, "not an error of one line about the input: %s\n", message.c_str());
      std::abort();
    }
  }
  return 0;
}

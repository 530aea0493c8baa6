// What a run keeps of its flags, and files of flags by hand.
#include "engine/flags.h"
#include "tests/fuzz/fuzz.h"

void run(Bytes input) {
  try {
    ConfigFile().from_file(scratch("config.toml", text_of(input)).string());
  } catch (const CLI::Error&) {    // which programs print
  }
}

std::vector<std::string> seeds() {
  return {"attention=\"relu\"\nalpha=1\n# a comment\ntrain='a#b.tar'\n", "[eval]\nlist=[1, \"2\"]\nx.y = true\n"};
}

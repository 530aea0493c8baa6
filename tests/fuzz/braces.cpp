// Brace patterns of sources.
#include "data/source.h"

#include "tests/fuzz/fuzz.h"

void run(Bytes input) { expand_braces(text_of(input)); }

std::vector<std::string> seeds() {
  return {
      "a/train-{0000..0003}.tar", "{9..11}{a,b}", "{6..0..2}", "{-3..003}{x,{y,z{1..2}}}.tar", "{a}{}{,}", "{a,b", "}"};
}
